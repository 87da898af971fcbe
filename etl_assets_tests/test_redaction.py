"""Texts without credentials."""

import base64
import json
import traceback
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from etl_assets.redaction import NOT_SHOWN, redacted, shown_cause

secrets = st.text(min_size=8, max_size=60).filter(lambda text: len(set(text)) > 4)


@given(secret=secrets, before=st.text(max_size=9), after=st.text(max_size=9))
def test_no_spelling_of_a_secret_is_left(secret: str, before: str, after: str) -> None:
    in_json, in_url = json.dumps(secret)[1:-1], quote(secret, safe="")
    whole = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
    for text in (secret, in_json, in_json.replace("/", "\\/"), in_url, whole):
        assert NOT_SHOWN in redacted(f"{before} {text} {after}", secret)


def test_only_real_secrets_are_taken_out() -> None:
    assert redacted("key abcdef in a", "abcdef", "a", "") == "key (not shown) in a"


def test_a_longer_secret_is_taken_out_before_one_inside_it() -> None:
    assert redacted("postgres://u:pass@h", "pass", "postgres://u:pass@h") == NOT_SHOWN


def test_a_cause_that_tells_a_secret_is_left_out_and_any_other_is_kept() -> None:
    secret = "-".join(("a", "secret"))  # not as a whole in a line of the stack

    def told(words: str) -> str:
        try:
            try:
                raise ValueError(words)
            except ValueError as e:
                raise RuntimeError("ours") from shown_cause(e, secret)
        except RuntimeError as e:
            return "".join(traceback.format_exception(e))

    assert "what was wrong" in told("what was wrong")
    assert secret not in told(f"header {secret}") and "ours" in told(f"header {secret}")

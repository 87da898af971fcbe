"""What an HTTP answer that is no success says: how long to wait, in which words, and whether it can be trusted."""

import json
import ssl
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from etl_assets.redaction import redacted

_SHOWN_CHARACTERS = 300


def is_untrusted(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is a certificate that cannot be verified."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, from a number or a date; None when it says neither."""
    if header is None:
        return None
    with suppress(ValueError):
        seconds = float(header)
        return seconds if 0.0 <= seconds < 1e9 else None
    with suppress(ValueError, TypeError):
        return max(parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    return None


def words_of(content: bytes, *secrets: str) -> str:
    """What an error answer says, in one line: ``detail``, ``error``, ``errors`` or ``message``, else its beginning.

    None of ``secrets`` is in it: an answer may repeat the request.
    """
    text = content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    return redacted(" ".join(_said(body).split()), *secrets)[:_SHOWN_CHARACTERS]


def _said(body: Any) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(said for said in map(_said, body) if said)
    if isinstance(body, dict):
        found = next((body[name] for name in ("detail", "error", "errors", "message", "msg") if body.get(name)), "")
        where = body.get("field")
        return f"{_said(found)} ({where})" if where and isinstance(where, str) else _said(found)
    return ""

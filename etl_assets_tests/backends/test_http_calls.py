"""Calls of hosted backends against a server on localhost that misbehaves."""

import itertools
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from etl_assets.backends.circuit import CircuitBreaker, CircuitOpen, Opening
from etl_assets.backends.credentials import FixedCredential, StoredCredential
from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request, UnusableAnswer
from etl_assets.backends.http_failures import retry_after_s, words_of
from etl_assets.backends.kept_secrets import EnvironmentSecrets, KeptSecrets
from etl_assets.backends.rate_budget import FileBudget, Limits
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets_tests.servers.standin import Fault, Refused, StandIn

CANARY = "canary-4f1d2c-do-not-show"
AT_ONCE = Patience(attempts=4, total_s=5.0, base_s=0.0, cap_s=0.0)
ASK = Request("POST", "/echo", {"text": "a \ud800 b"})


@dataclass
class Echo(StandIn):
    """Answers with what it was sent."""

    keys: set[str] = field(default_factory=lambda: {CANARY})

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        self.check_key(headers)
        return {"echo": body, "usage": {"total_tokens": 7}}


@pytest.fixture
def server() -> Iterator[Echo]:
    with Echo() as echo:
        assert isinstance(echo, Echo)
        yield echo


@pytest.fixture
def api(server: Echo) -> Iterator[HttpApi]:
    opened = HttpApi("Echo", server.url, credential=FixedCredential(CANARY, source="ECHO_KEY"), patience=AT_ONCE)
    yield opened
    opened.close()


@pytest.fixture
def opened() -> Iterator[Callable[..., HttpApi]]:
    """``HttpApi``, closed at the end."""
    made: list[HttpApi] = []

    def make(*args: Any, **options: Any) -> HttpApi:
        made.append(HttpApi("Echo", *args, **{"patience": AT_ONCE, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def echo(answer: Answer) -> Any:
    return answer.body["echo"]


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("error", status=500), Fault("error", status=503, seconds=0)],
        [Fault("truncated"), Fault("hang-up"), Fault("garbage")],
        [Fault("limited", seconds=0)] * 9,
    ],
)
def test_what_may_pass_is_tried_again(server: Echo, api: HttpApi, faults: list[Fault]) -> None:
    server.misbehave(*faults)
    assert api.call(ASK, echo) == {"text": "a \ud800 b"}
    assert len(server.requests) >= len(faults)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "check ECHO_KEY"),
        (403, "check ECHO_KEY"),
        (402, "balance"),
        (400, "not accepted"),
        (404, "not accepted"),
        (422, "not accepted"),
        (308, "base URL"),
    ],
)
def test_a_refusal_is_permanent_and_asked_once(server: Echo, api: HttpApi, status: int, words: str) -> None:
    server.misbehave(Fault("error", status=status, body={"detail": [{"message": "no", "field": "input"}]}))
    with pytest.raises(PermanentError, match=rf"Echo: HTTP {status}: no \(input\).*{words}"):
        api.call(ASK, echo)
    assert len(server.requests) == 1


def test_attempts_are_bounded(server: Echo, api: HttpApi) -> None:
    server.misbehave(*[Fault("error", status=502)] * 20)
    with pytest.raises(TransientError, match="Echo: HTTP 502: unavailable .asked 4 times"):
        api.call(ASK, echo)
    assert len(server.requests) == 4


def test_a_wait_longer_than_the_patience_is_not_begun(server: Echo, api: HttpApi) -> None:
    server.misbehave(Fault("limited", seconds=60))
    with pytest.raises(TransientError, match="HTTP 429: Rate limit exceeded .asked once"):
        api.call(ASK, echo)


def test_an_answer_that_cannot_be_used_is_asked_for_again_a_few_times(server: Echo, api: HttpApi) -> None:
    def never(answer: Answer) -> None:
        raise UnusableAnswer(PermanentError("another model answered"))

    with pytest.raises(PermanentError, match="another model answered"):
        api.call(ASK, never)
    assert len(server.requests) == AT_ONCE.answers


def test_a_server_that_drips_or_floods_is_cut_off(server: Echo, opened: Callable[..., HttpApi]) -> None:
    hours = itertools.count(0.0, 3600.0)
    credential = FixedCredential(CANARY, source="ECHO_KEY")
    dripping = opened(server.url, credential=credential, clock=lambda: next(hours))
    with pytest.raises(TransientError, match="no whole answer within 60 s"):
        dripping.call(ASK, echo)
    flooded = opened(server.url, credential=credential, answer_bytes=5)
    with pytest.raises(PermanentError, match="over 5 bytes"):
        flooded.call(ASK, echo)


def test_a_server_that_is_away_is_transient_and_opens_the_circuit(server: Echo, opened: Callable[..., HttpApi]) -> None:
    openings: list[Opening] = []
    breaker = CircuitBreaker("Echo", failures=2, pause_s=1000.0, on_open=openings.append)
    api = opened("http://127.0.0.1:9", breaker=breaker)
    for _ in range(2):
        with pytest.raises(TransientError, match="Echo: .*refused"):
            api.call(ASK, echo)
    assert [one.backend for one in openings] == ["Echo"]
    with pytest.raises(CircuitOpen, match="not asked"):
        api.call(ASK, echo)


def test_a_call_waits_for_the_circuit_to_let_one_through(server: Echo, opened: Callable[..., HttpApi]) -> None:
    breaker = CircuitBreaker("Echo", failures=1, pause_s=0.01)
    credential = FixedCredential(CANARY, source="ECHO_KEY")
    api = opened(server.url, credential=credential, breaker=breaker)
    server.misbehave(*[Fault("error")] * 4)
    with pytest.raises(TransientError):
        api.call(ASK, echo)
    assert api.call(ASK, echo) == {"text": "a \ud800 b"}


def test_no_answer_in_time_is_transient(server: Echo, opened: Callable[..., HttpApi]) -> None:
    server.together = 2  # the answer is held back until the server stops
    api = opened(server.url, timeout_s=0.05, patience=Patience(attempts=1, total_s=1))
    with pytest.raises(TransientError, match="no answer within 0.05 s"):
        api.call(ASK, echo)


def test_a_stopped_call_does_not_wait(server: Echo, api: HttpApi) -> None:
    stop = threading.Event()
    stop.set()
    server.misbehave(Fault("limited", seconds=3))
    with pytest.raises(TransientError, match="given up"):
        api.call(ASK, echo, stop=stop)


def test_the_budget_is_charged_with_what_the_answer_says_and_paused_when_told(
    server: Echo, api: HttpApi, tmp_path: Path
) -> None:
    budget = FileBudget(tmp_path / "budget.sqlite", Limits(tokens=10), name="Echo")
    priced = Request("POST", "/echo", {}, tokens=10, spent=lambda body: body["usage"]["total_tokens"])
    api.call(priced, echo, budget=budget)
    assert budget.reserve(3, patience_s=0).wait_s == 0, "7 of 10 tokens were spent, not the 10 that were expected"
    server.misbehave(Fault("limited", seconds=50))
    free = FileBudget(tmp_path / "other.sqlite", Limits(requests=100), name="Echo")
    with pytest.raises(TransientError, match="429"):
        api.call(ASK, echo, budget=free)
    with pytest.raises(TransientError, match="next turn is in [45]"):
        free.reserve(1, patience_s=1)


def test_a_rotated_key_is_read_again_once_and_used(server: Echo, opened: Callable[..., HttpApi]) -> None:
    variables = {"ECHO_KEY": "old-key-that-was-revoked"}
    secrets = KeptSecrets(EnvironmentSecrets(variables))
    assert secrets.get("ECHO_KEY")
    variables["ECHO_KEY"] = CANARY
    api = opened(server.url, credential=StoredCredential(secrets, "ECHO_KEY"))
    assert api.call(ASK, echo) == {"text": "a \ud800 b"}
    assert [one.status for one in server.requests] == [401, 200]
    server.keys.clear()
    with pytest.raises(PermanentError, match="check ECHO_KEY"):
        api.call(ASK, echo)


SITUATIONS: list[tuple[list[Fault], set[str] | None]] = (
    [
        (
            [
                Fault(
                    "error",
                    status=status,
                    seconds=60,
                    body={"detail": f"bad key {CANARY}", "error": {"message": CANARY}},
                )
            ]
            * 20,
            None,
        )
        for status in (400, 401, 402, 403, 422, 429, 500)
    ]
    + [([Fault(kind)] * 20, None) for kind in ("truncated", "garbage", "hang-up")]
    + [([], set())]
)  # type: ignore[arg-type]


@pytest.mark.parametrize(("faults", "keys"), SITUATIONS)
def test_no_message_log_or_repr_holds_the_key(
    server: Echo, api: HttpApi, faults: list[Fault], keys: set[str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.misbehave(*faults)
    server.keys = keys if keys is not None else server.keys
    with pytest.raises(EtlAssetsError) as caught:
        api.call(ASK, echo, patience=Patience(attempts=2, total_s=0.2, base_s=0.0, cap_s=0.0))
    shown = "".join(traceback.format_exception(caught.value))
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for text in (shown, repr(caught.value), logged, repr(api), repr(FixedCredential(CANARY, source="ECHO_KEY"))):
        assert CANARY not in text


@pytest.mark.parametrize("key", [f"{CANARY}\n", f" {CANARY}", f"{CANARY}\u00e9", f"{CANARY}\r\nX: y"])
def test_a_key_that_no_header_carries_is_refused_without_being_shown(
    server: Echo, key: str, opened: Callable[..., HttpApi]
) -> None:
    api = opened(server.url, credential=FixedCredential(key, source="ECHO_KEY"))
    with pytest.raises(ConfigError, match="ECHO_KEY") as caught:
        api.call(ASK, echo)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert not server.requests


@pytest.mark.parametrize("url", ["ftp://host/", "host/v1", f"https://user:{CANARY}@host/v1", "http://"])
def test_a_base_url_must_be_plain(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpApi("Echo", url)
    assert CANARY not in str(caught.value)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s("2.5") == 2.5
    assert retry_after_s(None) is retry_after_s("soon") is retry_after_s("-1") is retry_after_s("nan") is None
    assert retry_after_s(formatdate(0, usegmt=True)) == 0.0
    ahead = retry_after_s("Fri, 01 Jan 2999 00:00:00 GMT")
    assert ahead is not None and ahead > 1e9


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"detail": "too long"}', "too long"),
        (b'{"detail": [{"message": "Validation error", "field": "input"}]}', "Validation error (input)"),
        (b'{"error": {"message": "no such model"}}', "no such model"),
        (b'{"errors": ["permission denied", "x"]}', "permission denied; x"),
        (b"<h1>Bad\nGateway</h1>", "<h1>Bad Gateway</h1>"),
        (b"[1, null]", ""),
        (b"\xff", "\ufffd"),
    ],
)
def test_the_words_of_a_refusal_are_found(content: bytes, words: str) -> None:
    assert words_of(content) == words


def test_a_refusal_is_cut_after_the_credential_was_taken_out_of_it() -> None:
    said = words_of(json.dumps({"detail": "." * 290 + " a-long-credential"}).encode(), "a-long-credential")
    assert len(said) == 300 and said.endswith(". (not show")


def test_own_refusals_come_first(server: Echo, api: HttpApi) -> None:
    own: Callable[[int, str], EtlAssetsError | None] = lambda status, words: ConfigError(f"{status} {words}")  # noqa: E731
    server.misbehave(Fault("error", status=400))
    with pytest.raises(ConfigError, match="400 unavailable"):
        api.call(Request("GET", "/x", refusal=own), echo)
    assert Refused(400, None).status == 400

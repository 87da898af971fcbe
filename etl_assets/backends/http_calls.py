"""JSON over HTTP to one hosted backend: what may pass is tried again, what will not is an error at once.

Bounds on everything: attempts, waiting, the time and the size of one answer. Budgets of requests and tokens are
waited for, a refused credential is read again once, and no credential is in any message.

API: www.python-httpx.org/api; HTTP semantics: RFC 9110 (Retry-After: 10.2.3), RFC 6585 (429).
"""

import json
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from etl_assets.backends.circuit import CircuitBreaker, CircuitOpen, Unavailable
from etl_assets.backends.http_failures import is_untrusted, retry_after_s, words_of
from etl_assets.backends.rate_budget import Budget, Reservation
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.secrets import Credential
from etl_assets.redaction import redacted

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses after which the same request may succeed; 52x are those of proxies that vendors stand behind."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call is tried. Delays grow from ``base_s`` to ``cap_s``, each drawn from 0 up (full jitter).

    ``attempts`` bounds failures; being told to wait (429, an open circuit) is no failure. ``total_s`` bounds all
    waiting together, ``answers`` how often an answer that cannot be used is asked for.
    """

    attempts: int = 8
    total_s: float = 600.0
    base_s: float = 0.5
    cap_s: float = 30.0
    answers: int = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: ``body`` is parsed JSON, or None where there is none."""

    status: int
    body: Any


class UnusableAnswer(Exception):
    """Raised by a reader: the answer has the right status and the wrong content. ``error`` is raised in the end."""

    def __init__(self, error: EtlAssetsError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Request:
    """One call. ``accepts`` are statuses beside 2xx that are an answer; ``tokens`` is what it is about to cost.

    ``spent`` reads from the answer's body what it did cost. ``refusal`` turns a refusal (status, the backend's
    words) into the error to raise; None for the usual one. ``secrets`` are what the body holds and no message may.
    """

    method: str
    path: str
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: int = 0
    accepts: tuple[int, ...] = ()
    spent: Callable[[Any], int | None] = lambda body: None
    refusal: Callable[[int, str], EtlAssetsError | None] = lambda status, words: None
    secrets: tuple[str, ...] = ()


class _Again(Exception):
    """One attempt did not succeed, and another may."""

    def __init__(self, error: EtlAssetsError, *, after_s: float | None = None, told: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s
        self.told = told


class HttpApi:
    """A hosted backend. Safe from several threads; the connections are opened with the first call.

    ``header`` carries ``scheme`` and the credential. ``stop`` of a call ends its waiting early. ``transport``
    replaces the network.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        credential: Credential | None = None,
        header: str = "Authorization",
        scheme: str = "Bearer ",
        timeout_s: float = 60.0,
        connections: int = 16,
        answer_bytes: int = 256 * 2**20,
        patience: Patience | None = None,
        breaker: CircuitBreaker | None = None,
        transport: "httpx.BaseTransport | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._base = _checked_url(name, base_url)
        self._credential = credential
        self._header, self._scheme = header, scheme
        self._timeout_s, self._connections, self._answer_bytes = timeout_s, connections, answer_bytes
        self._patience = patience or Patience()
        self._breaker = breaker or CircuitBreaker(name)
        self._transport = transport
        self._clock = clock
        self._opening = threading.Lock()
        self._client: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"HttpApi({self.name!r}, {urlsplit(self._base).hostname!r})"

    def close(self) -> None:
        """Let go of the connections; another call opens them again."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def call(
        self,
        request: Request,
        read: Callable[[Answer], T],
        *,
        budget: Budget | None = None,
        patience: Patience | None = None,
        stop: threading.Event | None = None,
    ) -> T:
        """What ``read`` makes of the answer.

        Raises:
            TransientError: nothing usable came in time, or the budget is used up for longer than is waited.
            PermanentError: the backend refuses (401, 402, 403, other 4xx), or every answer was unusable.
            ConfigError: the credential is missing.
            What ``refusal`` makes of a refusal, and what an ``UnusableAnswer`` carries.
        """
        return _Call(self, request, budget, patience or self._patience, stop or threading.Event()).result(read)

    def _opened(self) -> "httpx.Client":
        with self._opening:
            if self._client is None:
                import httpx

                # A proxy of the environment is for the world outside, never for this machine.
                local = urlsplit(self._base).hostname in ("localhost", "127.0.0.1", "::1")
                self._client = httpx.Client(
                    timeout=httpx.Timeout(self._timeout_s, connect=min(10.0, self._timeout_s)),
                    limits=httpx.Limits(
                        max_connections=self._connections, max_keepalive_connections=self._connections,
                        keepalive_expiry=30.0,
                    ),
                    transport=self._transport, trust_env=not local, headers={"Accept": "application/json"},
                )  # fmt: skip
                # Whoever drops an API may forget to close it: its connections go with it, and at the process' end.
                weakref.finalize(self, self._client.close)
            return self._client

    def send(self, request: Request, credential: str, *, stop: threading.Event) -> tuple[int, "httpx.Headers", bytes]:
        """One exchange, without any retry: status, headers and at most ``answer_bytes`` of body.

        Raises:
            Unavailable: no whole answer within the time limit.
            TransientError: ``stop`` was set.
        """
        import httpx

        headers = {**request.headers, **({self._header: self._scheme + credential} if credential else {})}
        content = None
        if request.body is not None:
            # Not httpx's own `json=`: it cannot encode half of a surrogate pair, which documents do hold.
            content = json.dumps(request.body, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
        ends, parts, size = self._clock() + self._timeout_s, [], 0
        try:
            with self._opened().stream(
                request.method, self._base + request.path, content=content, headers=headers
            ) as response:
                for part in response.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    # The client's own limit is for each read: a server that drips would never be cut off.
                    if self._clock() > ends:
                        raise Unavailable(f"{self.name}: no whole answer within {self._timeout_s:g} s")
                    if size > self._answer_bytes:
                        raise PermanentError(f"{self.name}: an answer of over {self._answer_bytes} bytes")
                    if stop.is_set():
                        raise TransientError(f"{self.name}: given up, since another call of the same work failed")
                return response.status_code, response.headers, b"".join(parts)
        except httpx.TimeoutException as e:
            raise Unavailable(f"{self.name}: no answer within {self._timeout_s:g} s ({type(e).__name__})") from e
        except (httpx.TransportError, httpx.DecodingError) as e:
            if is_untrusted(e):
                raise PermanentError(f"{self.name}: {e}; its certificate is not trusted, check the base URL") from e
            raise Unavailable(f"{self.name}: {redacted(str(e), credential) or type(e).__name__}") from e


class _Call:
    """One call of an API, with its attempts."""

    def __init__(
        self, api: HttpApi, request: Request, budget: Budget | None, patience: Patience, stop: threading.Event
    ) -> None:
        self._api = api
        self._request = request
        self._budget = budget
        self._patience = patience
        self._stop = stop
        self._ends = api._clock() + patience.total_s

    def result(self, read: Callable[[Answer], T]) -> T:
        """As ``HttpApi.call``."""
        while True:
            try:
                with self._api._breaker.operation():
                    return self._attempts(read)
            except CircuitOpen as e:
                # Not all who wait come back at once; while one tries, the others look now and then.
                delay = max(e.retry_after_s or 0.0, self._patience.base_s, 0.01) * random.uniform(1.0, 1.3)
                if delay > self._left_s:
                    raise
                self._wait(delay)

    @property
    def _left_s(self) -> float:
        return max(self._ends - self._api._clock(), 0.0)

    def _attempts(self, read: Callable[[Answer], T]) -> T:
        tries, failures, unusable = 0, 0, 0
        while True:
            try:
                return self._attempt(read)
            except UnusableAnswer as e:
                unusable += 1
                if unusable >= self._patience.answers:
                    raise e.error from e
                again = _Again(e.error)
            except _Again as e:
                again = e
                failures += not e.told
            tries += 1
            delay = random.uniform(0.0, min(self._patience.cap_s, self._patience.base_s * 2.0 ** min(tries - 1, 30)))
            delay = max(delay, again.after_s or 0.0)
            if failures >= self._patience.attempts or delay > self._left_s:
                raise self._given_up(again, tries) from again
            self._wait(delay)
            self._api._breaker.refuse_if_open()

    def _given_up(self, again: _Again, tries: int) -> EtlAssetsError:
        times = "once" if tries == 1 else f"{tries} times"
        words = f"{again.error} (asked {times}; try later)"
        if isinstance(again.error, Unavailable) and not again.told:
            return Unavailable(words, retry_after_s=again.after_s)
        return TransientError(words)

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise TransientError(f"{self._api.name}: given up, since another call of the same work failed")

    def _attempt(self, read: Callable[[Answer], T]) -> T:
        reservation = self._turn()
        credential = self._api._credential
        text = _sendable(credential.value(), credential) if credential is not None else ""
        status, headers, content = self._send(text)
        if status in (401, 403) and credential is not None:
            renewed = credential.renewed(text)
            if renewed is not None:
                text = _sendable(renewed, credential)
                status, headers, content = self._send(text)
        if 200 <= status < 300 or status in self._request.accepts:
            answer = Answer(status, self._parsed(content))
            self._settle(reservation, answer)
            return read(answer)
        words = words_of(content, text, *self._request.secrets)
        if status in PASSING:
            raise self._come_back(status, headers, words)
        raise self._refused(status, words)

    def _turn(self) -> Reservation | None:
        if self._budget is None:
            return None
        reservation = self._budget.reserve(self._request.tokens, patience_s=self._left_s)
        if reservation.wait_s > 0:
            self._wait(reservation.wait_s)
        return reservation

    def _settle(self, reservation: Reservation | None, answer: Answer) -> None:
        spent = self._request.spent(answer.body)
        if self._budget is not None and reservation is not None and spent is not None:
            self._budget.settle(reservation, spent)

    def _send(self, credential: str) -> "tuple[int, httpx.Headers, bytes]":
        try:
            return self._api.send(self._request, credential, stop=self._stop)
        except Unavailable as e:
            raise _Again(e) from e

    def _parsed(self, content: bytes) -> Any:
        try:
            return json.loads(content) if content.strip() else None
        except ValueError as e:
            raise _Again(Unavailable(f"{self._api.name}: an answer of {len(content)} bytes that is not JSON")) from e

    def _come_back(self, status: int, headers: "httpx.Headers", words: str) -> _Again:
        after_s = retry_after_s(headers.get("Retry-After"))
        if status == 429 and self._budget is not None and after_s:
            self._budget.pause(min(after_s, self._patience.total_s))
        said = f"{self._api.name}: HTTP {status}{': ' + words if words else ''}"
        return _Again(Unavailable(said, retry_after_s=after_s), after_s=after_s, told=status == 429)

    def _refused(self, status: int, words: str) -> EtlAssetsError:
        own = self._request.refusal(status, words)
        if own is not None:
            return own
        credential = self._api._credential
        said = f"{self._api.name}: HTTP {status}{': ' + words if words else ''}"
        if status in (401, 403):
            advice = f"check {credential.source}" if credential is not None else "it wants a credential; set one"
            return PermanentError(f"{said}; {advice}")
        if status == 402:
            return PermanentError(f"{said}; the account's balance does not suffice, top it up")
        if 300 <= status < 400:
            return PermanentError(f"{said}; it answers at another address, correct the base URL")
        return PermanentError(f"{said}; the request is not accepted, check the address, the model and its options")


def _checked_url(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{name}: the base URL must be http:// or https:// and a host")
    if parts.username or parts.password:
        raise ConfigError(f"{name}: the base URL holds a user or a password; set the credential by its own variable")
    return url.rstrip("/")


def _sendable(text: str, credential: Credential) -> str:
    """``text``, if a header can carry it: the HTTP library's own message would repeat it."""
    if not (text.isascii() and text.isprintable() and text == text.strip()):
        raise ConfigError(f"{credential.source}: the credential has spaces at its ends or characters no header carries")
    return text

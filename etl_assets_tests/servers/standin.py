"""An HTTP server on localhost that plays a vendor's API: it keeps every request, and misbehaves when told to."""

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

Kind = Literal[
    "limited", "error", "slow", "truncated", "garbage", "hang-up",
    "wrong-dimension", "wrong-model", "doubled", "missing", "not-finite", "zero",
]  # fmt: skip
NETWORK: tuple[Kind, ...] = ("limited", "error", "truncated", "garbage", "hang-up", "doubled", "missing")


@dataclass(frozen=True)
class Fault:
    """How one request is answered wrongly. ``status`` is for ``error``, ``seconds`` for ``slow`` and ``limited``."""

    kind: Kind
    status: int = 503
    seconds: float | None = None
    body: object = None


@dataclass(frozen=True)
class Recorded:
    """One request as it came, and the status it got; ``at`` is on the monotonic clock."""

    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    status: int


class Refused(Exception):
    """Raised by a stand-in that does not accept a request."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body, self.headers = status, body, dict(headers or {})


def seeded_faults(seed: int, share: float, kinds: tuple[Kind, ...] = NETWORK) -> Iterator[Fault | None]:
    """For ever: a fault in this share of the requests, the same ones for the same seed."""
    chance = random.Random(seed)
    while True:
        if chance.random() < share:
            yield Fault(chance.choice(kinds), status=chance.choice((500, 502, 503)), seconds=0.0)
        else:
            yield None


@dataclass
class StandIn:
    """Subclasses answer in ``answer``. ``latency_s`` is added to each answer, ``faults`` are used up one a request.

    ``together`` holds answers back until so many requests are under way at once, and then no more.
    """

    keys: set[str] = field(default_factory=lambda: {"test-key"})
    faults: Iterable[Fault | None] = ()
    latency_s: float = 0.0
    together: int = 0
    requests: list[Recorded] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._faults = iter(self.faults)
        self._lock = threading.Lock()
        self._under_way = 0
        self.most_under_way = 0
        self._gate = threading.Event()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        """The JSON of a success, or ``Refused``."""
        raise Refused(404, {"detail": "Not Found"})

    def spoil(self, kind: Kind, answer: Any) -> Any:
        """``answer`` with the content that a fault of this kind has."""
        return answer

    @property
    def url(self) -> str:
        """The address, without a path."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def check_key(self, headers: Mapping[str, str]) -> str:
        """The key of a request that is let in."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or key not in self.keys:
            raise Refused(401, {"detail": f"Invalid API key {key}"})
        return key

    def misbehave(self, *faults: Fault | None) -> None:
        """Answer the next requests so, in this order."""
        with self._lock:
            self._faults = iter(faults)

    def __enter__(self) -> "StandIn":
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                standin.serve(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that went away is what many tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        content = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._lock:
            fault = next(self._faults, None)
            self._under_way += 1
            self.most_under_way = max(self.most_under_way, self._under_way)
            if self._under_way >= self.together:
                self._gate.set()
        try:
            self._gate.wait(30)
            if self.latency_s:
                time.sleep(self.latency_s)
            self._reply(handler, fault, content)
        finally:
            with self._lock:
                self._under_way -= 1

    def _reply(self, handler: BaseHTTPRequestHandler, fault: Fault | None, content: bytes) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        try:
            body = json.loads(content) if content else None
        except ValueError:
            body = content
        try:
            if fault is not None and fault.kind in ("limited", "error"):
                raise _refusal(fault)
            status, found, more = 200, self.answer(handler.command, handler.path, headers, body), {}
        except Refused as e:
            status, found, more = e.status, e.body, e.headers
        with self._lock:
            self.requests.append(Recorded(time.monotonic(), handler.command, handler.path, headers, body, status))
        data = json.dumps(found).encode() if found is not None else b""
        if fault is not None and status == 200:
            if fault.kind == "slow":
                time.sleep(fault.seconds or 0.0)
            data = (
                b"<html>gateway</html>"
                if fault.kind == "garbage"
                else json.dumps(self.spoil(fault.kind, found)).encode()
            )
        if fault is not None and fault.kind == "hang-up":
            handler.close_connection = True
            return
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **more}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if fault is not None and fault.kind == "truncated":
            data = data[: len(data) // 2]
            handler.close_connection = True
        handler.wfile.write(data)


def _refusal(fault: Fault) -> Refused:
    headers = {} if fault.seconds is None else {"Retry-After": f"{fault.seconds:g}"}
    if fault.kind == "limited":
        return Refused(429, fault.body or {"detail": "Rate limit exceeded"}, headers)
    return Refused(fault.status, fault.body or {"detail": "unavailable"}, headers)


@dataclass
class Windows:
    """Requests and tokens of each key within a sliding window, as a vendor counts them."""

    requests: int | None = None
    tokens: int | None = None
    window_s: float = 60.0
    _seen: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def charge(self, key: str, tokens: int) -> None:
        """Let one request in, or refuse it with the seconds after which there is room."""
        now = time.monotonic()
        with self._lock:
            seen = [one for one in self._seen.get(key, []) if one[0] > now - self.window_s]
            full = self.requests is not None and len(seen) >= self.requests
            full = full or (self.tokens is not None and bool(seen) and sum(t for _, t in seen) + tokens > self.tokens)
            if full:
                raise Refused(
                    429, {"detail": "Rate limit exceeded"}, {"Retry-After": f"{seen[0][0] + self.window_s - now:.2f}"}
                )
            self._seen[key] = [*seen, (now, tokens)]

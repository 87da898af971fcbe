"""A pool of parsing processes. A document that hangs, grows or crashes costs itself and a worker, nobody else.

The pool starts processes with subprocess, not multiprocessing: those need no re-import of ``__main__``, inherit no
locks, threads or descriptors, and import the parsing modules only (about 0.1 s of CPU each).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing.document import ParsedDocument
from etl_assets.documents.parsing.worker import decode_document
from etl_assets.errors import DataError, PermanentError

POLL_S = 0.05
"""How often limits are looked at: a document may overrun its time by this, its memory by what it grows in it."""

START_LIMIT_S = 60.0
MAX_FAILED_STARTS = 3
RECYCLE_AFTER = 500
RECYCLE_RSS_BYTES = 400 << 20
"""A worker that kept more than this after a document is replaced; one with every library loaded has about 130 MB."""

_MB = 1 << 20
_PARSE = "etl_assets.documents.parsing.parser:parse"


@dataclass(frozen=True, slots=True)
class ParseRequest:
    """One file to parse. ``name`` and ``content_type`` as in ``parser.parse``; ``path`` is read by another process."""

    document_id: str
    path: Path
    name: str
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class ParseResult:
    """Either ``document`` or ``error`` is set. ``seconds`` is wall time in the worker, its start-up not counted."""

    document_id: str
    document: ParsedDocument | None
    error: DataError | None
    seconds: float


class ParserPool:
    """Up to ``processes`` workers (default: one per usable core), started when there is work and kept for the next.

    ``parser`` names the function that workers call, as ``module:function``. A pool may be used from several threads;
    each call then works with the workers that are idle, and at least with one. ``close`` ends the workers; they also
    end by themselves when this process is killed.
    """

    def __init__(self, *, processes: int | None = None, parser: str = _PARSE) -> None:
        self._processes = max(1, processes or _usable_cores())
        self._parser = parser
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, _kill_all, self._all)

    def __enter__(self) -> ParserPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker. The pool can be used again afterwards, with new ones."""
        with self._lock:
            self._idle.clear()
            _kill_all(self._all)

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that are running now."""
        with self._lock:
            return [worker.pid for worker in self._all]

    def parse_many(self, requests: Iterable[ParseRequest], limits: ParsingLimits) -> Iterator[ParseResult]:
        """One result per request, in the order in which they finish.

        ``requests`` is read only as workers become free, so it may prepare each file when asked for it. Closing the
        iterator early kills what is still being parsed.

        Raises:
            PermanentError: no worker can be started.
        """
        call = _Call(self, iter(requests), limits)
        try:
            yield from call.results()
        finally:
            call.abandon()

    def _borrow(self, *, fresh: bool) -> _Worker:
        with self._lock:
            while self._idle and not fresh:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                self._discard(worker)
            worker = _Worker(self._parser)
            self._all.add(worker)
            return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            worn = worker.served >= RECYCLE_AFTER or worker.rss_bytes() > RECYCLE_RSS_BYTES
            if worn or len(self._idle) >= self._processes or worker not in self._all:
                self._discard(worker)
            else:
                self._idle.append(worker)

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._discard(worker)

    def _discard(self, worker: _Worker) -> None:
        self._all.discard(worker)
        worker.kill()


class _Call:
    """One run of ``parse_many``: what waits, what is being parsed, and by whom."""

    def __init__(self, pool: ParserPool, requests: Iterator[ParseRequest], limits: ParsingLimits) -> None:
        self._pool = pool
        self._requests = requests
        self._limits = limits
        self._retries: deque[ParseRequest] = deque()
        self._busy: dict[Connection, _Worker] = {}
        self._failed_starts = 0
        self._is_exhausted = False

    def results(self) -> Iterator[ParseResult]:
        while True:
            while len(self._busy) < self._pool._processes:
                request, fresh = self._next()
                if request is None:
                    break
                error = _too_large(request, self._limits)
                if error is not None:
                    yield ParseResult(request.document_id, None, error, 0.0)
                    continue
                worker = self._pool._borrow(fresh=fresh)
                self._busy[worker.connection] = worker
                worker.begin(request, self._limits, is_retry=fresh)
            if not self._busy:
                return
            yield from self._settled()

    def abandon(self) -> None:
        for worker in self._busy.values():
            self._pool._drop(worker)
        self._busy.clear()

    def _next(self) -> tuple[ParseRequest | None, bool]:
        if self._retries:
            return self._retries.popleft(), True
        if self._is_exhausted:
            return None, False
        request = next(self._requests, None)
        self._is_exhausted = request is None
        return request, False

    def _settled(self) -> Iterator[ParseResult]:
        """Results of the workers that answered, died or went over a limit within a moment."""
        ready = wait(list(self._busy), timeout=POLL_S)
        for connection, worker in list(self._busy.items()):
            result = self._heard(worker) if connection in ready else self._overrun(worker)
            if result is not None:
                yield result

    def _heard(self, worker: _Worker) -> ParseResult | None:
        try:
            answer: dict[str, Any] = json.loads(worker.connection.recv_bytes())
        except (EOFError, OSError, ValueError):
            return self._died(worker)
        if "ready" in answer:
            worker.is_ready_now()
            self._failed_starts = 0
            return None
        if "alive" in answer:
            worker.goes_on()
            return None
        request = worker.request
        worker.served += 1
        del self._busy[worker.connection]
        if "reason" in answer:
            error = DataError(str(answer["message"]), reason=str(answer["reason"]))
            # After a MemoryError or a library's bug the process may be in any state: the next document gets a new one.
            spoilt = error.reason in ("memory-limit", "crashed")
            (self._pool._drop if spoilt else self._pool._give_back)(worker)
            return ParseResult(request.document_id, None, error, float(answer["seconds"]))
        document = decode_document(answer)
        self._pool._give_back(worker)
        return ParseResult(request.document_id, document, None, float(answer["seconds"]))

    def _overrun(self, worker: _Worker) -> ParseResult | None:
        if worker.ready_at is None:
            if time.monotonic() - worker.started_at > START_LIMIT_S:
                return self._died(worker)
            return None
        seconds = worker.seconds
        if seconds > self._limits.time_limit_s:
            problem = f"took longer than its limit of {self._limits.time_limit_s:g} s; raise time_limit_s, or split it"
            return self._failed(worker, problem, "time-limit")
        used = worker.used_bytes()
        if used > self._limits.memory_limit_mb * _MB:
            problem = f"needed {used // _MB} MB of {self._limits.memory_limit_mb}; raise memory_limit_mb, or split it"
            return self._failed(worker, problem, "memory-limit")
        return None

    def _died(self, worker: _Worker) -> ParseResult | None:
        if worker.ready_at is None:
            self._failed_to_start(worker)
            return None
        if worker.served and not worker.is_retry:
            # What an earlier document did to the process may have killed it: this one gets a fresh process once.
            self._drop_busy(worker)
            self._retries.append(worker.request)
            return None
        status = worker.ended_with()
        cause = signal.Signals(-status).name if status < 0 else f"exit code {status}"
        if worker.peak_bytes * 2 > self._limits.memory_limit_mb * _MB:
            return self._failed(worker, f"ended its parser ({cause}) at {worker.peak_bytes // _MB} MB", "memory-limit")
        return self._failed(worker, f"crashed its parser ({cause})", "crashed")

    def _failed_to_start(self, worker: _Worker) -> None:
        status = worker.ended_with()
        self._drop_busy(worker)
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise PermanentError(
                f"parser workers end before they are ready (exit code {status}); run "
                f"'{sys.executable} -m etl_assets.documents.parsing.worker' to see why"
            )
        self._retries.append(worker.request)

    def _failed(self, worker: _Worker, problem: str, reason: str) -> ParseResult:
        self._drop_busy(worker)
        error = DataError(f"{worker.request.name}: {problem}", reason=reason)
        return ParseResult(worker.request.document_id, None, error, worker.seconds)

    def _drop_busy(self, worker: _Worker) -> None:
        del self._busy[worker.connection]
        self._pool._drop(worker)


class _Worker:
    """A process and this end of its socket."""

    def __init__(self, parser: str) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = [sys.executable, "-P", "-W", "ignore", "-m", "etl_assets.documents.parsing.worker"]
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid()), parser],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                env=_environment(), start_new_session=True,
            )  # fmt: skip
            self.connection = Connection(ours.detach())
        self.pid = self._process.pid
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        self.served = 0
        self.is_retry = False
        self.peak_bytes = 0
        self._begun_at = self.started_at
        self._baseline_bytes = 0
        self._request: ParseRequest | None = None

    @property
    def request(self) -> ParseRequest:
        assert self._request is not None
        return self._request

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None and not self.connection.closed

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun_at

    def begin(self, request: ParseRequest, limits: ParsingLimits, *, is_retry: bool) -> None:
        """Send a request. A worker that just died is noticed when its answer is awaited."""
        self._request, self.is_retry = request, is_retry
        message = {
            "path": os.fspath(request.path),
            "name": request.name,
            "content_type": request.content_type,
            "time_limit_s": limits.time_limit_s,
            "memory_limit_bytes": limits.memory_limit_mb * _MB,
            "reading": limits.reading,
        }
        self._begun_at = time.monotonic()
        self._baseline_bytes, self.peak_bytes = self.rss_bytes(), 0
        try:
            self.connection.send_bytes(json.dumps(message).encode())
        except OSError:
            return

    def is_ready_now(self) -> None:
        self.ready_at = self._begun_at = time.monotonic()
        self._baseline_bytes = self.rss_bytes()

    def goes_on(self) -> None:
        """Count the document's time from now: one of its slow pages is done."""
        self._begun_at = time.monotonic()

    def used_bytes(self) -> int:
        """What the document added to the process; the largest seen is kept."""
        used = self.rss_bytes() - self._baseline_bytes
        self.peak_bytes = max(self.peak_bytes, used)
        return used

    def rss_bytes(self) -> int:
        """Resident memory; 0 where there is no /proc, whose systems are left with the worker's own address limit."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def kill(self) -> int:
        """End the process, if it has not, and return its status: an exit code, or minus a signal."""
        self.connection.close()
        if self._process.poll() is None:
            self._process.kill()
        status = self._process.wait()
        self._kill_programs()
        return status

    def ended_with(self) -> int:
        """The status of a process that is ending by itself: its socket closes a moment before it can be reaped."""
        try:
            return self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return self.kill()

    def _kill_programs(self) -> None:
        """End what the process had called, such as tesseract: it is in the session that the process began."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _kill_all(workers: set[_Worker]) -> None:
    while workers:
        workers.pop().kill()


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _environment() -> dict[str, str]:
    """The parent's, so that the same packages are found; numeric libraries get one thread and malloc two arenas."""
    root = str(Path(__file__).parents[3])
    paths = [root, *(p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != root)]
    quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(paths)}


def _too_large(request: ParseRequest, limits: ParsingLimits) -> DataError | None:
    try:
        size = request.path.stat().st_size
    except OSError as e:
        return DataError(f"{request.name}: cannot be read ({e.strerror}); see that it is there", reason="unreadable")
    if size > limits.size_limit_mb * _MB:
        problem = f"has {size // _MB} MB, over its limit of {limits.size_limit_mb}; raise size_limit_mb, or split it"
        return DataError(f"{request.name}: {problem}", reason="too-large")
    return None

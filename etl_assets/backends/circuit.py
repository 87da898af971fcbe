"""Calls to one hosted backend: bounded retries with backoff and full jitter, behind a circuit breaker.

For adapters of every kind; nothing here knows a protocol. An adapter turns what its client library raises into
``Unavailable`` (may pass: it is retried and counted), or into any other error (the backend answered: raised at once).
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from etl_assets.errors import ConfigError, TransientError

T = TypeVar("T")


class Unavailable(TransientError):
    """The backend gave no answer, or one that says to come back: lost connections, time-outs, 5xx, too many requests.

    ``retry_after_s`` is what the backend asked for, in seconds, if it said so.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CircuitOpen(Unavailable):
    """The backend failed so often that it was not asked this time."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One opening of a circuit, for the event that a user sees. ``problem`` is the last failure."""

    backend: str
    failures: int
    pause_s: float
    problem: str


@dataclass(slots=True)
class _Pass:
    """Leave to do one operation; ``era`` is the number of openings and closings before it began."""

    era: int
    is_probe: bool


class CircuitBreaker:
    """Stops asking a backend that keeps failing. One for each backend and process; safe for any number of threads.

    After ``failures`` operations in a row ended in ``Unavailable`` the circuit opens: operations are refused at once.
    After ``pause_s`` one operation is let through; when it passes the circuit closes, else it stays open for another
    pause. Operations that began before the circuit last changed say nothing about now, and do not count.
    """

    def __init__(
        self,
        backend: str,
        *,
        failures: int = 5,
        pause_s: float = 15.0,
        on_open: Callable[[Opening], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or pause_s <= 0:
            raise ConfigError(f"circuit of {backend}: needs failures >= 1 and pause_s > 0")
        self._backend = backend
        self._limit = failures
        self._pause_s = pause_s
        self._on_open = on_open
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._era = 0
        self._opened_at: float | None = None
        self._problem = ""
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether operations are refused now, the next probe excepted."""
        return self._opened_at is not None

    @contextmanager
    def operation(self) -> Iterator[None]:
        """One operation, retries included.

        Raises:
            CircuitOpen: the backend is not asked now.
        """
        given = self._admit()
        try:
            yield
        except CircuitOpen:
            self._leave(given)
            raise
        except Unavailable as e:
            self._count(given, str(e))
            raise
        except Exception:
            # Any other error was made of an answer, or is not the backend's (a full disk): either way no failure.
            self._close(given)
            raise
        except BaseException:
            self._leave(given)
            raise
        self._close(given)

    def refuse_if_open(self) -> None:
        """Stop an operation between two attempts once others have found that the backend is down.

        Raises:
            CircuitOpen: the circuit is open, and no probe is being made.
        """
        with self._lock:
            if self._opened_at is not None and not self._is_probing:
                raise self._refusal()

    def _admit(self) -> _Pass:
        with self._lock:
            if self._opened_at is None:
                return _Pass(self._era, is_probe=False)
            if self._is_probing or self._clock() - self._opened_at < self._pause_s:
                raise self._refusal()
            self._is_probing = True
            return _Pass(self._era, is_probe=True)

    def _refusal(self) -> CircuitOpen:
        left = max(self._pause_s - (self._clock() - (self._opened_at or 0.0)), 0.0)
        return CircuitOpen(
            f"{self._backend} is not asked for the next {left:.0f} s: it kept failing; last: {self._problem}",
            retry_after_s=left,
        )

    def _count(self, given: _Pass, problem: str) -> None:
        with self._lock:
            if given.era != self._era:
                return
            self._failed += 1
            if not given.is_probe and self._failed < self._limit:
                return
            self._era += 1
            self._opened_at, self._problem, self._is_probing = self._clock(), problem, False
            opening = Opening(self._backend, self._failed, self._pause_s, problem)
        # Outside the lock: whoever is told may take long, or call this backend.
        if self._on_open is not None:
            self._on_open(opening)

    def _close(self, given: _Pass) -> None:
        with self._lock:
            if given.era != self._era:
                return
            self._failed = 0
            if given.is_probe:
                self._era += 1
                self._opened_at, self._is_probing = None, False

    def _leave(self, given: _Pass) -> None:
        with self._lock:
            if given.is_probe and given.era == self._era:
                self._is_probing = False


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often an operation is attempted, and how long is waited in between: a random time up to a doubling bound.

    Full jitter, see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. By default 8 attempts, about 11 s
    of waiting on average and 23 s at most: most servers restart in less.
    """

    attempts: int = 8
    base_s: float = 0.2
    cap_s: float = 10.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.base_s <= self.cap_s:
            raise ConfigError(f"{self}: needs attempts >= 1 and 0 <= base_s <= cap_s")

    def delays(self) -> Iterator[float]:
        """Seconds to wait before the second and every later attempt."""
        for attempt in range(self.attempts - 1):
            yield random.uniform(0, min(self.cap_s, self.base_s * 2.0**attempt))


@dataclass(frozen=True, slots=True)
class Calls:
    """Operations on one backend. ``sleep`` may be one that wakes when the run is cancelled."""

    breaker: CircuitBreaker
    backoff: Backoff = field(default_factory=Backoff)
    sleep: Callable[[float], object] = time.sleep

    def run(self, attempt: Callable[[], T]) -> T:
        """What ``attempt`` returns; it is called again while it raises ``Unavailable`` and attempts are left.

        A wait that the backend asked for (``retry_after_s``) is kept, up to ``cap_s`` of the backoff.

        Raises:
            CircuitOpen: the backend is not asked now.
            Unavailable: as the last attempt raised it.
        """
        with self.breaker.operation():
            for delay in self.backoff.delays():
                try:
                    return attempt()
                except Unavailable as e:
                    asked = min(e.retry_after_s or 0.0, self.backoff.cap_s)
                self.sleep(max(delay, asked))
                self.breaker.refuse_if_open()
            return attempt()

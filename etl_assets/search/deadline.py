"""Calls that must be back in time: each in a thread, and what is late is left behind."""

import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from etl_assets.errors import EtlAssetsError, TransientError

Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")


class Deadline:
    """A moment by which something must be over, on the monotonic clock."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._ends = time.monotonic() + limit_s

    @property
    def left_s(self) -> float:
        """How long until then; 0 when it has passed."""
        return max(0.0, self._ends - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self.left_s <= 0.0

    def earlier(self, share: float) -> "Deadline":
        """The moment when this share of the time that is left now is gone."""
        return Deadline(self.left_s * share)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How one call ended: its ``value``, or the ``error`` of the kind a search can do without. ``seconds`` it took."""

    value: T | None
    error: EtlAssetsError | None
    seconds: float

    def result(self) -> T:
        """The value.

        Raises:
            EtlAssetsError: what the call raised, or that it was late.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where T admits it


def run_all(calls: Mapping[Key, Callable[[], T]], deadline: Deadline, *, threads: int = 8) -> dict[Key, Outcome[T]]:
    """Every call's outcome by key, in the order of ``calls``; one that is not back by the deadline is a TransientError.

    At most ``threads`` run at a time, as daemons: a call that hangs is left behind, and holds up neither the caller
    nor the end of the process. A defect (any error that is not the package's own) is raised here.
    """
    waiting = iter(list(calls.items()))
    lock = threading.Lock()
    finished: queue.SimpleQueue[tuple[Key, Outcome[T] | BaseException]] = queue.SimpleQueue()
    workers = [
        threading.Thread(target=_work, args=(waiting, lock, finished, deadline), name="search", daemon=True)
        for _ in range(min(threads, len(calls)))
    ]
    for worker in workers:
        worker.start()
    outcomes: dict[Key, Outcome[T]] = {}
    while len(outcomes) < len(calls):
        try:
            key, outcome = finished.get(timeout=max(deadline.left_s, 0.001))
        except queue.Empty:
            break
        if isinstance(outcome, BaseException):
            raise outcome
        outcomes[key] = outcome
    late: Outcome[T] = Outcome(None, TransientError(f"no answer within {deadline.limit_s:.2g} s"), deadline.limit_s)
    return {key: outcomes.get(key, late) for key in calls}


def _work(
    waiting: Iterator[tuple[Key, Callable[[], T]]],
    lock: threading.Lock,
    finished: "queue.SimpleQueue[tuple[Key, Outcome[T] | BaseException]]",
    deadline: Deadline,
) -> None:
    while not deadline.passed:
        with lock:
            item = next(waiting, None)
        if item is None:
            return
        key, call = item
        started = time.monotonic()
        try:
            value = call()
        except EtlAssetsError as error:
            finished.put((key, Outcome(None, error, time.monotonic() - started)))
        except BaseException as error:  # noqa: BLE001  # handed over and raised in the caller's thread
            finished.put((key, error))
        else:
            finished.put((key, Outcome(value, None, time.monotonic() - started)))

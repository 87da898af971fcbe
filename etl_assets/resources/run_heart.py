"""Signs of life of a queued run, in Dagster's storage, which every machine reaches; with each, a look for a stop.

A run's worker writes another text at every beat. Whoever watches it takes the time by a clock of its own, so the clocks
of two machines need not agree. When the run ends nothing of it stays.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.storage.runs.schema import KeyValueStoreTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

WORKER_TAG = "etl_assets/worker"
"""Tag of a queued run that began: the host and process id of what executed it last."""

BEAT_S = 2.0
DEAD_AFTER_S = 20.0
"""A run that gave no sign of life for so long, by the watcher's own clock, has lost its worker."""

_POLL_S = 0.5
_STOP = signal.SIGUSR2
_ASK_AGAIN_BEATS = 5
_STOPPED = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE}


def heart_of(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """What the run's worker wrote last: another text at every beat; ``None`` before its first and after its end."""
    key = _key(run_id)
    return instance.run_storage.get_cursor_values({key}).get(key)


@contextmanager
def beating(instance: dg.DagsterInstance, run_id: str, *, worker: str, beat_s: float = BEAT_S) -> Iterator[None]:
    """Give signs of life of a run while the context is open, and interrupt the main thread when it shall stop.

    It shall stop when a person cancels it, and when it was reported as lost: its work is somebody else's by then.
    """
    heart = _Heart(instance, run_id, worker, beat_s)
    before = signal.signal(_STOP, _interrupt)
    try:
        instance.add_run_tags(run_id, {WORKER_TAG: worker})
        heart.beat()
        heart.start()
        yield
    finally:
        heart.end()
        signal.signal(_STOP, before)
        forget(instance, run_id)


def forget(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove the heart of a run that has ended. One that is not there does no harm."""
    storage = instance.run_storage
    # Dagster's interface writes and reads such values, and removes none.
    assert isinstance(storage, SqlRunStorage), type(storage)
    with storage.connect() as connection:
        connection.execute(KeyValueStoreTable.delete().where(KeyValueStoreTable.c.key == _key(run_id)))


def is_alive(instance: dg.DagsterInstance, run_id: str, *, within_s: float = DEAD_AFTER_S) -> bool:
    """Watch a run's heart until it beats, at most for ``within_s``; whether it did, or the run ended meanwhile."""
    first, until = heart_of(instance, run_id), time.monotonic() + within_s
    while time.monotonic() < until:
        time.sleep(_POLL_S)
        run = instance.get_run_by_id(run_id)
        if heart_of(instance, run_id) != first or run is None or run.is_finished:
            return True
    return False


def report_lost(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Enter that a run ended without a word, for the daemon to start it anew; its pool slots are free at once."""
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message)
    else:
        instance.report_run_failed(
            run, message, JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
        )
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    forget(instance, run.run_id)


class _Heart(threading.Thread):
    """Beats until it is ended. A run that shall stop is interrupted again and again: not everywhere does it listen."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str, worker: str, beat_s: float) -> None:
        super().__init__(name=f"heart of {run_id}", daemon=True)
        self._instance = instance
        self._run_id = run_id
        self._worker = worker
        self._beat_s = beat_s
        self._count = 0
        self._looks = 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._beat_s):
            with suppress(Exception):  # a database that restarts: the next beat, or the run itself, finds out
                self.beat()
                self._look()

    def end(self) -> None:
        self._ended.set()
        if self.ident is not None:
            self.join()

    def beat(self) -> None:
        self._count += 1
        self._instance.run_storage.set_cursor_values({_key(self._run_id): f"{self._worker} {self._count}"})

    def _look(self) -> None:
        run = self._instance.get_run_by_id(self._run_id)
        if run is None or run.status not in _STOPPED:
            return
        self._looks += 1
        # Not at the first look: a run that failed by itself is seen like this too, while it lets its partition go.
        if self._looks % _ASK_AGAIN_BEATS == 2 and not self._ended.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, _STOP)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Dagster raises for SIGINT in steps, and looks at nothing while a step waits for its turn in a pool."""
    if frame is not None and frame.f_code is ActiveExecution.sleep_til_ready.__code__:
        raise DagsterExecutionInterruptedError
    signal.raise_signal(signal.SIGINT)


def _key(run_id: str) -> str:
    return f"etl_assets/heart/{run_id}"

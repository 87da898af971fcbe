"""Whether somebody asked this process to stop, whoever handles its signals at the moment.

Dagster puts handlers of its own in place while a step runs, and its retry policy may try an interrupted step again; so
what a handler of ours would raise is not enough. Every handled signal also writes its number to a pipe, which is asked
here between batches. And what a handler raises is lost where it came while a callback of the garbage collector ran:
Python prints it and goes on; that is noted here instead.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM)
TERMINATED = 143
INTERRUPTIONS = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}
"""What handlers of signals raise, by the names of their classes: Dagster may not be imported here."""


@contextmanager
def watched_signals() -> Iterator[Callable[[], int | None]]:
    """A function that gives the number of the first SIGINT or SIGTERM since; with the context's end it is acted on.

    Raises:
        KeyboardInterrupt: SIGINT came, even if what ran inside the context went on to its end.
        SystemExit: SIGTERM came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread is told of signals
        return
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    seen: list[int] = []

    def asked() -> int | None:
        with suppress(BlockingIOError):  # nothing new
            seen.extend(number for number in os.read(reading, 1024) if number in ENDING)
        return seen[0] if seen else None

    try:
        with _lost_interruptions(seen):
            yield asked
        asked()
    finally:
        signal.set_wakeup_fd(previous)
        os.close(reading)
        os.close(writing)
    if seen:
        end(seen[0])


@contextmanager
def _lost_interruptions(seen: list[int]) -> Iterator[None]:
    """Enter a SIGINT where an interruption was raised and could not be; any other error is told as it was before."""
    before = sys.unraisablehook

    def note(lost: "sys.UnraisableHookArgs") -> None:
        if lost.exc_type.__name__ in INTERRUPTIONS:
            seen.append(signal.SIGINT)
        else:
            before(lost)

    sys.unraisablehook = note
    try:
        yield
    finally:
        sys.unraisablehook = before


def end(number: int) -> NoReturn:
    """Leave by the normal way out for this signal, so that leases are given back."""
    if number == signal.SIGTERM:
        raise SystemExit(TERMINATED)
    raise KeyboardInterrupt

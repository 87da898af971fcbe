"""Whether somebody asked this process to stop, whoever handles its signals at the moment.

Dagster puts handlers of its own in place while a step runs, and its retry policy may try an interrupted step again; so
what a handler of ours would raise is not enough. Every handled signal also writes its number to a pipe, which is asked
here between batches.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM)
TERMINATED = 143


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
        yield asked
        asked()
    finally:
        signal.set_wakeup_fd(previous)
        os.close(reading)
        os.close(writing)
    if seen:
        end(seen[0])


def end(number: int) -> NoReturn:
    """Leave by the normal way out for this signal, so that leases are given back."""
    if number == signal.SIGTERM:
        raise SystemExit(TERMINATED)
    raise KeyboardInterrupt

"""Beginning a transaction on a server that is away for a moment.

Only the beginning is tried again: by then nothing has been done. What breaks off later is for whoever knows what may
be done twice.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

PATIENCE_S = 15.0
"""How long a transaction waits for its server: longer than PostgreSQL takes to restart or to recover from a crash."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0


def begun(begin: Callable[[], T], *, may_pass: Callable[[DBAPIError], bool], patience_s: float) -> T:
    """What ``begin`` returns; called again for ``patience_s`` while its error is one that may pass.

    Pauses double up to LONGEST_PAUSE_S, each drawn from 0 up (full jitter): after an outage everybody comes back.

    Raises:
        DBAPIError: as the last attempt raised it.
    """
    deadline = time.monotonic() + patience_s
    bound = FIRST_PAUSE_S
    while True:
        try:
            return begin()
        except DBAPIError as e:
            pause = random.uniform(0, bound)
            if time.monotonic() + pause >= deadline or not may_pass(e):
                raise
        time.sleep(pause)
        bound = min(2 * bound, LONGEST_PAUSE_S)

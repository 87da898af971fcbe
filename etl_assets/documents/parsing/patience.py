"""How a parser says that it is getting on, where one page may take as long as a document usually does.

Whoever set a time limit counts it anew from there: a document of many pages, or of some that are scanned, is no
document that hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[], None]] = []


@contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """For the time of the context ``listener`` is called whenever the parser has got on."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def getting_on() -> None:
    """Tell whoever listens: a slow page is done, or hundreds of others."""
    for listener in _listeners:
        listener()

"""Where a store tells what happened to its keys: a queue of messages, each to be looked into and then taken out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One message. ``keys`` are below the store's prefix; what happened to them is not kept: a key is looked up.

    ``problem`` says what is strange about the message, "" for nothing; ``digest`` is of its text, and ``receipt`` is
    what the queue needs to take it out.
    """

    receipt: str
    digest: str
    keys: Sequence[str] = ()
    problem: str = ""


class ArrivalEvents(Protocol):
    """A queue that delivers every message at least once, in any order."""

    def receive(self) -> Sequence[EventMessage]:
        """Some messages, hidden from others for a while; none when the queue seems empty.

        Raises:
            TransientError: it does not answer now.
            PermanentError: it refuses.
            ConfigError: there is no such queue.
        """
        ...

    def done(self, messages: Sequence[EventMessage]) -> int:
        """Take messages out of the queue; how many could not be, and will come again.

        Raises:
            TransientError, PermanentError: as for ``receive``; the messages come again.
        """
        ...

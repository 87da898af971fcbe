"""An index of another system, read from beginning to end and never written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """One row as the other system keeps it. ``place`` says where, for people, such as ``line 12``.

    ``record`` holds its fields, those of nested records under their own names; with a ``problem`` there is none.
    """

    place: str
    record: Mapping[str, Any]
    problem: str = ""


class ForeignIndex(Protocol):
    """Rows with an id, a text, a vector and metadata, under whatever names."""

    @property
    def name(self) -> str:
        """Which index this is, the same whenever it is read: a path or an address, without credentials."""
        ...

    def rows(self) -> Iterator[ForeignRow]:
        """Every row, in an order that stays the same while nothing changes.

        Raises:
            ConfigError: there is no such index, or it has another form; the message lists what there is.
            PermanentError: it cannot be read whole: a part must never look like all of it.
            TransientError: a server does not answer now.
        """
        ...

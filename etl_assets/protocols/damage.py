"""What a store says when its own files are damaged: it answers, and what it holds cannot be read any more."""

from typing import Protocol, runtime_checkable

from etl_assets.errors import PermanentError


class DamagedError(PermanentError):
    """The files of an index or of the graph cannot be read. All of it can be made again from the lake."""


@runtime_checkable
class Discardable(Protocol):
    """A store that can be thrown away as a whole although it cannot be read."""

    def discard(self) -> None:
        """Remove everything that is held, readable or not. Idempotent."""
        ...

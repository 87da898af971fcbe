"""Which publications a reader at one ledger sequence number may see. Indexes and graph filter by it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visibility:
    """Publication ``p`` is visible when ``p <= highest`` and no range of ``hidden`` holds it.

    ``hidden`` are inclusive, ascending, disjoint ranges of publication numbers at or below ``highest``
    that are staged, superseded, abandoned or of another index generation at ``sequence``.
    """

    sequence: int
    highest: int
    hidden: tuple[tuple[int, int], ...] = ()

    def admits(self, publication: int) -> bool:
        """Whether a reader may see rows of ``publication``."""
        return publication <= self.highest and not any(low <= publication <= high for low, high in self.hidden)

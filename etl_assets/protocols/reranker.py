"""Putting the best hits of a search in a better order by reading them beside the query."""

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    """Every method may raise TransientError."""

    @property
    def name(self) -> str:
        """Which model it is, as answers name it among their sources."""
        ...

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One score for each text, in the order given; higher is better."""
        ...

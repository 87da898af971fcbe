"""Joining ranked lists of keys into one. Pure: nothing here knows what a key names or where a list came from."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from etl_assets.errors import ConfigError


class Sortable(Hashable, Protocol):
    """A key: equal, hashable, and in an order, so that ties always fall the same way."""

    def __lt__(self, other: Any, /) -> bool: ...


Key = TypeVar("Key", bound=Sortable)


@dataclass(frozen=True, slots=True)
class Fused(Generic[Key]):
    """One key of the joined list. ``ranks`` gives its place, from 1, in each list that holds it."""

    key: Key
    score: float
    ranks: Mapping[str, int]


def reciprocal_rank_fusion(
    rankings: Mapping[str, Sequence[Key]], *, k: float = 60.0, weights: Mapping[str, float] | None = None
) -> list[Fused[Key]]:
    """Every key of any list, best first, scored by the sum over lists of ``weight / (k + rank)``.

    Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods", SIGIR 2009; their ``k`` is 60. Ranks count from 1; a key that stands twice in a list counts where it
    stands first. Equal scores are ordered by the best rank, then by the key, never by the order of ``rankings``.

    Args:
        rankings: keys by name of the list, best first.
        weights: by name of the list; a list that is not named weighs 1, one of weight 0 is left out.

    Raises:
        ConfigError: ``k`` or a weight is negative or not finite, or a weight names no list.
    """
    weights = weights or {}
    _check(k, weights, rankings)
    ranks: dict[Key, dict[str, int]] = {}
    for name in sorted(rankings):
        if weights.get(name, 1.0) > 0:
            for rank, key in enumerate(rankings[name], start=1):
                ranks.setdefault(key, {}).setdefault(name, rank)
    fused = [
        Fused(key, math.fsum(weights.get(name, 1.0) / (k + rank) for name, rank in of_key.items()), of_key)
        for key, of_key in ranks.items()
    ]
    return sorted(fused, key=lambda hit: (-hit.score, min(hit.ranks.values()), hit.key))


def best_by_document(hits: Iterable[tuple[Key, float]]) -> list[tuple[Key, float]]:
    """Each document of ``hits`` (document, score) once, with its best score; best first, ties by document.

    This is how hits on chunks become hits on documents.
    """
    best: dict[Key, float] = {}
    for document, score in hits:
        best[document] = max(score, best.get(document, -math.inf))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))


def _check(k: float, weights: Mapping[str, float], names: Iterable[str]) -> None:
    if not (math.isfinite(k) and k >= 0):
        raise ConfigError(f"rank fusion: k is {k}, it must be a finite number of at least 0")
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"rank fusion: weight of {name} is {weight}, it must be a finite number of at least 0")
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise ConfigError(
            f"rank fusion: weights name {', '.join(unknown)}, but the lists are {', '.join(sorted(names))}"
        )

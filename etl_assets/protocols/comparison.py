"""How one index generation answers beside another: what is asked of whoever can search, and what is told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Judgement:
    """Queries that people asked, by id, and where known the grade of each document (0 and more), by query id."""

    queries: Mapping[str, str] = field(default_factory=dict)
    grades: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over the questions of a comparison; ``None`` where nothing was asked that tells it.

    ``recall``: the share of probes, own words of the collection's chunks, that find their own document among the
    first ``k``; ``vector_recall`` is the same of vectors alone. ``overlap``: which part of the first ``k`` documents
    both have. ``agreement``: rank-biased overlap (p 0.9) of both rankings, 0 to 1. ``ndcg``: nDCG@10 over judged
    queries. ``live_`` is of the one that answers.
    """

    k: int
    queries: int = 0
    probes: int = 0
    judged: int = 0
    live_recall: float | None = None
    recall: float | None = None
    live_vector_recall: float | None = None
    vector_recall: float | None = None
    overlap: float | None = None
    agreement: float | None = None
    live_ndcg: float | None = None
    ndcg: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Every figure by its name."""
        return asdict(self)


class Compare(Protocol):
    """Asks both generations of one collection the same questions.

    Raises:
        TransientError, PermanentError: a source did not answer, so that no figure would be one.
    """

    def __call__(self, tenant: str, collection: str, live: int, other: int, judgement: Judgement) -> Quality: ...


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], *, p: float = 0.9) -> float:
    """Agreement of two rankings without repetition, 0 to 1, the top weighing most; two empty ones agree wholly.

    Extrapolated to the end of the longer one: Webber, Moffat and Zobel (2010), doi:10.1145/1852102.1852106, eq. 32.
    """
    short, long = sorted((list(first), list(second)), key=len)
    if not long:
        return 1.0
    if not short:
        return 0.0
    s, size = len(short), len(long)
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    common = {0: 0}
    for depth in range(1, size + 1):
        seen_long.add(long[depth - 1])
        seen_short.update(short[depth - 1 : depth])
        common[depth] = len(seen_long & seen_short)
    total = sum(common[d] / d * p**d for d in range(1, size + 1))
    total += sum(common[s] * (d - s) / (s * d) * p**d for d in range(s + 1, size + 1))
    rest = (common[size] - common[s]) / size + common[s] / s
    return min(1.0, (1 - p) / p * total + rest * p**size)

"""One mention in one text, before it knows its page, its chunk and its document."""

from collections.abc import Iterable
from typing import NamedTuple


class Found(NamedTuple):
    """``text[start:end]`` names an entity, in code points, ``end`` exclusive.

    ``confidence`` in (0, 1] is the estimated share of such mentions that a reader of the passage would confirm:
    .9 and above, nothing else is written like this; .7 to .9, the usual reading; below .7, one of several readings.
    """

    start: int
    end: int
    entity_id: str
    entity_type: str
    name: str
    confidence: float
    method: str


def entity(start: int, end: int, entity_type: str, normal: str, confidence: float) -> Found:
    """An indicator, whose name is its normal form."""
    return Found(start, end, f"{entity_type}:{normal}", entity_type, normal, confidence, "pattern")


def longest(candidates: Iterable[Found]) -> list[Found]:
    """Of overlapping candidates the longest, of equally long ones the most certain, in order of start."""
    taken: list[Found] = []
    for candidate in sorted(candidates):
        while taken and taken[-1].end > candidate.start and _rank(candidate) > _rank(taken[-1]):
            taken.pop()
        if not taken or taken[-1].end <= candidate.start:
            taken.append(candidate)
    return taken


def _rank(found: Found) -> tuple[int, float]:
    return found.end - found.start, found.confidence

"""Hits that repeat one another: the best of them is shown, the others name it. Nothing is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from etl_assets.search.model import Hit
from etl_assets.search.shingles import LEAST_SHINGLES, jaccard, shingles

THRESHOLD = 0.8


def with_repeats_named(hits: Sequence[Hit]) -> list[Hit]:
    """``hits`` in their order; each that repeats an earlier one of another document has its ``near_duplicate_of``.

    Passages of one document stay apart, since they are read together; short ones are grouped where they are equal.
    Only hits of one tenant are compared. The first of a group names nobody.
    """
    leading: list[tuple[Hit, frozenset[str]]] = []
    named: list[Hit] = []
    for hit in hits:
        words = shingles(hit.quote)
        first = next((one for one, theirs in leading if _repeats(hit, words, one, theirs)), None)
        if first is None:
            leading.append((hit, words))
            named.append(hit)
        else:
            named.append(replace(hit, near_duplicate_of=first.place))
    return named


def _repeats(hit: Hit, words: frozenset[str], first: Hit, theirs: frozenset[str]) -> bool:
    if hit.tenant != first.tenant or hit.document_id == first.document_id or not words:
        return False
    if min(len(words), len(theirs)) < LEAST_SHINGLES:
        return words == theirs
    return jaccard(words, theirs) >= THRESHOLD

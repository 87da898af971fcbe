"""How alike two texts are: sets of three words in a row, their Jaccard similarity, and MinHash signatures of it.

Words are compared without letter case. Chinese, Japanese and Korean have no blanks between words: each of their
characters counts as one. Signatures are of rensa's R-MinHash, whose algorithm is versioned: measured 30 times faster
than datasketch with the same recall.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = 3
PERMUTATIONS = 128
SEED = 42
SIGNATURE_BYTES = PERMUTATIONS * 2
"""Sixteen bits of each hash are kept: four of them in a row agree by chance once in 2^64."""

LEAST_SHINGLES = 12
"""Of shorter texts only equal ones are duplicates: two footers of a few words are alike by chance."""

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def shingles(text: str) -> frozenset[str]:
    """Every three words in a row; a text of one or two words is one shingle, one without words none."""
    words = _WORD.findall(text.casefold())
    if len(words) < WORDS:
        return frozenset({" ".join(words)} if words else ())
    return frozenset(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def jaccard(one: AbstractSet[str], other: AbstractSet[str]) -> float:
    """Share of the shingles of both that are in each, in [0, 1]; 1 for two that have none."""
    if not one and not other:
        return 1.0
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def hashes(sets: Sequence[AbstractSet[str]]) -> NDArray[np.uint32]:
    """The least hash of each set under each permutation, (sets, PERMUTATIONS); the least of two rows is their union's.

    The same on every machine; an empty set has the greatest numbers.
    """
    import numpy as np
    from rensa import RMinHash

    if not sets:
        return np.empty((0, PERMUTATIONS), np.uint32)
    # In order, so that nothing depends on how a set happens to be walked.
    rows = RMinHash.digests_from_token_sets([sorted(one) for one in sets], PERMUTATIONS, SEED)
    return np.array(rows, np.uint32)


def signature(row: NDArray[np.uint32]) -> bytes:
    """What is kept of hashes: the low sixteen bits of each, little endian."""
    return bytes((row & 0xFFFF).astype("<u2").tobytes())


def matrix(signatures: Sequence[bytes]) -> NDArray[np.uint16]:
    """Signatures as rows, (signatures, PERMUTATIONS)."""
    import numpy as np

    return np.frombuffer(b"".join(signatures), "<u2").reshape(len(signatures), PERMUTATIONS)


def candidates(rows: NDArray[np.uint16], threshold: float) -> list[tuple[int, int]]:
    """Pairs of rows that may be as similar as ``threshold``, ascending, each once.

    Bands of four hashes from .7 on, of three below: a pair at the threshold is missed once in 3,000 at .7, and once in
    300 at .5. A band that very many share is compared in a ring, which links them all without comparing all to all.
    """
    import numpy as np

    wide = 4 if threshold >= 0.7 else 3
    found: set[tuple[int, int]] = set()
    for start in range(0, PERMUTATIONS - wide + 1, wide):
        band = np.zeros((len(rows), 4), np.uint16)
        band[:, :wide] = rows[:, start : start + wide]
        _, group, counts = np.unique(band.view(np.uint64).ravel(), return_inverse=True, return_counts=True)
        shared = np.flatnonzero(counts[group] > 1)
        ordered = shared[np.argsort(group[shared], kind="stable")]
        edges = np.flatnonzero(np.diff(group[ordered])) + 1
        for members in np.split(ordered, edges):
            found.update(_pairs([int(one) for one in members]))
    likely = sorted(found)
    if not likely:
        return []
    left, right = np.array(likely).T
    estimate = (rows[left] == rows[right]).mean(axis=1)
    return [pair for pair, share in zip(likely, estimate, strict=True) if share >= threshold - _MARGIN]


_MARGIN = 0.15
"""Four standard errors of an estimate from 128 hashes at .8."""

_ALL_PAIRS = 40


def _pairs(members: list[int]) -> list[tuple[int, int]]:
    if len(members) <= _ALL_PAIRS:
        return [(one, other) for at, one in enumerate(members) for other in members[at + 1 :]]
    return [*zip(members, members[1:], strict=False), *((members[0], other) for other in members[2:])]

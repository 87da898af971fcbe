"""Texts to counted features: hashes of words, pairs of words and pieces of words. One pass over many texts at once.

A hash depends on the text alone: no process, locale or byte order changes it. Training and serving share this code.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PIECES = (3, 4, 5)
"""Lengths of pieces of words, in code points; the blank before and behind a word counts as one."""

_WORD = re.compile(r"\w+")
_LONG_NUMBER = re.compile(r"[0-9]{3,}")
_MULTIPLIER = 0x9E3779B97F4A7C15
_MIXER = 0xD6E8FEB86659FD93


@dataclass(frozen=True, slots=True)
class Counted:
    """Which feature (``hashes``, uint32) stands how often (``counts``, float32) in which text (``rows``, ascending)."""

    rows: "NDArray[np.int64]"
    hashes: "NDArray[np.uint32]"
    counts: "NDArray[np.float32]"


def words(texts: Sequence[str]) -> Counted:
    """Words and pairs of neighbouring words, in lower case, of each text."""
    import numpy as np

    rows: list[int] = []
    found: list[int] = []
    for row, text in enumerate(texts):
        before = 0
        for word in _WORD.findall(_plain(text)):
            digest = zlib.crc32(word.encode("utf-8", "surrogatepass"))
            found.append(digest)
            rows.append(row)
            if before:
                found.append((before * 0x9E3779B1 ^ digest * 0x85EBCA6B) & 0xFFFFFFFF)
                rows.append(row)
            before = digest
    return _counted(np.array(rows, dtype=np.int64), np.array(found, dtype=np.uint32))


def different_words(text: str) -> list[int]:
    """Hashes of the words of a text that have a letter, each once, as ``words`` has them."""
    found = {word for word in _WORD.findall(_plain(text)) if any(map(str.isalpha, word))}
    return [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in sorted(found)]


def pieces(texts: Sequence[str]) -> Counted:
    """Pieces of 3 to 5 code points of each text's words, blanks at their ends included."""
    import numpy as np

    padded = [f" {' '.join(_plain(text).split())} " for text in texts]
    joined = "".join(padded)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    owner = np.repeat(np.arange(len(padded)), [len(text) for text in padded])
    blanks = np.concatenate([[0], np.cumsum(codes == 32)])
    rows, hashes = [], []
    for length in PIECES:
        if len(codes) < length:
            continue
        last = len(codes) - length + 1
        value = np.full(last, length, dtype=np.uint64)
        for place in range(length):
            value = (value ^ codes[place : place + last]) * np.uint64(_MULTIPLIER)
            value ^= value >> np.uint64(29)
        inner = blanks[length - 1 : length - 1 + last] - blanks[1 : 1 + last]  # blanks neither first nor last
        kept = (inner == 0) & (owner[:last] == owner[length - 1 :])
        rows.append(owner[:last][kept])
        hashes.append(((value[kept] * np.uint64(_MIXER)) >> np.uint64(32)).astype(np.uint32))
    if not rows:
        return _counted(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint32))
    return _counted(np.concatenate(rows), np.concatenate(hashes))


def _plain(text: str) -> str:
    return _LONG_NUMBER.sub("0", text.lower())


def _counted(rows: "NDArray[np.int64]", hashes: "NDArray[np.uint32]") -> Counted:
    """Equal features of one text as one, in order of text and hash."""
    import numpy as np

    keys, counts = np.unique(rows.astype(np.uint64) << np.uint64(32) | hashes, return_counts=True)
    found_rows = (keys >> np.uint64(32)).astype(np.int64)
    return Counted(found_rows, (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), counts.astype(np.float32))

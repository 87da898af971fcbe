"""Words and their boxes, as lines, cells and paragraphs are made of them: letter-spaced text joined, breaks mended.

Where words come from is no matter here: PDFium gives them in ``pdf_text``, tesseract in ``ocr``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

_WIDE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
"""Letters of scripts that part no words by spaces. Korean does."""
_NEAR = 0.08
"""A space that PDFium put in by itself across less than this share of the line's height parts no words."""


@dataclass(slots=True)
class Word:
    """A word and its box in points, upright: y grows upwards, ``left < right`` in the direction of writing.

    On a page that is written from right to left x grows to the left, so that all that is said of places, here and where
    tables are found, holds there as well.
    It is never changed. It is not frozen, because making a frozen one takes three times as long.

    ``is_joined`` says that no space stands before it. ``at`` counts code points of PDFium's text of the page. ``em``
    is the size of the font in points: its height differs by half between fonts.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float
    at: int = 0
    is_joined: bool = False
    em: float = 10.0

    @property
    def height(self) -> float:
        """In points."""
        return self.top - self.bottom


def mirrored(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The box with x growing the other way; twice gives it back."""
    left, bottom, right, top = box
    return -right, bottom, -left, top


def upright(box: tuple[float, float, float, float], angle: int) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) as a page would have it whose writing, turned by ``angle``, ran to the right."""
    left, bottom, right, top = box
    if angle == 90:
        return -top, left, -bottom, right
    if angle == 180:
        return -right, -top, -left, -bottom
    if angle == 270:
        return bottom, -right, top, -left
    return box


def respaced(words: list[Word]) -> list[Word]:
    """The line with its letter-spaced words whole, and without the spaces that kerning seemed to be.

    In a run of single letters the smaller gaps stand between letters and the larger between words, where there are two
    kinds. A run in alphabetical order is a row of labels, and stays as it is.
    """
    joined = [
        replace(word, is_joined=True) if _is_kerned(last, word) else word
        for last, word in zip([None, *words], words, strict=False)
    ]
    for start, end in _letter_runs(joined):
        gaps = [b.left - a.right for a, b in zip(joined[start : end - 1], joined[start + 1 : end], strict=True)]
        widest = _widest_within(gaps)
        for offset, gap in enumerate(gaps, start + 1):
            if gap <= widest:
                joined[offset] = replace(joined[offset], is_joined=True)
    return joined


def _widest_within(gaps: Sequence[float]) -> float:
    """The largest gap that stands between letters: the last before the greatest leap, if that is by half or more."""
    ordered = sorted(gaps)
    leaps = [(after / max(gap, 0.5), gap) for gap, after in itertools.pairwise(ordered)]
    leap, gap = max(leaps)
    return gap if leap >= 1.5 else ordered[-1]


def _is_kerned(last: Word | None, word: Word) -> bool:
    if last is None or word.is_joined or not last.height:
        return False
    gap = (word.left - last.right) / word.height if word.height else 1.0
    if _WIDE.match(word.text[0]) and _WIDE.match(last.text[-1]):
        return -0.5 < gap < 0.5
    return -0.5 < gap < _NEAR and last.text[-1].isalpha() and word.text[0].islower()


def _letter_runs(words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """(start, end) of runs of five words or more, most of them one letter, the others at most three."""
    if sum(len(word.text) == 1 for word in words) < 5:
        return
    start = 0
    for index in range(len(words) + 1):
        if index < len(words) and _may_be_spaced(words[index]):
            continue
        run = words[start:index]
        letters = [word.text for word in run if len(word.text) == 1]
        if len(letters) >= 5 and len(letters) * 4 >= len(run) * 3 and letters != sorted(letters):
            yield start, index
        start = index + 1


def _may_be_spaced(word: Word) -> bool:
    return len(word.text) <= 3 and word.text.isalpha() and word.height > 0 and not _WIDE.search(word.text)


def line_text(words: Sequence[Word]) -> str:
    """Words with a space before each that does not join the one before."""
    return "".join(word.text if word.is_joined or not n else f" {word.text}" for n, word in enumerate(words))


def joined_text(lines: Sequence[Sequence[Word]]) -> str:
    """Lines of one paragraph or cell as one: no space at a break between wide letters, nor after a broken word."""
    text = ""
    for line in lines:
        more = line_text(line)
        if text.endswith(("-", "\u2010")) and text[-2:-1].isalnum() and more[:1].isalnum():
            text = text[:-1] + ("\ufffe" if text.endswith("-") else "\xad")
        tight = text.endswith(("\ufffe", "\xad")) or (_WIDE.match(text[-1:]) and _WIDE.match(more[:1]))
        text += more if not text or tight else f" {more}"
    return text

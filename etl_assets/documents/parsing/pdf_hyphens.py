"""Words of a PDF that a line's end breaks: whether the hyphen there is of the word, or of the break.

PDFium marks most such breaks by U+FFFE and puts the lines together. It leaves U+2010, which browsers and word
processors draw where they break a word by themselves, and breaks in columns that it did not see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from etl_assets.documents.parsing.pdf_layout import Line

BREAK = "\ufffe"
"""Stands between the parts of a word that a line's end breaks at a hyphen, in place of that."""
HYPHEN = "\u2010"
"""Drawn by some programs at breaks alone, by others wherever a word has a hyphen."""
SOFT_BREAK = "\xad"
"""As ``BREAK``, for a break at a ``HYPHEN``."""
_BROKEN = re.compile(f"([^\\s{BREAK}]+){BREAK}([^\\s{BREAK}]*)")
_ENDS_BROKEN = re.compile(f"[^\\W\\d_][{BREAK}{HYPHEN}]$")
_INSIDE = re.compile(rf"\w{HYPHEN}\w")
_CODE = re.compile(r"[=/\\_@#\d]|\.\w")
"""What addresses, options and file names have: they are broken where they have a hyphen, and are given none."""
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_MANY = 4
"""Breaks that say whether a document breaks words of its own accord, or only at hyphens that they have."""
_SHORT = 3
"""Letters of a word that is as often the beginning or the end of another."""


def resolve_hyphens(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Broken words made whole, on the line on which they begin. The hyphen is kept where the document spells it so.

    It is also kept where one part is not a lower-case word (``TTA-supplied``, ``A-130``), already has a hyphen, or is
    of an address or an option (``max-age=9``); and, where the document hardly ever breaks a word that has none, if
    both parts are words of it. U+2010 is no part of a word where the document has it at breaks only.
    """
    texts = [text for lines in pages for line in lines for text in line.texts()]
    if not any(mark in text for text in texts for mark in (BREAK, HYPHEN, SOFT_BREAK)):
        return [list(lines) for lines in pages]
    soft = BREAK if any(_INSIDE.search(text) for text in texts) else ""
    joined = [[_with_texts(line, lambda t: t.replace(SOFT_BREAK, soft)) for line in _joined(lines)] for lines in pages]
    mended = _Mender([text for lines in joined for line in lines for text in line.texts()])
    return [[_with_texts(line, mended) for line in lines] for lines in joined]


def _joined(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines with the rest of a broken word moved up from the line below."""
    last: Line | None = None
    for line in lines:
        if last is not None and _goes_on(last, line):
            rest, _, left = line.text.partition(" ")
            mark = BREAK if last.text.endswith(BREAK) else SOFT_BREAK
            last = replace(last, text=last.text[:-1] + mark + rest)
            if not left:
                continue
            line = replace(line, text=left)
        if last is not None:
            yield last
        last = line
    if last is not None:
        yield last


def _goes_on(last: Line, line: Line) -> bool:
    if last.table is not None or line.table is not None or not line.text[:1].isalpha():
        return False
    if line.text[0].isupper() and not last.text.endswith(HYPHEN):
        return False
    return _ENDS_BROKEN.search(last.text) is not None and abs(last.height - line.height) <= 0.2 * last.height


class _Mender:
    """Takes the marks of breaks out of a document's texts, by what it spells elsewhere."""

    def __init__(self, texts: Sequence[str]) -> None:
        whole_words = (_BROKEN.sub(" ", text).replace(HYPHEN, "-") for text in texts)
        self._words = {word for text in whole_words for word in _WORD.findall(text)}
        self._lower = {word.lower() for word in self._words}
        pairs = [(_last_word(a), _first_word(b)) for text in texts for a, b in _BROKEN.findall(text)]
        plain = [(left, right) for left, right in pairs if left[-1:].islower() and right.islower()]
        whole = sum((left + right).lower() in self._lower for left, right in plain)
        spelt = sum(f"{left}-{right}".lower() in self._lower for left, right in plain)
        self._breaks_words = whole > spelt and whole * 5 >= len(plain)
        self._is_sure = len(plain) >= _MANY or spelt > 0

    def __call__(self, text: str) -> str:
        while BREAK in text and (changed := _BROKEN.sub(self._mend, text, count=1)) != text:
            text = changed
        return text.replace(BREAK, "")

    def _mend(self, match: re.Match[str]) -> str:
        left, right = match.group(1), match.group(2)
        if not right:
            return left + "-"
        if _CODE.search(left) or _CODE.search(right):
            return f"{left}-{right}"
        before, after = _last_word(left), _first_word(right)
        if f"{before}-{after}".lower() in self._lower or not after.islower() or not before[-1:].islower():
            return f"{left}-{right}"
        return f"{left}-{right}" if "-" in before or self._is_compound(before, after) else left + right

    def _is_compound(self, before: str, after: str) -> bool:
        """Whether a hyphen of the word's own stands between its parts, which the document spells nowhere else."""
        if (before + after).lower() in self._lower:
            return False
        is_of_words = before.lower() in self._lower and after in self._words
        if self._breaks_words:
            return is_of_words and min(len(before), len(after)) > _SHORT
        return is_of_words or self._is_sure


def _with_texts(line: Line, change: Callable[[str], str]) -> Line:
    if not any(mark in text for text in line.texts() for mark in (BREAK, SOFT_BREAK)):
        return line
    if line.table is None:
        return replace(line, text=change(line.text))
    rows = [[replace(cell, text=change(cell.text)) for cell in row] for row in line.table.rows]
    return replace(line, table=replace(line.table, rows=rows))


def _last_word(text: str) -> str:
    found = _WORD.findall(text)
    return found[-1] if found and text.endswith(found[-1]) else text


def _first_word(text: str) -> str:
    found = _WORD.match(text)
    return found.group() if found else text

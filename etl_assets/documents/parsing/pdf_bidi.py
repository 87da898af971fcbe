"""Lines written from right to left: the order in which they are read, worked out from where their glyphs stand.

A PDF says where glyphs are drawn, and programs write those of one line in any order. What UAX #9 (the Unicode
bidirectional algorithm) does to a line for showing it is undone here: Latin runs and numbers read to the right, all
else to the left. Where two orders would look the same, a number beside Latin letters belongs to them. PDFium's own
order is not used: it takes a line's runs as they were written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
"""Letters of Hebrew, Arabic, Syriac, Thaana, N'Ko and their presentation forms."""
_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_LAM, _ALEFS = "\u0644", "\u0622\u0623\u0625\u0627\u0671"
_SPACE_EMS = 0.16
"""Glyphs further apart are parted by a space where PDFium put one, without width, or the line has none at all."""
_INK_EMS = 0.27
"""Elsewhere glyphs further apart are: of joined letters the ink is known, which may stand a quarter of an em apart."""
_FIELD_EMS = 0.9
"""Glyphs further apart belong to two columns, and are ordered apart: as a tab does in UAX #9."""
_STOPS = frozenset(".,:;!?\u060c\u061b\u061f")
_PAIRS = {"(": ")", "[": "]", "{": "}", "«": "»", "‹": "›"}
_OPENING = {mark: first for first, last in _PAIRS.items() for mark in (first, last)}


@dataclass(frozen=True, slots=True)
class Glyph:
    """What one glyph says, with the accents upon it, and its box in points, upright; ``at`` as of a ``Word``."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    at: int

    @property
    def middle(self) -> float:
        """Across, in points."""
        return (self.left + self.right) / 2

    @property
    def kind(self) -> str:
        """L, R (right-to-left letters of any script), N (digits), ES, ET, CS as in UAX #9, WS, or ON for all else."""
        found = unicodedata.bidirectional(self.text[0])
        if self.text.isspace():
            return "WS"
        if found in ("L", "ES", "ET", "CS"):
            return found
        return {"AL": "R", "R": "R", "EN": "N", "AN": "N"}.get(found, "ON")


def is_right_to_left(text: str) -> bool:
    """Whether most letters are written from right to left; numbers and marks say nothing."""
    marks = len(RIGHT_TO_LEFT.findall(text))
    return marks > 0 and marks * 2 > sum(map(str.isalpha, text))


def words_in_order(glyphs: Sequence[Glyph], em: float, *, rtl: bool) -> Iterator[list[Glyph]]:
    """The glyphs of one line by words, both in the order of reading. ``rtl`` is the direction of the page.

    ``glyphs`` may come in any order; accents among them are put upon the letters that they stand over.
    """
    line = sorted(_with_accents(_whole(glyphs)), key=lambda glyph: glyph.middle)
    fields = _fields(line, em)
    for field in reversed(fields) if rtl else fields:
        ordered = _read_to_left(field) if _is_rtl(field, rtl=rtl) else _read_to_right(field)
        word: list[Glyph] = []
        for glyph in [*_with_brackets(ordered), Glyph(" ", 0, 0, 0, 0, -1)]:
            if glyph.kind != "WS":
                word.append(glyph)
            elif word:
                yield word
                word = []


def _is_rtl(field: Sequence[Glyph], *, rtl: bool) -> bool:
    """Whether a field is read to the left: among such lines, one of Latin alone where a stop stands left of a word."""
    kinds = [glyph.kind for glyph in field]
    if "R" not in kinds:
        return rtl and any(_ends_sentence(field, kinds, n) for n in range(len(field)))
    return rtl or is_right_to_left("".join(glyph.text for glyph in field))


def _whole(glyphs: Iterable[Glyph]) -> Iterator[Glyph]:
    """One for each glyph drawn: of a ligature PDFium gives every letter, with the same box, the last of them first."""
    last: Glyph | None = None
    for glyph in glyphs:
        if glyph.text in _CONTROLS:
            continue
        same = last is not None and (last.left, last.right, last.bottom) == (glyph.left, glyph.right, glyph.bottom)
        if last is not None and same and glyph.right > glyph.left and glyph.kind in ("R", "ON"):
            last = replace(last, text=_ligature(glyph.text + last.text))
            continue
        if last is not None:
            yield last
        last = glyph
    if last is not None:
        yield last


def _ligature(text: str) -> str:
    """Lam goes before alef: there is no ligature of the other order, but fonts that name its letters so."""
    return text[::-1] if len(text) == 2 and text[0] in _ALEFS and text[1] == _LAM else text


def _with_accents(glyphs: Iterable[Glyph]) -> Iterator[Glyph]:
    letters: list[Glyph] = []
    accents: list[Glyph] = []
    for glyph in glyphs:
        (accents if unicodedata.category(glyph.text[0]) == "Mn" else letters).append(glyph)
    bases = [n for n, glyph in enumerate(letters) if glyph.kind == "R"]
    for accent in accents:
        if bases:
            best = min(bases, key=lambda n: _distance(letters[n], accent))
            letters[best] = replace(letters[best], text=letters[best].text + accent.text)
    yield from letters


def _distance(letter: Glyph, accent: Glyph) -> tuple[float, float]:
    """How far an accent stands beside a letter; of two letters that overlap, the one it stands in the middle of."""
    beside = max(letter.left - accent.middle, accent.middle - letter.right, 0.0)
    return beside, abs(letter.middle - accent.middle)


def _fields(line: Sequence[Glyph], em: float) -> list[list[Glyph]]:
    """The glyphs from left to right, parted where columns are, with a space wherever they stand apart."""
    fields: list[list[Glyph]] = [[]]
    end: float | None = None
    usual = _INK_EMS if any(glyph.kind == "WS" for glyph in line) else _SPACE_EMS
    apart, is_accented = usual * em, False
    for glyph in line:
        if glyph.kind == "WS":
            if glyph.right > glyph.left:
                fields[-1].append(glyph)
            apart = _SPACE_EMS * em
            continue
        gap = glyph.left - end if end is not None else 0.0
        if gap > _FIELD_EMS * em:
            fields.append([])
        elif (
            gap > (usual * em if is_accented or len(glyph.text) > 1 else apart)
            and fields[-1]
            and fields[-1][-1].kind != "WS"
        ):
            fields[-1].append(replace(glyph, text=" ", right=glyph.left))
        fields[-1].append(glyph)
        end = max(glyph.right, end) if end is not None else glyph.right
        apart, is_accented = usual * em, len(glyph.text) > 1
    return fields


def _read_to_left(field: Sequence[Glyph]) -> list[Glyph]:
    kinds = [glyph.kind for glyph in field]
    units: list[Sequence[Glyph]] = []
    start = 0
    while start < len(field):
        end = start + 1
        if kinds[start] in ("N", "ET"):
            end = _number_end(field, kinds, start)
        if kinds[start] == "L" or (end < len(field) and kinds[start] == "N" and kinds[end] == "L"):
            end = _latin_end(field, kinds, start)
        units.append(field[start:end])
        start = end
    return [glyph for unit in reversed(units) for glyph in unit]


def _read_to_right(field: Sequence[Glyph]) -> list[Glyph]:
    kinds = [glyph.kind for glyph in field]
    ordered: list[Glyph] = []
    start = 0
    while start < len(field):
        end = start + 1
        if kinds[start] == "R":
            while "R" in kinds[end:] and "L" not in kinds[end : kinds.index("R", end)]:
                end = kinds.index("R", end) + 1
        ordered += _read_to_left(field[start:end])
        start = end
    return ordered


def _latin_end(field: Sequence[Glyph], kinds: Sequence[str], start: int) -> int:
    """Where a run of Latin letters ends: with its last letter or number, and the bracket that closes one in it.

    A bracket right before the run ends it with its fellow: what stands right of the pair goes before it.
    """
    around = _OPENING.get(field[start - 1].text) if start else None
    last = start
    for n in range(start + 1, len(field)):
        if kinds[n] == "R" or (around is not None and _OPENING.get(field[n].text) == around):
            break
        if kinds[n] in ("L", "N") or (kinds[n] == "ET" and kinds[n - 1] == "N" and last == n - 1):
            last = n
    open_kinds = {_OPENING[g.text] for g in field[start : last + 1] if g.text in _OPENING}
    for n in range(last + 1, len(field)):
        family = _OPENING.get(field[n].text)
        if family not in open_kinds or sum(_OPENING.get(g.text) == family for g in field[start:n]) % 2 == 0:
            break
        last = n
    return last + 1


def _ends_sentence(field: Sequence[Glyph], kinds: Sequence[str], at: int) -> bool:
    """Whether ``) .word`` stands here, or ``.word`` first: a sentence ends with that, and its reference follows it."""
    if field[at].text not in _STOPS or kinds[at + 1 : at + 2] != ["L"]:
        return False
    return at == 0 or (at > 1 and kinds[at - 1] == "WS" and field[at - 2].text in _OPENING)


def _number_end(field: Sequence[Glyph], kinds: Sequence[str], start: int) -> int:
    """Where a number ends. Signs and hyphens are of it, unless Arabic letters go before (UAX #9, W2 to W5)."""
    after = next((g for g, kind in zip(field[start:], kinds[start:], strict=True) if kind in ("L", "R")), None)
    is_arabic = after is not None and unicodedata.bidirectional(after.text[0]) == "AL"
    is_arabic = is_arabic or unicodedata.bidirectional(field[start].text[0]) == "AN"
    joins = ("CS",) if is_arabic else ("CS", "ES")
    end = start
    while not is_arabic and end < len(field) and kinds[end] == "ET":
        end += 1
    if end == len(field) or kinds[end] != "N":
        return start + 1
    while end < len(field):
        is_inside = kinds[end] in joins and kinds[end - 1] == "N" and kinds[end + 1 : end + 2] == ["N"]
        if kinds[end] != "N" and not is_inside and not (kinds[end] == "ET" and not is_arabic):
            break
        end += 1
    return end


def _with_brackets(line: Sequence[Glyph]) -> Iterator[Glyph]:
    """Brackets by what they stand beside: fonts name them by their look or by their sense, and PDFium turns both."""
    opened: dict[str, int] = {}
    for n, glyph in enumerate(line):
        first = _OPENING.get(glyph.text)
        if first is None:
            yield glyph
            continue
        before = line[n - 1].kind == "WS" or line[n - 1].text in _OPENING if n else True
        after = line[n + 1].kind in ("WS", "CS") or line[n + 1].text in _OPENING if n + 1 < len(line) else True
        opens = before if before != after else not opened.get(first)
        opened[first] = opened.get(first, 0) + (1 if opens else -1)
        yield replace(glyph, text=first if opens else _PAIRS[first])

"""Words of a PDF page with their boxes, in PDFium's order: rotated text set upright, letter-spaced text joined.

Two boxes per word are asked of PDFium, not one per character: a page costs about 2 ms so, and 4 ms otherwise.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.pdf_bidi import RIGHT_TO_LEFT, Glyph, is_right_to_left, words_in_order
from etl_assets.documents.parsing.pdf_words import Word, respaced, upright

if TYPE_CHECKING:
    import pypdfium2 as pdfium

    from etl_assets.documents.parsing.pdf_marks import Marks

_TOKEN = re.compile("[^\\s\ufffe]+\ufffe?|\ufffe")
_SPACE_EMS, _FAR_EMS = 0.16, 0.6
"""Letters further apart than the first are parted by a space; further than the second, they are not of one line."""
_LINE_EMS = 0.7
"""Glyphs of writing from right to left whose middles are further apart than this are of two lines."""
_MANY_LETTERS = 8
"""Lines of a letter or two that follow one another where PDFium broke lines: formulas have fewer."""
_UNNAMED = "\u200b"
"""Stands for a letter that is drawn and has no name; it is left out of texts."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Text that no reader of the page sees, and why: ``white``, ``invisible`` or ``tiny``."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class PageText:
    """Lines of words in content order, ``angle`` of the page's writing (0, 90, 180, 270; clockwise), hidden words.

    Where ``is_rtl``, the page is written from right to left, and x grows to the left.
    """

    lines: list[list[Word]]
    angle: int
    hidden: list[Hidden]
    unmapped_share: float
    is_rtl: bool = False


def page_text(textpage: pdfium.PdfTextPage, marks: Marks) -> PageText:
    """All words of a page. What ``marks`` finds hidden stands apart."""
    text = textpage.get_text_range()
    reader = _Boxes(textpage, text)
    rows: list[tuple[int, list[Word]]] = []
    hidden: list[Hidden] = []
    is_rtl = not text.isascii() and RIGHT_TO_LEFT.search(text) is not None and is_right_to_left(text)
    for angle, words in _turned_lines(reader, text) if is_rtl else _lines(reader, text):
        if words and (marks.may_hide or words[0].height < 2):
            words = _shown(words, reader, marks, angle, hidden)
        if words:
            rows.append((angle, words))
    rows = _unbroken(rows)
    main = _main_angle(rows)
    lines = list(_set_upright(rows, main))
    lines = [_renumbered(_mirrored(words)) for words in lines] if is_rtl else [respaced(words) for words in lines]
    return PageText(lines, main, hidden, 0.0 if text.isascii() else reader.unmapped_share(), is_rtl)


def _lines(reader: _Boxes, text: str) -> Iterator[tuple[int, list[Word]]]:
    """Lines as PDFium has them, with the angle of each; those with words from right to left in order of reading."""
    start = 0
    for line in text.split("\r\n"):
        tokens = [(start + m.start(), m.group()) for m in _TOKEN.finditer(line)]
        if tokens:
            angle = reader.angle(tokens[0][0])
            em = reader.em(tokens[0][0])
            if not line.isascii() and RIGHT_TO_LEFT.search(line):
                for glyphs in _by_height(reader.glyphs(start, len(line), angle), em):
                    yield angle, _renumbered(_words(glyphs, em, rtl=False))
            else:
                yield angle, [reader.word(at, token, angle, em) for at, token in tokens]
        start += len(line) + 2


def _turned_lines(reader: _Boxes, text: str) -> Iterator[tuple[int, list[Word]]]:
    """Lines of a page that is written from right to left: PDFium breaks one in pieces where accents stand apart."""
    gathered: list[Glyph] = []
    last = (0, 0.0)
    start = 0
    for line in text.split("\r\n"):
        if line.strip():
            at = start + len(line) - len(line.lstrip())
            angle, em = reader.angle(at), reader.em(at)
            for glyphs in _by_height(reader.glyphs(start, len(line), angle), em):
                if gathered and not (angle == last[0] and _on_one_height(gathered, glyphs)):
                    yield last[0], _words(gathered, last[1], rtl=True)
                    gathered = []
                last = (angle, max(em, last[1]) if gathered else em)
                gathered += glyphs
        start += len(line) + 2
    if gathered:
        yield last[0], _words(gathered, last[1], rtl=True)


def _by_height(glyphs: Sequence[Glyph], em: float) -> Iterator[list[Glyph]]:
    """The glyphs of one of PDFium's lines, which in narrow columns goes on for several, line by line from the top."""
    lines: list[tuple[float, list[Glyph]]] = []
    here = 0
    for glyph in glyphs:
        middle = (glyph.bottom + glyph.top) / 2
        if glyph.top > glyph.bottom and glyph.kind != "WS" and unicodedata.category(glyph.text[0]) != "Mn":
            nearest = min(range(len(lines)), key=lambda n: abs(lines[n][0] - middle), default=None)
            if nearest is None or abs(lines[nearest][0] - middle) > _LINE_EMS * em:
                lines.append((middle, []))
                nearest = len(lines) - 1
            here = nearest
        if not lines and glyph.kind != "WS":
            # Accents that stand apart may be all of a line.
            lines.append((middle, []))
        if lines:
            lines[here][1].append(glyph)
    for _, line in sorted(lines, key=lambda entry: -entry[0]):
        yield line


def _on_one_height(line: Sequence[Glyph], more: Sequence[Glyph]) -> bool:
    tall, small = (max(glyphs, key=lambda g: g.top - g.bottom, default=None) for glyphs in (line, more))
    if tall is None or small is None:
        return False
    if tall.top - tall.bottom < small.top - small.bottom:
        tall, small = small, tall
    height = tall.top - tall.bottom
    # Accents come as lines of their own, with the height of their ink.
    reach = 0.5 if small.top - small.bottom < 0.5 * height else 0.3
    if abs(tall.top + tall.bottom - small.top - small.bottom) / 2 >= reach * height:
        return False
    ours = [(glyph.left, glyph.right) for glyph in line if glyph.kind != "WS"]
    over = sum(any(left < g.middle < right for left, right in ours) for g in more if g.top - g.bottom > 0.5 * height)
    return over * 3 <= len(more)


def _words(glyphs: Sequence[Glyph], em: float, *, rtl: bool) -> list[Word]:
    """The words of one line, all of its height: of joined letters PDFium gives the ink and not the font's box."""
    full = Counter((g.bottom, g.top) for g in glyphs if g.top - g.bottom >= 0.9 * em)
    bottom, top = max(full, key=lambda box: full[box]) if full else (0.0, 0.0)
    if glyphs and not full:
        bottom = min(g.bottom for g in glyphs)
        top = max(bottom + em, *(g.top for g in glyphs))
    words: list[Word] = []
    for word in words_in_order(glyphs, em, rtl=rtl):
        text = "".join(glyph.text for glyph in word)
        left, right = min(glyph.left for glyph in word), max(glyph.right for glyph in word)
        words.append(Word(text, left, bottom, right, top, word[0].at, em=em))
    return words


def _renumbered(words: Sequence[Word]) -> list[Word]:
    """With their places in the text in the order of reading: what is sorted by them comes out in that order."""
    places = sorted(word.at for word in words)
    return [replace(word, at=at) for word, at in zip(words, places, strict=True)]


def _mirrored(words: Sequence[Word]) -> list[Word]:
    return [replace(word, left=-word.right, right=-word.left) for word in words]


class _Boxes:
    """Asks PDFium for boxes of characters by their place in the text."""

    def __init__(self, textpage: pdfium.PdfTextPage, text: str) -> None:
        import pypdfium2.raw as raw

        self._raw, self._page, self._text = raw, textpage, text
        self._is_exact = textpage.count_chars() == len(text)
        self._box, self._matrix = raw.FS_RECTF(), raw.FS_MATRIX()
        self._get, self._at_box = raw.FPDFText_GetLooseCharBox, ctypes.byref(self._box)

    def index(self, at: int) -> int:
        """PDFium's character index of a place in the text; negative when it has none."""
        if self._is_exact:
            return at
        utf16 = len(self._text[:at].encode("utf-16-le", "surrogatepass")) // 2
        return int(self._raw.FPDFText_GetCharIndexFromTextIndex(self._page, utf16))

    def box(self, at: int) -> tuple[float, float, float, float]:
        index = at if self._is_exact else self.index(at)
        if index < 0 or not self._get(self._page, index, self._at_box):
            return 0.0, 0.0, 0.0, 0.0
        box = self._box
        return box.left, box.bottom, box.right, box.top

    def angle(self, at: int) -> int:
        """Of the writing, to the nearest right angle, in degrees clockwise."""
        radians = self._raw.FPDFText_GetCharAngle(self._page, self.index(at))
        return round(math.degrees(radians) / 90) * 90 % 360 if radians > 0 else 0

    def em(self, at: int) -> float:
        """The size of a character's font on the page, in points."""
        index = self.index(at)
        size: float = self._raw.FPDFText_GetFontSize(self._page, index)
        if not self._raw.FPDFText_GetMatrix(self._page, index, ctypes.byref(self._matrix)):
            return size
        upwards: float = math.hypot(self._matrix.c, self._matrix.d)
        return size * upwards

    def word(self, at: int, token: str, angle: int, em: float) -> Word:
        size = len(token) - token.endswith("\ufffe")
        box = self.box(at)
        left, bottom, right, top = upright(box, angle) if angle else box
        if size > 1:
            box = self.box(at + size - 1)
            last = upright(box, angle) if angle else box
            # Writing from the right to the left has its first letter rightmost.
            left, right = min(left, last[0]), max(right, last[2])
            bottom, top = (bottom, top) if last[3] - last[1] <= top - bottom else (last[1], last[3])
        is_joined = at > 0 and not self._text[at - 1].isspace()
        return Word(token, left, bottom, right, top, at, is_joined, em)

    def glyphs(self, start: int, count: int, angle: int) -> list[Glyph]:
        """Every character of a stretch of the text; accents by their ink, spaces that PDFium put in without width.

        A space with ink is a letter that its font calls a space: it says nothing, but parts no words either.
        """
        found: list[Glyph] = []
        for at in range(start, start + count):
            index = self.index(at)
            text, box = self._text[at], self.box(at)
            if index < 0:
                continue
            if text == " " and (ink := self.ink(index))[3] - ink[1] > 1:
                text = _UNNAMED
            elif unicodedata.category(text) == "Mn" and not (at > start and box == self.box(at - 1)):
                box = self.ink(index)
            found.append(Glyph(text, *upright(box, angle), at))
        return found

    def ink(self, index: int) -> tuple[float, float, float, float]:
        """The box of what is drawn of a character, by its index."""
        edges = [ctypes.c_double() for _ in range(4)]
        self._raw.FPDFText_GetCharBox(self._page, index, *edges)
        left, right, bottom, top = (edge.value for edge in edges)
        return left, bottom, right, top

    def unmapped_share(self) -> float:
        """How many of the first 400 characters have no Unicode value by their font, 0 to 1."""
        count = int(min(self._page.count_chars(), 400))
        if not count:
            return 0.0
        unmapped = [n for n in range(count) if self._raw.FPDFText_HasUnicodeMapError(self._page, n) == 1]
        return len(unmapped) / count


def _shown(words: list[Word], boxes: _Boxes, marks: Marks, angle: int, hidden: list[Hidden]) -> list[Word]:
    shown: list[Word] = []
    for word in words:
        back = upright((word.left, word.bottom, word.right, word.top), -angle % 360)
        why = "tiny" if 0 < word.height < 1 else marks.hides(boxes._page, boxes.index(word.at), back)
        if why is None:
            shown.append(word)
        else:
            hidden.append(Hidden(word.text, why))
    return shown


def _unbroken(rows: list[tuple[int, list[Word]]]) -> list[tuple[int, list[Word]]]:
    """Lines of letters put together again: narrow columns PDFium may take for writing from the top down."""
    are_letters = [len(words) == 1 and len(words[0].text) <= 2 for _, words in rows]
    runs = [(is_broken, len(list(run))) for is_broken, run in itertools.groupby(are_letters)]
    if not any(is_broken and count >= _MANY_LETTERS for is_broken, count in runs):
        return rows
    whole: list[tuple[int, list[Word]]] = []
    for n, (angle, words) in enumerate(rows):
        is_broken = bool(whole) and whole[-1][0] == angle and (are_letters[n] or are_letters[n - 1])
        last = whole[-1][1][-1] if is_broken else None
        gap = (words[0].left - last.right) / words[0].em if last is not None and words[0].em else _FAR_EMS
        if last is None or not -0.3 < gap < _FAR_EMS or abs(last.bottom - words[0].bottom) > 1:
            whole.append((angle, words))
        else:
            whole[-1] = (angle, [*whole[-1][1], replace(words[0], is_joined=gap < _SPACE_EMS), *words[1:]])
    return whole


def _main_angle(rows: Sequence[tuple[int, list[Word]]]) -> int:
    weights: Counter[int] = Counter()
    for angle, words in rows:
        weights[angle] += sum(len(word.text) for word in words)
    return max(weights, key=lambda angle: (weights[angle], -angle)) if weights else 0


def _set_upright(rows: Sequence[tuple[int, list[Word]]], main: int) -> Iterator[list[Word]]:
    """Lines in content order; neighbours that are turned against the page are joined to lines where they lie on one.

    PDFium breaks turned text after every few letters.
    """
    turned: list[Word] = []
    turned_by = main
    for angle, words in rows:
        if turned and (angle != turned_by or not _goes_on(turned[-1], words[0])):
            yield _off_the_page(turned)
            turned = []
        if angle == main:
            yield words
        else:
            first = words[0]
            near = bool(turned) and first.left - turned[-1].right < 0.15 * first.height
            turned += [replace(first, is_joined=near), *words[1:]]
            turned_by = angle
    if turned:
        yield _off_the_page(turned)


def _goes_on(last: Word, word: Word) -> bool:
    return abs(last.bottom - word.bottom) < 0.5 * word.height and -1 < word.left - last.right < 3 * word.height


def _off_the_page(words: list[Word]) -> list[Word]:
    """Without boxes: in the page's own directions a turned line has no height."""
    return [replace(word, left=0.0, bottom=0.0, right=0.0, top=0.0) for word in words]

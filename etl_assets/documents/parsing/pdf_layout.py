"""Paragraphs and headings of a PDF, from lines and their boxes. PDFium is not needed here.

What a line is, and where a table stands, is settled before: see ``pdf_flow``. Broken words: ``pdf_hyphens``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from etl_assets.documents.parsing.document import Page, TextBudget
from etl_assets.documents.parsing.pdf_marks import Box
from etl_assets.documents.parsing.text import PageBuilder
from etl_assets.stages.spec import Json

MAX_HEADING_CHARS = 200
_LARGER = 1.15
"""A line this much higher than the body text is a heading: 12 point over 10.5 is not, 14 over 12 is."""


@dataclass(frozen=True, slots=True)
class CellText:
    """A cell of a table: its text on one line, its column from 0, and its box on the page (None for an empty one)."""

    text: str
    column: int
    box: Box | None


@dataclass(frozen=True, slots=True)
class TableLines:
    """A table's rows; ``continues`` one that ended the page before."""

    rows: Sequence[Sequence[CellText]]
    header_rows: int
    continues: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; ``height`` and ``bottom`` in points, of its first character; both 0 when unknown.

    A line with a ``table`` stands for that, and has no text of its own.
    """

    text: str
    height: float
    bottom: float
    table: TableLines | None = None

    def texts(self) -> list[str]:
        """Its text, or those of its table's cells."""
        return [cell.text for row in self.table.rows for cell in row] if self.table is not None else [self.text]


def lay_out(pages: Sequence[Sequence[Line]], outline: Sequence[Mapping[str, Json]]) -> list[Page]:
    """Pages with a blank line between paragraphs, and with headings.

    Headings are the lines that the outline names on their page; without an outline that fits, lines set larger than
    the body text and not repeated page by page, their level being the rank of their size.
    """
    named = _named_lines(outline)
    paragraphs = [_paragraphs(lines, named.get(number, {})) for number, lines in enumerate(pages, 1)]
    if _named_share(paragraphs, named) < 0.3:
        named = {}
    levels = _levels_by_size(paragraphs) if not named else {}
    repeated = _repeated(paragraphs) if levels else set()
    budget = TextBudget()
    laid: list[Page] = []
    for number, page in enumerate(paragraphs, 1):
        builder = PageBuilder(budget)
        for lines in page:
            if lines[0].table is not None:
                _add_table(builder, lines[0].table)
                continue
            text = " ".join(line.text for line in lines)
            level = named.get(number, {}).get(_key(text), 0)
            if levels and _may_be_heading(text) and _key(text) not in repeated:
                level = levels.get(_size(lines[0]), 0)
            builder.add("\n".join(line.text for line in lines), level=level)
        laid.append(builder.page(number))
    return laid


def _add_table(builder: PageBuilder, table: TableLines) -> None:
    builder.start_table(header_rows=table.header_rows, continues=table.continues)
    for row in table.rows:
        cells = [(cell.column, cell.text) for cell in row]
        builder.add_row(cells, boxes={cell.column: cell.box for cell in row if cell.box is not None})
    builder.end_table()


def _named_lines(outline: Sequence[Mapping[str, Json]]) -> dict[int, dict[str, int]]:
    named: dict[int, dict[str, int]] = {}
    for entry in outline:
        page, title, level = entry["page"], entry["title"], entry["level"]
        if isinstance(page, int) and isinstance(title, str) and isinstance(level, int):
            named.setdefault(page, {}).setdefault(_key(title), min(level, 9))
    return named


def _named_share(pages: Sequence[Sequence[Sequence[Line]]], named: Mapping[int, Mapping[str, int]]) -> float:
    """How much of the outline is found as lines on the pages it names; some outlines name figures, or nothing."""
    found = 0
    for number, page in enumerate(pages, 1):
        keys = {_key(" ".join(line.text for line in paragraph)) for paragraph in page}
        found += len(keys & named.get(number, {}).keys())
    return found / max(1, sum(map(len, named.values())))


def _key(text: str) -> str:
    return "".join(text.split()).casefold()


def _paragraphs(lines: Sequence[Line], named: Mapping[str, int]) -> list[list[Line]]:
    """Lines that follow one another at the page's usual distance and size. A line the outline names stands alone."""
    neighbours = [(a, b) for a, b in zip(lines, lines[1:], strict=False) if a.table is None and b.table is None]
    steps = [a.bottom - b.bottom for a, b in neighbours if a.bottom - b.bottom > 1]
    usual = median(steps) if steps else 0.0
    paragraphs: list[list[Line]] = []
    for line in lines:
        last = paragraphs[-1][-1] if paragraphs else None
        if last is None or _starts_paragraph(last, line, usual) or _key(line.text) in named or _key(last.text) in named:
            paragraphs.append([line])
        else:
            paragraphs[-1].append(line)
    return paragraphs


def _starts_paragraph(last: Line, line: Line, usual: float) -> bool:
    if last.table is not None or line.table is not None:
        return True
    if not last.height or not line.height:
        return bool(last.height) != bool(line.height)
    step = last.bottom - line.bottom
    is_far = step > 1.3 * usual + 0.5 or step < -line.height
    return is_far or (abs(step) > 1 and abs(last.height - line.height) > 0.12 * max(last.height, line.height))


def _size(line: Line) -> float:
    return round(line.height * 2) / 2


def _may_be_heading(text: str) -> bool:
    return len(text) <= MAX_HEADING_CHARS and sum(c.isalpha() for c in text) >= 3


def _levels_by_size(pages: Sequence[Sequence[Sequence[Line]]]) -> dict[float, int]:
    """Line size -> heading level, largest first, at most 6; empty when all text has one size."""
    weights: Counter[float] = Counter()
    for page in pages:
        for paragraph in page:
            for line in paragraph:
                weights[_size(line) if line.table is None else 0.0] += len(line.text)
    weights.pop(0.0, None)
    if not weights:
        return {}
    body = max(weights, key=lambda size: (weights[size], -size))
    larger = sorted((size for size in weights if size >= body * _LARGER), reverse=True)
    return {size: min(rank, 6) for rank, size in enumerate(larger, 1)}


def _repeated(pages: Sequence[Sequence[Sequence[Line]]]) -> set[str]:
    """Lines on more than three pages and a fifth of all: running headers, not headings."""
    seen: Counter[str] = Counter()
    for page in pages:
        seen.update({_key(" ".join(line.text for line in paragraph)) for paragraph in page})
    return {key for key, count in seen.items() if count > max(3, len(pages) // 5)}

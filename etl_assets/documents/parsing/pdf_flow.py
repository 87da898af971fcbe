"""From the words of pages to lines in reading order, with tables in their places, and rows whole across pages."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from etl_assets.documents.parsing.pdf_blocks import APART, segments
from etl_assets.documents.parsing.pdf_grids import Cell, Grid, VisualLine, in_reading_order, visual_lines
from etl_assets.documents.parsing.pdf_layout import CellText, Line, TableLines
from etl_assets.documents.parsing.pdf_marks import Box
from etl_assets.documents.parsing.pdf_tables import find_tables
from etl_assets.documents.parsing.pdf_words import Word, line_text, mirrored, upright
from etl_assets.documents.parsing.tables import is_header

_MARGIN = 0.13
"""Running headers and footers stand in the outermost eighth of a page."""
_NEIGHBOURS = 2
"""They are known by the pages next to theirs, two either way: left and right pages often differ."""
_NUMBER = re.compile(r"\d+|\b[ivxl]+\b", re.IGNORECASE)
_SENTENCE_END = (".", "!", "?", ":", "。", "！", "？")


@dataclass(slots=True)
class PageWords:
    """What was read of one page: ``lines`` of upright words in content order, ``rules`` as boxes on the page.

    ``angle`` is that of the writing; ``low`` and ``high`` are the page's edges, upright; ``extra`` are lines of forms.
    Where ``is_rtl``, x of the words grows to the left.
    """

    lines: list[list[Word]]
    rules: list[Box]
    angle: int
    low: float
    high: float
    extra: Sequence[str] = ()
    is_rtl: bool = False
    edges: dict[str, tuple[float, list[int]]] = field(default_factory=dict)
    margins: set[int] = field(default_factory=set)
    moved: set[int] = field(default_factory=set)
    grids: list[Grid] = field(default_factory=list)
    columns: list[list[list[VisualLine]]] = field(default_factory=list)


def flow(pages: Iterable[PageWords | None]) -> Iterator[list[Line] | None]:
    """The lines of every page, in the order of pages; None for a page that cannot be loaded.

    At most four pages are held at a time: a row of a table takes what stands of it on the next page.
    """
    last: PageWords | None = None
    is_first = True
    for page in _with_margins(pages):
        if page is not None:
            _find(page, last)
        if not is_first:
            yield None if last is None else list(_lines(last))
        last, is_first = page, False
    if not is_first:
        yield None if last is None else list(_lines(last))


def _with_margins(pages: Iterable[PageWords | None]) -> Iterator[PageWords | None]:
    ahead: deque[PageWords | None] = deque()
    behind: deque[PageWords | None] = deque(maxlen=_NEIGHBOURS)

    def settled() -> PageWords | None:
        page = ahead.popleft()
        if page is not None:
            _mark_margins(page, [p for p in (*behind, *ahead) if p is not None])
        behind.append(page)
        return page

    for page in pages:
        if page is not None:
            page.edges = _edges(page)
        ahead.append(page)
        if len(ahead) > _NEIGHBOURS:
            yield settled()
    while ahead:
        yield settled()


def _edges(page: PageWords) -> dict[str, tuple[float, list[int]]]:
    """Lines near the top and the bottom that stand apart from the rest: text without numbers -> (height, words)."""
    reach = _MARGIN * (page.high - page.low)
    top, foot = page.high - reach - 50, page.low + reach + 50
    lines = visual_lines([w for line in page.lines for w in line if w.height and not foot < w.bottom < top])
    found: dict[str, tuple[float, list[int]]] = {}
    for ordered, edge in ((lines, page.high), (lines[::-1], page.low)):
        for n, (line, inner) in enumerate(zip(ordered[:4], [*ordered[1:5], []], strict=False)):
            if abs(line[0].bottom - edge) > reach:
                break
            gap = abs(line[0].bottom - inner[0].bottom) - line[0].height if inner else page.high
            if len(segments(line)) <= 3 and gap > 0.5 * line[0].height:
                key = _NUMBER.sub("#", " ".join(w.text for w in line)).casefold()
                # Further in, a number alone is as often the rest of a cell.
                if key != "#" or n == 0:
                    found.setdefault(key, (line[0].bottom, [w.at for w in line]))
    return found


def _mark_margins(page: PageWords, neighbours: Sequence[PageWords]) -> None:
    for key, (bottom, words) in page.edges.items():
        for other in neighbours:
            if key in other.edges and abs(other.edges[key][0] - bottom) < 4:
                page.margins.update(words)


def _find(page: PageWords, last: PageWords | None) -> None:
    """Tables and columns of a page; what belongs to the last row of the page before is moved there."""
    before = _closing_grid(last) if last is not None and _is_turned_alike(last, page) else None
    words = _body(page)
    if before is None and not page.rules and not _may_hold_tables(page):
        return
    rules = [upright(rule, page.angle) for rule in page.rules]
    found = find_tables(words, [mirrored(rule) for rule in rules] if page.is_rtl else rules, before)
    page.grids, page.columns = found.grids, found.columns
    if page.is_rtl:
        _put_in_order(page)
    if before is None or not page.grids or page.grids[0].top < max(w.top for w in words) - 2:
        page.grids = [grid for grid in page.grids if not grid.continues]
        return
    first = page.grids[0]
    if not first.continues and not _same_columns(before, first):
        return
    _join_rows(before, first, page)
    if first.continues and len(first.rows) == 1 and sum(bool(cell.lines) for cell in first.rows[0]) == 1:
        page.grids.remove(first)
    first.continues = True


def _is_turned_alike(a: PageWords, b: PageWords) -> bool:
    return (a.angle, a.is_rtl) == (b.angle, b.is_rtl)


def _put_in_order(page: PageWords) -> None:
    """Latin words on a page that is written from right to left are not read as they stand."""
    for cell in (cell for grid in page.grids for row in grid.rows for cell in row):
        cell.lines = [sorted(line, key=lambda w: w.at) for line in cell.lines]
    page.columns = [[[sorted(ln, key=lambda w: w.at) for ln in column] for column in block] for block in page.columns]


def _may_hold_tables(page: PageWords) -> bool:
    """Whether any two words stand far apart on one height: most pages are done by this."""
    last: Word | None = None
    for line in page.lines:
        for word in line:
            is_near = last is None or -0.2 * word.em < word.left - last.right < APART * word.em
            if last is not None and not is_near and abs(last.bottom + last.top - word.bottom - word.top) < word.height:
                return True
            last = word
    return False


def _body(page: PageWords) -> list[Word]:
    return [w for line in page.lines for w in line if w.height > 0 and w.at not in page.margins]


def _closing_grid(page: PageWords) -> Grid | None:
    """The table that a page ends with, if there is nothing below it but a running footer."""
    if not page.grids:
        return None
    lowest = min(page.grids, key=lambda grid: grid.bottom)
    held = {word.at for word in lowest.words()}
    is_last = not any(w.bottom < lowest.bottom - 2 for w in _body(page) if w.at not in held)
    return lowest if is_last and lowest.rows else None


def _same_columns(a: Grid, b: Grid) -> bool:
    pairs = zip(a.columns, b.columns, strict=False)
    return len(a.columns) == len(b.columns) and all(min(p[1], q[1]) - max(p[0], q[0]) > -3 for p, q in pairs)


def _join_rows(before: Grid, grid: Grid, page: PageWords) -> None:
    """Move the first row under a repeated header to the last row of the page before, if it is the rest of that."""
    _part_header(before.rows[0], grid)
    is_repeated = [c.text for c in grid.rows[0]] == [c.text for c in before.rows[0]]
    at = 1 if is_repeated else 0
    if at >= len(grid.rows) or not _is_rest(before.rows[-1], grid.rows[at]):
        return
    row = grid.rows.pop(at)
    homes = {cell.column: cell for cell in before.rows[-1]}
    for cell in row:
        if cell.lines:
            homes[cell.column].rest = cell.lines
            page.moved.update(word.at for line in cell.lines for word in line)
    if not grid.rows:
        page.grids.remove(grid)


def _part_header(header: Sequence[Cell], grid: Grid) -> None:
    """Cut a repeated header off lines below it that were taken for its own, having no first cell."""
    first = grid.rows[0]
    sizes = [len(cell.lines) for cell in header]
    heads = [Cell(cell.column, cell.lines[:size]) for cell, size in zip(first, sizes, strict=False)]
    if len(first) == len(header) and [c.text for c in heads] == [c.text for c in header]:
        below = [Cell(cell.column, cell.lines[size:]) for cell, size in zip(first, sizes, strict=True)]
        grid.rows[:1] = [heads, below] if any(cell.lines for cell in below) else [heads]


def _is_rest(last: Sequence[Cell], row: Sequence[Cell]) -> bool:
    """Whether a row goes on with the one before: it has no first cell, and all it has goes on with a cell of that."""
    above = {cell.column: cell.text for cell in last}
    filled = [cell for cell in row if cell.lines]
    if row[0].lines or not filled or not all(above.get(cell.column) for cell in filled):
        return False
    return any(not above[cell.column].endswith(_SENTENCE_END) or not cell.text[:1].isupper() for cell in filled)


def _lines(page: PageWords) -> Iterator[Line]:
    """Lines in content order; a table or a block of columns stands where its first word stands."""
    homes: dict[int, int] = {w.at: n for n, grid in enumerate(page.grids) for w in grid.words()}
    blocks = _interleaved(page)
    in_block = {w.at: n for n, block in enumerate(blocks) for column in block for line in column for w in line}
    done: set[tuple[str, int]] = set()
    for words in page.lines:
        run: list[Word] = []
        for word in words:
            if word.at in page.moved:
                continue
            home = ("grid", homes[word.at]) if word.at in homes else None
            home = home or (("block", in_block[word.at]) if word.at in in_block else None)
            if home is None:
                run.append(word)
            elif home not in done:
                done.add(home)
                yield from _run(run)
                run = []
                yield from _table(page, home[1]) if home[0] == "grid" else _columns(blocks[home[1]])
        yield from _run(run)
    for text in page.extra:
        yield Line(text, 0.0, 0.0)


def _interleaved(page: PageWords) -> list[list[list[VisualLine]]]:
    """Blocks of columns of which PDFium took lines of two columns for one; elsewhere content order is right."""
    torn: list[list[list[VisualLine]]] = []
    for block in page.columns:
        column_of = {w.at: n for n, column in enumerate(block) for line in column for w in line}
        if any(len({column_of[w.at] for w in words if w.at in column_of}) > 1 for words in page.lines):
            torn.append(block)
    return torn


def _columns(block: Sequence[Sequence[VisualLine]]) -> Iterator[Line]:
    for column in block:
        for line in column:
            yield from _run(in_reading_order(line))


def _run(words: Sequence[Word]) -> Iterator[Line]:
    text = line_text(words).strip()
    if text:
        yield Line(text, words[0].height, words[0].bottom)


def _table(page: PageWords, number: int) -> Iterator[Line]:
    grid = page.grids[number]
    rows = [[CellText(cell.text, cell.column, _on_page(cell.box, page)) for cell in row] for row in grid.rows]
    has_header = len(rows) > 1 and is_header([cell.text for cell in rows[0]])
    yield Line("", grid.top - grid.bottom, grid.bottom, TableLines(rows, int(has_header), grid.continues))


def _on_page(box: Box | None, page: PageWords) -> Box | None:
    """A box in the page's own directions."""
    if box is None:
        return None
    return upright(mirrored(box) if page.is_rtl else box, -page.angle % 360)

"""Tables of a PDF page: ruled ones, and those whose columns only white space parts. Also columns of running text.

White space: lines of writing are cut where words stand further apart than in a sentence. Lines that follow one another
and leave the same gaps open are a block; it is a table unless its columns read on from line to line, as those of a
newspaper do, or are a list with its marks, or a table of contents with its leaders.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from etl_assets.documents.parsing.pdf_blocks import Block, Span, blocks_of, merged, segments, within
from etl_assets.documents.parsing.pdf_grids import (
    Cell,
    Grid,
    Rules,
    VisualLine,
    cell_of,
    ruled_grids,
    rules_of,
    visual_lines,
)
from etl_assets.documents.parsing.pdf_marks import Box
from etl_assets.documents.parsing.pdf_words import Word
from etl_assets.documents.parsing.tables import is_header

_BLANK = 2.5
"""Lines of one text stand no further apart than this, in their heights, where a paragraph ends."""
_MARK = re.compile(r"(?:[•◦▪■●○–—\-*·o§➢✓❖]|\(?[0-9]{1,3}[.)]|\(?[a-zA-Z][.)]|\(?[ivxIVX]{1,5}[.)]|\[\d{1,3}\])")
_LEADERS = re.compile(r"(?:[.·_…]\s?){4,}|…{2,}")


@dataclass(frozen=True, slots=True)
class Found:
    """``grids`` are tables. ``columns`` are blocks of running text in columns, each block column by column."""

    grids: list[Grid]
    columns: list[list[list[VisualLine]]]


def find_tables(words: Sequence[Word], boxes: Sequence[Box], before: Grid | None = None) -> Found:
    """Tables of a page from its upright ``words`` and the upright boxes of its ruling lines.

    ``before`` is a table that ended the page before this one: lines at the top that keep to its columns are its rest.
    """
    rules = rules_of(boxes)
    grids = ruled_grids(words, rules)
    if grids:
        held = {word.at for grid in grids for word in grid.words()}
        words = [word for word in words if word.at not in held]
    blocks = blocks_of(visual_lines(words), grids, before)
    if before is not None and blocks and blocks[0].is_seeded:
        grids.append(_grid(blocks.pop(0), rules, continues=True))
    running = [block for block in blocks if _is_running_text(block) and not _is_table(block, rules)]
    places = sorted(word.at for word in words)
    columns: list[list[Block]] = []
    for block in blocks:
        if block in running or any(_is_set_alike(block, other) for other in running):
            if columns and _follow(columns[-1], block, grids):
                columns[-1].append(block)
            else:
                columns.append([block])
        elif _is_table(block, rules) and not _is_of_two_texts(block, places):
            grids.append(_grid(block, rules, continues=False))
        elif columns and _is_within(block, columns[-1]) and _follow(columns[-1], block, grids):
            columns[-1].append(block)
    return Found(sorted(grids, key=lambda grid: -grid.top), [_by_columns(group) for group in columns])


def _is_of_two_texts(block: Block, places: Sequence[int]) -> bool:
    """Whether much else was written between its left columns and its right ones: two columns of a page, side by side.

    ``places`` are those of all words, in order.
    """
    words = [(word.at, _column(word, block.spans)) for line in block.lines for word in line]
    for n in range(1, len(block.spans)):
        left, right = [at for at, column in words if column < n], [at for at, column in words if column >= n]
        if left and right and max(left) < min(right):
            between = bisect.bisect_left(places, min(right)) - bisect.bisect_right(places, max(left))
            if between * 2 > len(words):
                return True
    return False


def _follow(group: Sequence[Block], block: Block, grids: Sequence[Grid]) -> bool:
    """Whether a block goes on with the columns above it: nothing stands between, and no more than a blank line."""
    above, below = group[-1].lines[-1][0], block.lines[0][0]
    is_near = above.bottom - below.top < _BLANK * above.height
    return is_near and not any(below.top <= grid.top <= above.bottom for grid in grids)


def _is_within(block: Block, group: Sequence[Block]) -> bool:
    """Whether all of a block stands in one column: where the others have ended, or have a blank line."""
    left, right = block.spans[0][0], block.spans[-1][1]
    return any(span[0] - 3 <= left and right <= span[1] + 9 for other in group for span in other.spans)


def _by_columns(group: Sequence[Block]) -> list[list[VisualLine]]:
    spans = merged([span for block in group if len(block.spans) > 1 for span in block.spans])
    lines = [line for block in group for line in block.lines]
    homes = [[_column(word, spans) for word in line] for line in lines]
    return [
        [
            [word for word, home in zip(line, places, strict=True) if home == n]
            for line, places in zip(lines, homes, strict=True)
        ]
        for n in range(len(spans))
    ]


def _is_set_alike(block: Block, other: Block) -> bool:
    """Whether two blocks have the same columns, so that one is as the other: short paragraphs look like cells."""
    if len(block.spans) != len(other.spans):
        return False
    return all(abs(a[0] - b[0]) < 3 and abs(a[1] - b[1]) < 9 for a, b in zip(block.spans, other.spans, strict=True))


def _is_table(block: Block, rules: Rules) -> bool:
    several = sum(len(segments(line)) > 1 for line in block.lines)
    columns = len(block.spans)
    if columns < 2 or several < 2 or len(block.lines) + columns < 5:
        return False
    if _is_list(block) or sum(bool(_LEADERS.search(" ".join(w.text for w in ln))) for ln in block.lines) * 3 > several:
        return False
    rows = split_rows(block.lines, block.spans, rules)
    ruled = len(rows) > 1 and len(rows[0]) == 1 and _is_ruled(rows[0][-1], rows[1][0], rules)
    ruled = ruled and sum(bool(within(line, block.spans[0])) for line in rows[1]) == 1
    if len(rows) < 2 or not _is_filled(rows, block.spans, is_ruled=ruled) or _is_contents(rows, block.spans):
        return False
    return not _reads_on(block) or _rows_agree(rows, block.spans)


def _is_filled(rows: Sequence[Sequence[VisualLine]], spans: Sequence[Span], *, is_ruled: bool) -> bool:
    """Whether the rows have text in enough cells: formulas leave as many gaps, but fill few.

    Under a header of all columns, rows need no more than the first; two rows need nine in ten, or, of four columns,
    two in three where a line stands under the first (``is_ruled``).
    """
    filled = [[any(within(line, span) for line in row) for span in spans] for row in rows]
    share = sum(map(sum, filled)) / (len(rows) * len(spans))
    if all(filled[0]) and all(row[0] for row in filled) and share >= 0.34:
        texts = [" ".join(w.text for line in rows[0] for w in within(line, span)) for span in spans]
        if is_header(texts):
            return True
    few = 0.66 if is_ruled and len(spans) > 3 else 0.9
    return share >= (few if len(rows) == 2 else 0.5)


def _is_contents(rows: Sequence[Sequence[VisualLine]], spans: Sequence[Span]) -> bool:
    """Whether the rows are titles and, in the last column, the pages they stand on, from first to last."""
    numbers = [" ".join(w.text for line in row for w in within(line, spans[-1])) for row in rows]
    numbers = [number for number in numbers if number]
    if len(spans) > 3 or not numbers or not all(number.isdecimal() for number in numbers):
        return False
    pages = [int(number) for number in numbers]
    return len(pages) > 3 and pages == sorted(pages) and pages[-1] - pages[0] < 2000 and pages[0] < 400


def _is_list(block: Block) -> bool:
    marks = [" ".join(w.text for w in words) for line in block.lines if (words := within(line, block.spans[0]))]
    return len(block.spans) == 2 and sum(bool(_MARK.fullmatch(mark)) for mark in marks) * 5 >= len(marks) * 4


def _reads_on(block: Block) -> bool:
    """Whether every column is full of words: most of its lines have four or more and reach its right end."""
    for span in block.spans:
        cells = [words for line in block.lines if (words := within(line, span))]
        full = [c for c in cells if len(c) >= 4 and c[-1].right - c[0].left > 0.7 * (span[1] - span[0])]
        if len(cells) < 4 or len(full) * 5 < len(cells) * 3:
            return False
    return True


def _is_running_text(block: Block) -> bool:
    return 2 <= len(block.spans) <= 4 and len(block.lines) >= 4 and _reads_on(block)


def _rows_agree(rows: Sequence[Sequence[VisualLine]], spans: Sequence[Span]) -> bool:
    """Whether the columns begin together in nearly every row, and end apart in some: so rows do, and text does not."""
    if len(rows) < 3:
        return False
    together = sum(all(within(row[0], span) for span in spans) for row in rows)
    ragged = sum(any(not within(row[-1], span) for span in spans) for row in rows if len(row) > 1)
    return together * 5 >= len(rows) * 4 and ragged * 5 >= len(rows) * 2


def split_rows(lines: Sequence[VisualLine], spans: Sequence[Span], rules: Rules) -> list[list[VisualLine]]:
    """Lines of a table by rows: parted by ruling lines or wider gaps, else by lines that fill the first column."""
    rows = _rows_by_lines(lines, spans, rules)
    if _lead_share(rows, spans, first_line=True) < 0.8:
        # Cells set to the middle of their rows: only the column with the most lines shows where rows begin.
        centred = _rows_by_column(lines, spans)
        if _lead_share(centred, spans, first_line=False) >= 0.8:
            return centred
    return rows


def _lead_share(rows: Sequence[Sequence[VisualLine]], spans: Sequence[Span], *, first_line: bool) -> float:
    """How many of the rows have text in the first column, on their first line or on any."""
    led = [any(within(line, spans[0]) for line in (row[:1] if first_line else row)) for row in rows]
    return sum(led) / max(1, len(led))


def _rows_by_column(lines: Sequence[VisualLine], spans: Sequence[Span]) -> list[list[VisualLine]]:
    """Lines by rows that are parted by wider gaps in the column with the most lines; empty where it has none."""
    columns = [[words for line in lines if (words := within(line, span))] for span in spans]
    main = max(columns, key=len)
    pitches = [a[0].bottom - b[0].bottom for a, b in zip(main, main[1:], strict=False)]
    wider = [p > 1.25 * min(pitches) for p in pitches]
    if not any(wider) or all(wider):
        return []
    edges = [(a[0].bottom + b[0].top) / 2 for a, b, far in zip(main, main[1:], wider, strict=False) if far]
    rows: list[list[VisualLine]] = [[] for _ in range(len(edges) + 1)]
    for line in lines:
        middle = (line[0].bottom + line[0].top) / 2
        rows[sum(middle < edge for edge in edges)].append(line)
    return [row for row in rows if row]


def _rows_by_lines(lines: Sequence[VisualLine], spans: Sequence[Span], rules: Rules) -> list[list[VisualLine]]:
    pitches = [_pitch(a, b, spans) for a, b in zip(lines, lines[1:], strict=False)]
    ruled = [_is_ruled(a, b, rules) for a, b in zip(lines, lines[1:], strict=False)]
    filled = [[bool(within(line, span)) for span in spans] for line in lines]
    narrow = _line_pitch(pitches, filled)
    by_key = _has_keys(filled)
    rows: list[list[VisualLine]] = [[lines[0]]]
    for n, line in enumerate(lines[1:]):
        if sum(ruled) > 1 or (ruled[n] and filled[n][0]):
            starts = ruled[n]
        elif narrow is not None and pitches[n] > 1.25 * narrow:
            starts = True
        elif narrow is not None:
            is_wider = pitches[n] > 1.12 * narrow and filled[n + 1][0] and sum(filled[n + 1]) * 2 > len(spans)
            starts = is_wider or (all(filled[n + 1]) and sum(filled[n + 1]) >= sum(filled[n]))
        else:
            starts = filled[n + 1][0] and (by_key or sum(filled[n + 1]) * 2 >= len(spans)) and not _is_small(line)
        if starts:
            rows.append([line])
        else:
            rows[-1].append(line)
    return rows


def _pitch(above: VisualLine, below: VisualLine, spans: Sequence[Span]) -> float:
    """How far below a line stands, in points, by words of one column: those of another script stand otherwise."""
    for span in spans:
        first, second = within(above, span), within(below, span)
        if first and second:
            return first[0].bottom - second[0].bottom
    return above[0].bottom - below[0].bottom


def _line_pitch(pitches: Sequence[float], filled: Sequence[Sequence[bool]]) -> float | None:
    """The distance of lines within a row; None where rows are set no further apart than lines, or all have one."""
    inner = [p for p, f in zip(pitches, filled[1:], strict=True) if not f[0] or sum(f) * 2 <= len(f)]
    if not inner:
        return None
    usual = median(inner)
    return usual if any(p > 1.25 * usual for p in pitches) else None


def _has_keys(filled: Sequence[Sequence[bool]]) -> bool:
    """Whether the lines that fill the first column mostly fill others too: then each begins a row."""
    keyed = [sum(f) for f in filled if f[0]]
    return sum(count * 2 >= len(filled[0]) for count in keyed) * 5 >= len(keyed) * 3


def _is_small(line: VisualLine) -> bool:
    """Whether a line goes on in the middle of a sentence, as a first cell of two lines does."""
    return line[0].text[:1].islower()


def _is_ruled(above: VisualLine, below: VisualLine, rules: Rules) -> bool:
    left, right = min(w.left for w in above + below), max(w.right for w in above + below)
    high, low = min(w.bottom for w in above), max(w.top for w in below)
    slack = 2.0 if low > high - 4 else 0.0
    reach = [a for a in rules.across if low - slack <= a[0] <= high + slack + 2]
    return sum(min(right, a[2]) - max(left, a[1]) for a in reach if a[2] > left and a[1] < right) > 0.6 * (right - left)


def _grid(block: Block, rules: Rules, *, continues: bool) -> Grid:
    rows: list[list[Cell]] = []
    for lines in split_rows(block.lines, block.spans, rules):
        words = [word for line in lines for word in line]
        columns: dict[int, list[Word]] = {n: [] for n in range(len(block.spans))}
        for word in words:
            columns[_column(word, block.spans)].append(word)
        rows.append([cell_of(n, held) for n, held in columns.items()])
    top, bottom = max(w.top for w in block.lines[0]), min(w.bottom for w in block.lines[-1])
    return Grid(rows, list(block.spans), top, bottom, continues=continues)


def _column(word: Word, spans: Sequence[Span]) -> int:
    middle = (word.left + word.right) / 2
    return min(range(len(spans)), key=lambda n: max(spans[n][0] - middle, middle - spans[n][1], 0.0))

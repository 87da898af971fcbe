"""Tables that are ruled: cells between lines drawn on the page. Tables parted by white space are in ``pdf_tables``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from etl_assets.documents.parsing.pdf_marks import Box
from etl_assets.documents.parsing.pdf_words import Word, joined_text

_NEAR = 3.0
"""Points by which the ends of lines that meet may miss one another."""

VisualLine: TypeAlias = list[Word]


@dataclass(slots=True)
class Cell:
    """Words of a cell, line by line from the top. ``column`` counts from 0; a merged cell has that of its first.

    ``rest`` is what stands on the next page, of a row that goes over the end of this one.
    """

    column: int
    lines: list[VisualLine] = field(default_factory=list)
    rest: list[VisualLine] = field(default_factory=list)

    @property
    def text(self) -> str:
        """In one line."""
        return joined_text([*self.lines, *self.rest])

    @property
    def box(self) -> Box | None:
        """Around the words on this page; None without any."""
        words = [word for line in self.lines for word in line]
        return box_of(words) if words else None


@dataclass(slots=True)
class Grid:
    """A table as it stands on one page. ``columns`` are (left, right) of its columns; ``continues`` one before."""

    rows: list[list[Cell]]
    columns: list[tuple[float, float]]
    top: float
    bottom: float
    continues: bool = False

    def words(self) -> Iterator[Word]:
        """All words in it."""
        return (word for row in self.rows for cell in row for line in cell.lines for word in line)


@dataclass(frozen=True, slots=True)
class Rules:
    """Ruling lines: ``across`` as (y, left, right), ``down`` as (x, bottom, top)."""

    across: list[tuple[float, float, float]]
    down: list[tuple[float, float, float]]


def box_of(words: Sequence[Word]) -> Box:
    """The box around one word or more."""
    left, bottom = min(w.left for w in words), min(w.bottom for w in words)
    return left, bottom, max(w.right for w in words), max(w.top for w in words)


def visual_lines(words: Sequence[Word]) -> list[VisualLine]:
    """Words that stand on one height, from the top down; each line from left to right."""
    lines: list[VisualLine] = []
    middle = height = 0.0
    for word in sorted(words, key=lambda w: (-(w.bottom + w.top), w.left, w.at)):
        center = (word.bottom + word.top) / 2
        if not lines or middle - center > 0.45 * min(height, word.height):
            lines.append([])
            middle, height = center, word.height
        lines[-1].append(word)
    return [sorted(line, key=lambda w: (w.left, w.at)) for line in lines]


def in_reading_order(line: Sequence[Word]) -> VisualLine:
    """As the document wrote the words of a line, which for writing from right to left is not from left to right."""
    return sorted(line, key=lambda w: w.at) if any("\u0590" <= c <= "\u08ff" for w in line for c in w.text) else [*line]


def rules_of(boxes: Sequence[Box]) -> Rules:
    """Ruling lines, pieces that continue one another put together."""
    across = [((b[1] + b[3]) / 2, b[0], b[2]) for b in boxes if b[2] - b[0] > b[3] - b[1]]
    down = [((b[0] + b[2]) / 2, b[1], b[3]) for b in boxes if b[2] - b[0] <= b[3] - b[1]]
    return Rules(_put_together(across), _put_together(down))


def _put_together(pieces: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    lines: list[tuple[float, float, float]] = []
    clusters: list[list[tuple[float, float, float]]] = []
    for piece in sorted(pieces):
        if clusters and piece[0] - clusters[-1][0][0] <= 1.5:
            clusters[-1].append(piece)
        else:
            clusters.append([piece])
    for cluster in clusters:
        at = cluster[0][0]
        for _, start, end in sorted(cluster, key=lambda p: p[1:]):
            if lines and lines[-1][0] == at and start - lines[-1][2] <= _NEAR:
                lines[-1] = (at, lines[-1][1], max(end, lines[-1][2]))
            else:
                lines.append((at, start, end))
    return lines


MAX_RULES = 1500
"""A page with more is a drawing or a chart."""


def ruled_grids(words: Sequence[Word], rules: Rules) -> list[Grid]:
    """Tables of two columns or more whose columns are parted by lines."""
    if len(rules.down) < 1 or len(rules.across) < 2 or len(rules.across) + len(rules.down) > MAX_RULES:
        return []
    grids = [grid for lattice in _lattices(rules) if (grid := _filled(words, lattice)) is not None]
    return sorted(grids, key=lambda grid: (-grid.top, grid.columns[0][0]))


def _lattices(rules: Rules) -> Iterator[Rules]:
    """Sets of lines that meet one another."""
    lines = [(False, line) for line in rules.across] + [(True, line) for line in rules.down]
    group = list(range(len(lines)))

    def root(n: int) -> int:
        while group[n] != n:
            group[n] = group[group[n]]
            n = group[n]
        return n

    count = len(rules.across)
    for (n, (_, flat)), (m, (_, steep)) in itertools.product(
        enumerate(lines[:count]), enumerate(lines[count:], start=count)
    ):
        is_met = flat[1] - _NEAR <= steep[0] <= flat[2] + _NEAR and steep[1] - _NEAR <= flat[0] <= steep[2] + _NEAR
        if is_met:
            group[root(m)] = root(n)
    members: dict[int, list[int]] = {}
    for n in range(len(lines)):
        members.setdefault(root(n), []).append(n)
    for numbers in members.values():
        yield Rules([lines[n][1] for n in numbers if n < count], [lines[n][1] for n in numbers if n >= count])


def _filled(words: Sequence[Word], lattice: Rules) -> Grid | None:
    if len(lattice.across) < 2 or not lattice.down:
        return None
    left, right = min(a[1] for a in lattice.across), max(a[2] for a in lattice.across)
    xs = _apart([left, right, *(d[0] for d in lattice.down)])
    ys = _apart([*(a[0] for a in lattice.across), *(y for d in lattice.down for y in d[1:])])[::-1]
    if len(xs) < 3 or len(ys) < 2:
        return None
    held = [w for w in words if xs[0] <= (w.left + w.right) / 2 <= xs[-1] and ys[-1] <= (w.bottom + w.top) / 2 <= ys[0]]
    rows = _cells(held, xs, ys, lattice)
    filled = sum(bool(cell.lines) for row in rows for cell in row)
    columns = {cell.column for row in rows for cell in row if cell.lines}
    if len(columns) < 2 or len(rows) < 2 or filled * 3 < len(rows) * (len(xs) - 1):
        return None
    return Grid(rows, list(itertools.pairwise(xs)), ys[0], ys[-1])


def _apart(values: Sequence[float]) -> list[float]:
    apart: list[float] = []
    for value in sorted(values):
        if not apart or value - apart[-1] > _NEAR:
            apart.append(value)
    return apart


def _cells(words: Sequence[Word], xs: Sequence[float], ys: Sequence[float], lattice: Rules) -> list[list[Cell]]:
    """Cells of every row with text; where no line parts two fields of the lattice, they are one cell."""
    starts = [_starts(row, xs, ys, lattice) for row in range(len(ys) - 1)]
    fields: dict[tuple[int, int], list[Word]] = {}
    for word in words:
        row = _interval([-y for y in ys], -(word.bottom + word.top) / 2)
        column = max(c for c in starts[row] if c <= _interval(xs, (word.left + word.right) / 2))
        middle = (xs[column] + xs[column + 1]) / 2
        while row > 0 and column in starts[row - 1] and not _parted(lattice.across, ys[row], middle):
            row -= 1
        fields.setdefault((row, column), []).append(word)
    rows = [[cell_of(c, fields.get((row, c), [])) for c in columns] for row, columns in enumerate(starts)]
    return [part for row in rows if any(cell.lines for cell in row) for part in _single_rows(row)]


def _single_rows(row: list[Cell]) -> list[list[Cell]]:
    """The rows that stand between two lines: more than one where all cells have as many lines of writing.

    Many tables are ruled round their head and foot only. Wrapped cells hardly ever have as many lines each.
    """
    counts = [len(cell.lines) for cell in row if cell.lines]
    if len(counts) < 3 or counts[0] < 2 or len(set(counts)) > 1:
        return [row]
    return [[Cell(cell.column, cell.lines[n : n + 1]) for cell in row] for n in range(counts[0])]


def cell_of(column: int, words: Sequence[Word]) -> Cell:
    """A cell of these words."""
    return Cell(column, [in_reading_order(line) for line in visual_lines(words)])


def _starts(row: int, xs: Sequence[float], ys: Sequence[float], lattice: Rules) -> list[int]:
    """The columns in which a cell of this row begins."""
    middle = (ys[row] + ys[row + 1]) / 2
    return [c for c in range(len(xs) - 1) if c == 0 or _parted(lattice.down, xs[c], middle)]


def _parted(lines: Sequence[tuple[float, float, float]], at: float, middle: float) -> bool:
    return any(abs(line[0] - at) <= _NEAR and line[1] - _NEAR <= middle <= line[2] + _NEAR for line in lines)


def _interval(edges: Sequence[float], value: float) -> int:
    for n in range(len(edges) - 2):
        if value < edges[n + 1]:
            return n
    return len(edges) - 2

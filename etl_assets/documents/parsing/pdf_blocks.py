"""Lines of a page that keep the same gaps open, put together to blocks: what may be a table, or text in columns."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TypeAlias

from etl_assets.documents.parsing.pdf_grids import Grid, VisualLine
from etl_assets.documents.parsing.pdf_words import Word

APART = 0.9
"""Words further apart than this, in ems, stand in two columns; a space takes a quarter, in justified text a half."""
_WIDE_GAP = 1.7
"""One gap up to this, in ems, within a column that many lines have shown is a loosely set line."""

Span: TypeAlias = tuple[float, float]


class Block:
    """Lines that keep the same gaps open. ``spans`` are the columns, from left to right."""

    def __init__(self, line: VisualLine, spans: Sequence[Span] = ()) -> None:
        self.lines = [line]
        self.is_seeded = bool(spans)
        self.spans = merged([*spans, *segments(line)])

    def takes(self, line: VisualLine) -> bool:
        """Add a line, unless it closes a gap between columns, parts a column anew or stands too far below."""
        last = self.lines[-1]
        height = median(word.height for word in last)
        gap = min(w.bottom for w in last) - max(w.top for w in line)
        more = self._closed(segments(line), line[0].em)
        if len(self.spans) == 1 and not self.is_seeded and len(more) > 1:
            return False
        # Where columns begin again in their places, rows may stand further apart.
        begins = len(more) > 1 and all(any(abs(m[0] - s[0]) < 3 for s in self.spans) for m in more)
        if gap > (5 if begins else 2.5) * height or (
            len(more) == 1 and abs(line[0].height - last[0].height) > 0.15 * height
        ):
            return False
        whole = merged([*self.spans, *more])
        if any(_count_within(self.spans, span) > 1 or _count_within(more, span) > 1 for span in whole):
            return False
        if len(whole) > len(self.spans) and len(more) == 1:
            return False
        self.spans = whole
        self.lines.append(line)
        return True

    def _closed(self, more: list[Span], em: float) -> list[Span]:
        """Stretches of a line, two of them made one where they are parted by a wide space within a proven column."""
        for n in range(len(more) - 1 if len(self.lines) > 2 else 0):
            left, right = more[n], more[n + 1]
            is_inside = any(s[0] - 1 <= left[0] and right[1] <= s[1] + 1 for s in self.spans)
            if is_inside and right[0] - left[1] <= _WIDE_GAP * em:
                return [*more[:n], (left[0], right[1]), *more[n + 2 :]]
        return more


def _count_within(spans: Sequence[Span], whole: Span) -> int:
    return sum(span[0] >= whole[0] and span[1] <= whole[1] for span in spans)


def segments(line: Sequence[Word]) -> list[Span]:
    """Left and right ends of the stretches of a line, where words stand no further apart than in a sentence."""
    spans: list[Span] = []
    for word in line:
        if spans and word.left - spans[-1][1] <= APART * word.em:
            spans[-1] = (spans[-1][0], max(spans[-1][1], word.right))
        else:
            spans.append((word.left, word.right))
    return spans


def merged(spans: Sequence[Span]) -> list[Span]:
    """Spans with those that overlap, or nearly touch, made one."""
    apart: list[Span] = []
    for left, right in sorted(spans):
        if apart and left <= apart[-1][1] + 2.0:
            apart[-1] = (apart[-1][0], max(apart[-1][1], right))
        else:
            apart.append((left, right))
    return apart


def blocks_of(lines: Sequence[VisualLine], grids: Sequence[Grid], before: Grid | None) -> list[Block]:
    """Blocks from the top down. None goes over a table of ``grids``; the first may go on with a table ``before``."""
    found: list[Block] = []
    block: Block | None = None
    for number, line in enumerate(lines):
        parted = block is not None and any(line[0].top <= g.top <= block.lines[-1][0].bottom + 1 for g in grids)
        if block is None and number == 0 and before is not None and _goes_on(line, before):
            block = Block(line, before.columns)
        elif block is not None and not parted and block.takes(line):
            continue
        else:
            if block is not None:
                found.append(block)
            block = Block(line)
    if block is not None:
        found.append(block)
    return [_trimmed(b) for b in found]


def _goes_on(line: VisualLine, before: Grid) -> bool:
    """Whether every stretch of a line stands in one column of a table, and begins where that column does."""
    for left, right in segments(line):
        homes = [c for c in before.columns if c[0] - 3 <= left and right <= c[1] + 6]
        if not homes:
            return False
    return len(segments(line)) > 1 or abs(line[0].left - before.columns[0][0]) > 3


def _trimmed(block: Block) -> Block:
    """Without lines of one stretch at the end that stand further down than lines of a row do."""
    while len(block.lines) > 2 and len(segments(block.lines[-1])) == 1 and len(block.spans) > 1:
        pitch = block.lines[-2][0].bottom - block.lines[-1][0].bottom
        inner = [a[0].bottom - b[0].bottom for a, b in zip(block.lines[:-2], block.lines[1:-1], strict=True)]
        if inner[0] < 0.8 * block.lines[1][0].height and len(segments(block.lines[0])) == 1:
            del inner[0]  # A cell of the header that is set a little higher than its row.
        if not inner or pitch <= 1.6 * min(inner):
            break
        block.lines.pop()
    return block


def within(line: VisualLine, span: Span) -> VisualLine:
    """The words of a line that stand in a column."""
    return [word for word in line if span[0] - 1 <= (word.left + word.right) / 2 <= span[1] + 1]

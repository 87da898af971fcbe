"""Pages to chunks. Structure mode keeps headings, paragraphs and sentences whole; fixed mode counts code points.

Structure mode is local: where to cut is decided by what stands at the cut, not by what was packed before it, so one
changed sentence changes the chunks that hold it and leaves the others their text, and so their vectors. A page is
tokenised once, where semantic-text-splitter tokenises many times: 1.8 MB a CPU-second against .3, measured by
``benchmarks/embedding.py``.
"""

import time
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from etl_assets.documents import model
from etl_assets.documents.parameters import Chunking
from etl_assets.documents.parsing.chunk_file import GIVEN
from etl_assets.documents.sentences import Break, Unit, split_long, units
from etl_assets.errors import ConfigError
from etl_assets.protocols.embedder import Tokenizer
from etl_assets.stages.spec import Computed, Task

if TYPE_CHECKING:
    import polars as pl

CODE_POINTS_PER_TOKEN = 16
"""A chunk has at most this many code points for each token allowed: a blob of one token is still cut."""


class Span(NamedTuple):
    """Code points of a page; ``end`` is exclusive."""

    start: int
    end: int


class Heading(NamedTuple):
    """A heading line of a page; ``level`` counts from 1, code points, ``end`` exclusive."""

    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk of a page. ``core`` is where its own text begins: before it stands the overlap."""

    start: int
    end: int
    core: int
    token_count: int


def fixed_size_chunks(text: str, *, size: int = 1000, overlap: int = 200) -> list[Span]:
    """Windows of ``size`` code points, each sharing ``overlap`` with the one before.

    Spans count code points, not bytes; ``end`` is exclusive. An empty text gives no span.

    Raises:
        ConfigError: ``overlap`` is outside ``0 <= overlap < size``.
    """
    if not 0 <= overlap < size:
        raise ConfigError(f"chunk overlap {overlap} must be at least 0 and below size {size}")
    stop = max(len(text) - overlap, 1) if text else 0
    return [Span(start, min(start + size, len(text))) for start in range(0, stop, size - overlap)]


def structure_chunks(
    text: str, headings: Sequence[Heading], *, tokenizer: Tokenizer, max_tokens: int = 200, overlap_tokens: int = 30
) -> list[Piece]:
    """Chunks of at most ``max_tokens``, cut at the strongest break that keeps both sides of a fair size.

    A chunk begins with whole units that end the one before, up to ``overlap_tokens`` of them, where they fit and no
    heading stands between. A unit over the limit is cut between words. Chunks are ascending, hold everything but
    white space, and neither begin nor end with it. Blank text gives none.

    Raises:
        ConfigError: not ``1 <= max_tokens`` or not ``0 <= overlap_tokens < max_tokens``.
    """
    if not (max_tokens >= 1 and 0 <= overlap_tokens < max_tokens):
        raise ConfigError(
            f"chunking: overlap_tokens {overlap_tokens} must be at least 0 and below max_tokens {max_tokens}"
        )
    core = text.strip()
    if not core:
        return []
    tokens = tokenizer.token_spans(text)
    if len(tokens) <= max_tokens and len(core) <= CODE_POINTS_PER_TOKEN * max_tokens:
        start = len(text) - len(text.lstrip())
        return [Piece(start, start + len(core), start, len(tokens))]
    page = _Page.read(text, headings, tokens, max_tokens)
    cuts = [*page.cuts(max_tokens), len(page.units)]
    return [page.piece(first, last, max_tokens, overlap_tokens) for first, last in zip(cuts, cuts[1:], strict=False)]


@dataclass(frozen=True, slots=True)
class _Page:
    """A page as units. ``sizes[i]`` is the weight of all units before ``i``, ``scores[i]`` the worth of a cut there.

    ``ends`` are the ends of the tokens. A token belongs where it ends: some begin with the space before them.
    """

    units: list[Unit]
    ends: list[int]
    sizes: list[int]
    scores: list[int]

    @classmethod
    def read(
        cls, text: str, headings: Sequence[Heading], tokens: Sequence[tuple[int, int]], max_tokens: int
    ) -> "_Page":
        ends = [end for _, end in tokens]
        kept: list[Unit] = []
        for unit in units(text, [(h.start, h.end) for h in headings]):
            first, last = bisect_right(ends, unit.start), bisect_right(ends, unit.end)
            if _weight(last - first, unit) <= max_tokens:
                kept.append(unit)
            else:
                kept += split_long(text, unit, tokens[first:last], limit=max_tokens)
        sizes, scores = [0], []
        for index, unit in enumerate(kept):
            count = bisect_right(ends, unit.end) - bisect_right(ends, unit.start)
            gap = (unit.start - kept[max(index - 1, 0)].end) // CODE_POINTS_PER_TOKEN
            sizes.append(sizes[-1] + _weight(count, unit) + max(gap, 0))
            scores.append(_score(text, kept[index - 1] if index else unit, unit))
        return cls(kept, ends, sizes, scores)

    def cuts(self, limit: int) -> list[int]:
        """Indices of the units that begin a chunk, ascending.

        A stretch over the limit is parted at its best break, and each side again. A break is thus a cut or not by
        its rank among the breaks near it, as in a treap: a change elsewhere cannot move it.
        """
        found, open_ = [], [(0, len(self.units))]
        while open_:
            first, last = open_.pop()
            if self.sizes[last] - self.sizes[first] <= limit or last - first < 2:
                found.append(first)
                continue
            cut = self._best(first, last, limit)
            open_ += [(first, cut), (cut, last)]
        return sorted(found)

    def _best(self, first: int, last: int, limit: int) -> int:
        """The best break inside, no side of it too small; between one and two limits, no side over the limit."""
        begin, end = self.sizes[first], self.sizes[last]
        margin = end - begin - limit if end - begin <= 2 * limit * 0.9 else limit // 2
        for least in (max(margin, limit // 4), limit // 4, 1):
            low = bisect_left(self.sizes, begin + least, first + 1, last)
            high = bisect_right(self.sizes, end - least, low, last)
            if low < high:
                inside = self.scores[low:high]
                return low + inside.index(max(inside))
        return first + 1

    def piece(self, first: int, last: int, max_tokens: int, overlap_tokens: int) -> Piece:
        """The chunk of units ``first`` to ``last``, exclusive, with what it repeats of the one before."""
        begin = first
        room = min(overlap_tokens, max_tokens - (self.sizes[last] - self.sizes[first]))
        while begin and self.units[begin].before is not Break.HEADING and self._size(begin - 1, first) <= room:
            begin -= 1
        start, end = self.units[begin].start, self.units[last - 1].end
        count = bisect_right(self.ends, end) - bisect_right(self.ends, start)
        return Piece(start, end, self.units[first].start, count)

    def _size(self, first: int, last: int) -> int:
        return self.sizes[last] - self.sizes[first]


def _weight(token_count: int, unit: Unit) -> int:
    """Tokens, or what its length counts for where the tokenizer made one token of a whole blob; never 0."""
    return max(token_count, -(-(unit.end - unit.start) // CODE_POINTS_PER_TOKEN), 1)


def _score(text: str, before: Unit, unit: Unit) -> int:
    """Strength of the break, then a hash of the words on both sides, which no edit further away can change."""
    last_words = text[max(before.end - 16, before.start) : before.end]
    sides = last_words + "\n" + text[unit.start : min(unit.start + 32, unit.end)]
    return (unit.before << 32) + zlib.crc32(sides.encode("utf-8", "surrogatepass"))


@dataclass(slots=True)
class _Outline:
    """The headings that enclose the place reached, carried over pages."""

    path: list[tuple[int, str]] = field(default_factory=list)

    def enter(self, level: int, title: str) -> None:
        while self.path and self.path[-1][0] >= level:
            self.path.pop()
        self.path.append((level, title))

    def __str__(self) -> str:
        return " > ".join(title for _, title in self.path)


def chunk_pages(tasks: Sequence[Task], pages: "pl.DataFrame", *, chunking: Chunking, tokenizer: Tokenizer) -> Computed:
    """One row per chunk, columns as in ``model.chunks_columns``; a document without text has no rows.

    ``pages`` has ``document_id`` and the columns of ``model.pages_columns``, in any order of rows. ``seconds`` is
    time on the clock, ``tokens`` counts the tokens of the chunks, overlap included.

    Raises:
        ConfigError: sizes of ``chunking`` that cannot work.
    """
    import polars as pl

    schema = pl.Schema({"document_id": pl.String} | dict(model.chunks_columns()))
    columns: dict[str, list[object]] = {name: [] for name in schema}
    seconds: dict[str, float] = {}
    tokens: dict[str, int] = {}
    ordered = pages.select("document_id", "page", "text", "headings").sort("document_id", "page")
    for document, rows in _grouped(ordered):
        began = time.perf_counter()
        tokens[document] = 0
        seen: Counter[str] = Counter()
        for ordinal, (page, text, heading, piece) in enumerate(_chunks(rows, chunking, tokenizer)):
            part = text[piece.start : piece.end]
            values = (
                document, model.chunk_id(part, seen[part]), ordinal, page, piece.start, piece.end,
                part, heading, piece.token_count, model.embedded_text_digest(part),
            )  # fmt: skip
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
            seen[part] += 1
            tokens[document] += piece.token_count
        seconds[document] = time.perf_counter() - began
    return Computed(rows=pl.DataFrame(columns, schema=schema), seconds=seconds, tokens=tokens)


class _Row(NamedTuple):
    page: int
    text: str
    headings: list[Heading]


def _grouped(ordered: "pl.DataFrame") -> Iterator[tuple[str, list[_Row]]]:
    """The pages of each document. Rows are of one document as long as their id stays the same."""
    document, rows = "", list[_Row]()
    for identity, page, text, headings in ordered.iter_rows():
        if identity != document and rows:
            yield document, rows
            rows = []
        document = identity
        found = [Heading(h["level"], h["start"], h["end"]) for h in headings or ()]
        rows.append(_Row(page, text or "", sorted(found, key=lambda h: h.start)))
    if rows:
        yield document, rows


def _chunks(rows: list[_Row], chunking: Chunking, tokenizer: Tokenizer) -> Iterator[tuple[int, str, str, Piece]]:
    """(page, its text, heading path, chunk) in reading order."""
    outline = _Outline()
    for row in rows:
        waiting = [heading for heading in reversed(row.headings) if heading.level != GIVEN]
        for piece in _pieces(row, chunking, tokenizer):
            while waiting and waiting[-1].start <= piece.core:
                heading = waiting.pop()
                outline.enter(heading.level, " ".join(row.text[heading.start : heading.end].split()))
            yield row.page, row.text, str(outline), piece
        for heading in reversed(waiting):
            outline.enter(heading.level, " ".join(row.text[heading.start : heading.end].split()))


def _pieces(row: _Row, chunking: Chunking, tokenizer: Tokenizer) -> list[Piece]:
    given = [span for span in row.headings if span.level == GIVEN]
    if given:
        return [_given(row.text, span, tokenizer) for span in given]
    if chunking.mode == "structure":
        return structure_chunks(
            row.text, row.headings, tokenizer=tokenizer,
            max_tokens=chunking.max_tokens, overlap_tokens=chunking.overlap_tokens,
        )  # fmt: skip
    windows = fixed_size_chunks(row.text, size=chunking.size, overlap=chunking.overlap)
    ends = [end for _, end in tokenizer.token_spans(row.text)]
    return [
        Piece(w.start, w.end, w.start, bisect_right(ends, w.end) - bisect_right(ends, w.start))
        for w in windows
        if not row.text[w.start : w.end].isspace()
    ]


def _given(text: str, span: Heading, tokenizer: Tokenizer) -> Piece:
    """A chunk whose borders came with the document, whatever the settings of chunking."""
    tokens = tokenizer.token_spans(text[span.start : span.end])
    return Piece(span.start, span.end, span.start, len(tokens))

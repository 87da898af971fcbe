"""The mentions stage: rows of pages and chunks in, rows of mentions out."""

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from etl_assets.documents.link_targets import without_paths, without_targets
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.dates import dates
from etl_assets.documents.mentions.found import Found, longest
from etl_assets.documents.mentions.linking import attack_ids, judged, outside
from etl_assets.documents.mentions.names import Hit
from etl_assets.documents.mentions.patterns import indicators
from etl_assets.documents.mentions.readings import readings
from etl_assets.documents.mentions.recognised import recognised
from etl_assets.documents.mentions.sectors import sectors, sectors_read
from etl_assets.documents.mentions.severities import severities
from etl_assets.documents.model import mentions_columns
from etl_assets.stages.spec import Computed, Task

if TYPE_CHECKING:
    import polars as pl

CONTEXT = 80
"""Code points of context on each side of a mention; words are not cut."""

_Chunk = tuple[int, int, str]


def mentions_in(pages: Sequence[str], catalogue: Catalogue) -> list[list[Found]]:
    """The mentions of one document, one list a page, in order; none overlaps another.

    A name is judged in its whole document: what one page settles holds on the others. Where links lead is not read,
    but addresses that stand there are mentions as well.
    """
    patterns, named, hits = known_names(pages, catalogue)
    read = [without_targets(text) for text in pages]
    findings = readings(read, patterns, named, hits)
    names = recognised(read, patterns, named, hits, findings)
    others = (
        [*of_day, *severities(text), *longest(sectors(text)), *sectors_read(text, by_labeller)]
        for text, of_day, by_labeller in zip(read, dates(read), findings, strict=True)
    )
    return [_together(*of_page) for of_page in zip(patterns, names, others, strict=True)]


def _together(by_pattern: Sequence[Found], by_name: Sequence[Found], others: Sequence[Found]) -> list[Found]:
    """Indicators and ids first, then names, then dates, severities and sectors where nothing else stands."""
    taken = sorted([*by_pattern, *by_name])
    ends = [one.end for one in taken]
    for one in longest(others):
        place = bisect_left(ends, one.start + 1)
        if place == len(ends) or taken[place].start >= one.end:
            by_name = [*by_name, one]
    return sorted([*by_pattern, *by_name])


def known_names(
    pages: Sequence[str], catalogue: Catalogue
) -> tuple[list[list[Found]], list[list[Found]], list[list[Hit]]]:
    """By page: what patterns find, the catalogue's names that are judged right, and all that is spelled like one."""
    read = [without_targets(text) for text in pages]
    patterns = [
        longest([*indicators(without_paths(text)), *attack_ids(plain, catalogue)])
        for text, plain in zip(pages, read, strict=True)
    ]
    hits = [outside(catalogue.names.hits(text), taken) for text, taken in zip(read, patterns, strict=True)]
    return patterns, judged(read, patterns, hits), hits


def find_mentions(
    tasks: Sequence[Task], pages: "pl.DataFrame", chunks: "pl.DataFrame", *, catalogue: Catalogue
) -> Computed:
    """Rows of ``model.MENTIONS`` for every task, by page, start and end.

    ``text`` is exactly ``pages.text[start:end]``. Nothing here fails for a document: any text is valid input.
    """
    import polars as pl

    texts: dict[str, list[tuple[int, str]]] = {}
    for document, page, text in pages.select("document_id", "page", "text").iter_rows():
        texts.setdefault(document, []).append((page, text))
    spans = chunk_spans(chunks)
    rows: list[tuple[object, ...]] = []
    seconds: dict[str, float] = {}
    for task in tasks:
        begun = time.perf_counter()
        numbered = sorted(texts.get(task.document_id, ()))
        found = mentions_in([text for _, text in numbered], catalogue)
        for (page, text), on_page in zip(numbered, found, strict=True):
            if on_page:
                mine = spans.get((task.document_id, page), ())
                rows.extend(mention_rows(task.document_id, page, text, on_page, mine))
        seconds[task.document_id] = time.perf_counter() - begun
    schema = pl.Schema([("document_id", pl.String()), *mentions_columns().items()])
    return Computed(pl.DataFrame(rows, schema=schema, orient="row"), seconds=seconds)


def chunk_spans(chunks: "pl.DataFrame") -> dict[tuple[str, int], list[_Chunk]]:
    """Chunks of every page, in reading order."""
    spans: dict[tuple[str, int], list[_Chunk]] = {}
    ordered = chunks.select("document_id", "ordinal", "page", "start", "end", "chunk_id").sort("document_id", "ordinal")
    for document, _, page, start, end, chunk in ordered.iter_rows():
        spans.setdefault((document, page), []).append((start, end, chunk))
    for on_page in spans.values():
        on_page.sort(key=itemgetter(1, 0))
    return spans


def mention_rows(
    document: str, page: int, text: str, found: Iterable[Found], chunks: Sequence[_Chunk]
) -> Iterable[tuple[object, ...]]:
    """What was found on a page as rows of the stage; ``chunks`` are those of the page, by ``chunk_spans``."""
    for mention in found:
        start, end = mention.start, mention.end
        yield (
            document, page, start, end, text[start:end], mention.entity_id, mention.entity_type, mention.name,
            _first_holding(chunks, start, end), mention.confidence, _context(text, start, end), mention.method,
        )  # fmt: skip


def _first_holding(chunks: Sequence[_Chunk], start: int, end: int) -> str | None:
    """The first chunk in reading order that holds the whole span; ``chunks`` are in order of their ends."""
    place = bisect_left(chunks, end, key=itemgetter(1))
    return next((chunk for low, _, chunk in chunks[place:] if low <= start), None)


def _context(text: str, start: int, end: int) -> str:
    """The mention with the text around it, on one line."""
    low, high = max(0, start - CONTEXT), min(len(text), end + CONTEXT)
    if low:
        blank = text.find(" ", low, start)
        low = blank + 1 if blank >= 0 else low
    if high < len(text):
        blank = text.rfind(" ", end, high)
        high = blank if blank >= 0 else high
    return " ".join(text[low:high].split())

"""Whether search tells the truth: sampled answers, each citation proved from the pages and not from what found it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.ledger.row_places import output_files, published_numbers
from etl_assets.ledger.snapshots import CollectionView, VisibleDocument, snapshot, visible_documents
from etl_assets.search.citations import CHUNKS_STAGE
from etl_assets.search.model import Answer, Hit, SearchPlaces
from etl_assets.search.query import search
from etl_assets.search.segment_cache import SegmentCache
from etl_assets.stages.lake import SegmentLost
from etl_assets.stages.spec import Json

if TYPE_CHECKING:
    import polars as pl

PAGES_STAGE = "pages"
WORDS = 12
"""Words of a chunk that make a query."""

HITS = 10


@dataclass(frozen=True, slots=True)
class CitationFailure:
    """One citation, or one whole answer (then ``chunk_id`` is empty), that does not hold."""

    query: str
    document: str
    chunk_id: str
    problem: str


@dataclass(slots=True)
class CitationReport:
    """What was asked and proved. ``superseded`` hits were of documents that changed while they were checked.

    ``found_itself`` counts searches whose own chunk's document was among the hits: it tells how well search finds,
    not whether it is right.
    """

    searches: int = 0
    hits: int = 0
    verified: int = 0
    superseded: int = 0
    found_itself: int = 0
    failures: list[CitationFailure] = field(default_factory=list)
    degraded: set[str] = field(default_factory=set)

    @property
    def passed(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.failures

    def as_json(self) -> dict[str, Json]:
        """Counts, and the failures in full."""
        return {
            "searches": self.searches,
            "hits": self.hits,
            "verified": self.verified,
            "superseded": self.superseded,
            "found_itself": self.found_itself,
            "failures": [
                {"query": one.query, "document": one.document, "chunk_id": one.chunk_id, "problem": one.problem}
                for one in self.failures
            ],
            "degraded": sorted(self.degraded),
        }


def verify_citations(
    places: SearchPlaces, *, tenant: str | None = None, collection: str | None = None, sample: int = 20, seed: int = 0
) -> CitationReport:
    """Ask with the own words of ``sample`` published chunks and prove every citation of every answer.

    A citation holds when the ledger shows that very version of the document at the answer's sequence, and the
    quote is what its page has between ``start`` and ``end``. An empty answer to a document's own words fails. The
    same seed over the same documents asks the same.

    Raises:
        TransientError, PermanentError: as ``search`` does.
    """
    report, lake = CitationReport(), _LakeRows(places)
    views = snapshot(places.ledger, tenant=tenant, collection=collection)
    for view, document, query in own_words(places, views, sample, random.Random(seed)):
        answer = search(places, query, tenant=view.tenant, collection=view.collection, limit=HITS, hops=0)
        report.searches += 1
        report.degraded |= {f"{one.source}: {one.reason}" for one in answer.degraded}
        report.found_itself += any(hit.document_id == document.document_id for hit in answer.hits)
        if not answer.hits and _is_shown(places, view, document):
            named = f"{view.tenant}/{view.collection}/{document.path}"
            report.failures.append(CitationFailure(query, named, "", "its own words found nothing"))
        _prove(places, lake, view, answer, report)
    return report


def own_words(
    places: SearchPlaces, views: Sequence[CollectionView], sample: int, draw: random.Random
) -> list[tuple[CollectionView, VisibleDocument, str]]:
    """Some documents' own words. Every document is as likely as every other, and so is each of its chunks."""
    lake = _LakeRows(places)
    published = [
        (view, number)
        for view in views
        for number in published_numbers(places.ledger, view.generation_id, view.visible.sequence)
    ]
    found = []
    for view, number in draw.sample(published, min(sample, len(published))):
        document = visible_documents(places.ledger, view.generation_id, [number], view.visible.sequence).get(number)
        rows = lake.of(document, CHUNKS_STAGE, ("text",)) if document is not None else None
        if document is not None and rows is not None and rows.height:
            words = rows["text"][draw.randrange(rows.height)].split()
            start = draw.randrange(max(len(words) - WORDS, 0) + 1)
            query = " ".join(words[start : start + WORDS])
            if query:
                found.append((view, document, query))
    return found


def _prove(places: SearchPlaces, lake: _LakeRows, view: CollectionView, answer: Answer, report: CitationReport) -> None:
    numbers = {hit.publication for hit in answer.hits}
    shown = visible_documents(places.ledger, view.generation_id, list(numbers), answer.sequence)
    for hit in answer.hits:
        report.hits += 1
        document = shown.get(hit.publication)
        problem = _problem(lake, hit, document)
        if problem is None:
            report.verified += 1
        elif document is not None and not _is_shown(places, view, document):
            report.superseded += 1
        else:
            named = f"{hit.tenant}/{hit.collection}/{hit.path}"
            report.failures.append(CitationFailure(answer.query, named, hit.chunk_id, problem))


def _problem(lake: _LakeRows, hit: Hit, document: VisibleDocument | None) -> str | None:
    if document is None or (document.document_id, document.version) != (hit.document_id, hit.version):
        return f"the ledger does not show version {hit.version[:12]} under publication {hit.publication}"
    pages = lake.of(document, PAGES_STAGE, ("page", "text"))
    if pages is None:
        return "the rows of its pages are gone"
    text = dict(pages.iter_rows()).get(hit.page)
    if text is None:
        return f"it has no page {hit.page}"
    if text[hit.start : hit.end] != hit.quote:
        return f"page {hit.page} has other text between {hit.start} and {hit.end}"
    return None


class _LakeRows:
    """Rows read from the lake anew: what searches keep in memory proves nothing."""

    def __init__(self, places: SearchPlaces) -> None:
        self._places = places
        self._segments = SegmentCache()

    def of(self, document: VisibleDocument, stage: str, columns: Sequence[str]) -> pl.DataFrame | None:
        """A document's rows at a stage; ``None`` when they are gone."""
        import polars as pl

        output = document.outputs.get(stage)
        if output is None:
            return None
        for _ in range(3):  # compaction may move them in between
            file = output_files(self._places.ledger, [output]).get(output)
            if file is None:
                return None
            try:
                frame = self._segments.frame(self._places.lake, file, ["output_id", *columns])
            except SegmentLost:
                continue
            return frame.filter(pl.col("output_id") == output).select(columns)
        return None


def _is_shown(places: SearchPlaces, view: CollectionView, document: VisibleDocument) -> bool:
    """Whether a search begun now would still show the document as it was."""
    for now in snapshot(places.ledger, tenant=view.tenant, collection=view.collection):
        shown: Mapping[int, VisibleDocument] = visible_documents(
            places.ledger, now.generation_id, [document.publication], now.visible.sequence
        )
        return shown.get(document.publication) == document
    return False

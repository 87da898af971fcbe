"""What a search is given and what it answers with. No computation beyond the answer's JSON form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from etl_assets.errors import ConfigError
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.snapshots import CollectionView
from etl_assets.protocols.embedder import Embedder
from etl_assets.protocols.graph import KnowledgeGraph
from etl_assets.protocols.indexes import KeywordIndex, VectorIndex
from etl_assets.protocols.reranker import Reranker
from etl_assets.search.segment_cache import SegmentCache
from etl_assets.stages.lake import Lake
from etl_assets.stages.spec import Json

if TYPE_CHECKING:
    from etl_assets.ledger.snapshots import VisibleDocument

MOST_HITS = 1000
MOST_HOPS = 4
MOST_NEIGHBOURS = 10_000


@dataclass(slots=True)
class Warmth:
    """Whether the indexes' libraries were loaded in this process, which may take longer than a search may."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """How hits become one list: ``pool`` chunks of each source, joined by reciprocal rank with ``k`` and weights.

    Measured by ``benchmarks/retrieval.py``: fusing chunks is better than fusing documents (nDCG@10 on MED .817 and
    .807), ``k`` of 20 or 10 is no better than 60, and pools of 50 to 1,000 make no difference. ``weights`` are by
    source, 1 where none is given.
    """

    pool: int = 100
    k: float = 60.0
    weights: Mapping[str, float] = field(default_factory=dict)
    rerank_pool: int = 50


@dataclass(frozen=True, slots=True)
class SearchPlaces:
    """Where a search reads. Opened once in a process and shared by its threads.

    ``embedder_for`` gives the embedder whose vectors a collection's live generation holds, or ``None`` when that
    model is not configured any more; its identity is compared, so another model's is never used. It may raise the
    package's errors. ``time_limit_s`` is the one that collection of superseded rows waits for. ``at`` says where each
    store is: an answer names one to which not everything was published yet.
    """

    ledger: Ledger
    lake: Lake
    vector: VectorIndex
    keyword: KeywordIndex
    graph: KnowledgeGraph
    embedder_for: Callable[[CollectionView], Embedder | None]
    time_limit_s: float = 2.0
    ranking: Ranking = field(default_factory=Ranking)
    reranker: Reranker | None = None
    at: Mapping[str, str] = field(default_factory=dict)
    segments: SegmentCache = field(default_factory=SegmentCache, repr=False)
    warmth: Warmth = field(default_factory=Warmth, repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One question. Empty filters restrict nothing; all given ones must hold, and so must every entity.

    ``since`` and ``until`` are inclusive; documents without a date do not pass them. An entity is its id
    (``group:G0007``) or a name, in any letter case; a label is ``set:label``, such as ``threat:ransomware``.

    Raises:
        ConfigError: the query is blank, or a number is out of its bounds.
    """

    query: str
    tenant: str | None = None
    collection: str | None = None
    document_types: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    entities: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    limit: int = 20
    neighbours: int = 50
    hops: int = 2

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise ConfigError("search: the query is empty; give some words to look for")
        bounds = (("limit", self.limit, 1, MOST_HITS), ("hops", self.hops, 0, MOST_HOPS))
        for name, value, least, most in (*bounds, ("neighbours", self.neighbours, 0, MOST_NEIGHBOURS)):
            if not least <= value <= most:
                raise ConfigError(f"search: {name} is {value}, it must be from {least} to {most}")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ConfigError(f"search: since {self.since} is after until {self.until}; no document can match")
        if wrong := [label for label in self.labels if not all(part.strip() for part in (label + ":").split(":")[:2])]:
            raise ConfigError(f"search: label filter {wrong[0]!r}: give SET:LABEL, such as threat:ransomware")
        if any(not name.strip() for name in self.entities):
            raise ConfigError("search: an entity filter is empty; give a name or an id such as group:G0007")


@dataclass(frozen=True, slots=True)
class PoolHit:
    """One chunk that a source found and the ledger confirmed. ``score`` compares inside its source only."""

    view: CollectionView
    document: VisibleDocument
    chunk_id: str
    score: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identity of the chunk in this answer: the ledger shows one publication of a document. Ties fall by it."""
        return (self.view.tenant, self.view.collection, self.document.path, self.chunk_id)


@dataclass(frozen=True, slots=True)
class Degraded:
    """What an answer lacks, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One cited chunk: ``quote`` is the text ``[start:end)`` of ``page``, which counts from 1, in code points.

    ``score`` orders hits of one answer; ``ranks`` is the place, from 1, in each source that found the chunk.
    ``near_duplicate_of`` is the ``place`` of an earlier hit whose passage this one repeats.
    """

    document_id: str
    tenant: str
    collection: str
    path: str
    version: str
    chunk_id: str
    page: int
    start: int
    end: int
    quote: str
    score: float
    title: str
    document_type: str | None
    date: str | None
    heading: str
    publication: int
    ranks: Mapping[str, int]
    near_duplicate_of: str | None = None

    @property
    def place(self) -> str:
        """``document_id/chunk_id``."""
        return f"{self.document_id}/{self.chunk_id}"

    def as_json(self) -> dict[str, Json]:
        """Every field, under its name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"ranks": dict(self.ranks)}


@dataclass(frozen=True, slots=True)
class RelatedEntity:
    """An entity near the hits. ``hops`` is 1 when hit documents mention it; ``documents`` are ids that connect it.

    ``weight`` counts all connecting documents, of which at most ten are named.
    """

    entity_id: str
    entity_type: str
    name: str
    tenant: str
    hops: int
    weight: int
    documents: tuple[str, ...]

    def as_json(self) -> dict[str, Json]:
        """Every field, under its name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"documents": list(self.documents)}


@dataclass(frozen=True, slots=True)
class FacetValue:
    """How many documents of the pool have a value. ``label`` is what people call it."""

    value: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts over the documents that any source found, most frequent first: not over the whole collection."""

    document_type: tuple[FacetValue, ...] = ()
    collection: tuple[FacetValue, ...] = ()
    year: tuple[FacetValue, ...] = ()
    labels: Mapping[str, tuple[FacetValue, ...]] = field(default_factory=dict)
    entities: Mapping[str, tuple[FacetValue, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """Lists of value, label and count; ``labels`` by set, ``entities`` by entity type."""
        return {
            "document_type": _plain(self.document_type),
            "collection": _plain(self.collection),
            "year": _plain(self.year),
            "labels": {kind: _plain(values) for kind, values in self.labels.items()},
            "entities": {kind: _plain(values) for kind, values in self.entities.items()},
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer, all of it at ledger ``sequence``. ``sources`` are those that answered."""

    query: str
    hits: tuple[Hit, ...]
    entities: tuple[RelatedEntity, ...]
    facets: Facets
    timings_ms: Mapping[str, float]
    sources: tuple[str, ...]
    degraded: tuple[Degraded, ...]
    sequence: int

    def as_json(self) -> dict[str, Json]:
        """``query, hits, entities, facets, timings_ms, sources, degraded``; hits best first, dates ISO."""
        return {
            "query": self.query,
            "hits": [hit.as_json() for hit in self.hits],
            "entities": [entity.as_json() for entity in self.entities],
            "facets": self.facets.as_json(),
            "timings_ms": dict(self.timings_ms),
            "sources": list(self.sources),
            "degraded": [{"source": one.source, "reason": one.reason} for one in self.degraded],
        }


def _plain(values: Sequence[FacetValue]) -> list[Json]:
    return [{"value": one.value, "label": one.label, "count": one.count} for one in values]

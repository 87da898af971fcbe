"""The knowledge graph: entities, documents, and the edges between them, each edge under a publication number.

Edges are of two sorts: a document mentions an entity, and a sentence of a document relates one entity to another.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from etl_assets.protocols.visibility import Visibility


@dataclass(frozen=True, slots=True)
class Entity:
    """A canonical thing, unique inside a tenant. ``entity_id`` is ``type:normal form``, e.g. ``group:G0007``."""

    entity_id: str
    entity_type: str
    name: str


@dataclass(frozen=True, slots=True)
class MentionEdge:
    """Document -> entity: how often it is mentioned, and where first (``page`` from 1, code points, end exclusive)."""

    tenant: str
    collection: str
    document_id: str
    publication: int
    entity: Entity
    count: int
    confidence: float
    chunk_id: str
    page: int
    start: int
    end: int


DOCUMENTS_PER_HOP = 2_000
"""How many documents one hop walks through, shared evenly among the entities it starts from, newest first.

An entity mentioned in 50,000 documents would otherwise make a two-hop walk take seconds; below the bound it is exact.
"""

DOCUMENTS_PER_ENTITY = 20
"""Every entity of a hop may be followed through at least this many of its newest visible documents."""

EDGES_PER_HOP = 100_000
"""A hop stops after the document that passes this number of edges."""

RELATION_KINDS = ("USES", "TARGETS", "EXPLOITS", "ATTRIBUTED_TO", "RELATES_TO")
"""Every kind that a relation may have: a store may keep each of them by itself."""


@dataclass(frozen=True, slots=True)
class RelationEdge:
    """Entity -> entity: what one sentence of one document states of the two.

    ``sentence`` stands at ``[start:end)`` of ``page`` (from 1, code points); ``negated`` and ``certainty`` are what it
    says of its own statement, ``confidence`` in (0, 1] is that of the reading. Two sentences that contradict one
    another are two edges. In one publication no two have the same kind, subject, object and place.
    """

    tenant: str
    collection: str
    document_id: str
    publication: int
    kind: str
    subject: Entity
    object: Entity
    page: int
    start: int
    end: int
    sentence: str
    negated: bool
    certainty: str
    confidence: float

    @property
    def edge_id(self) -> str:
        """What tells it from the other edges of its publication, readable: no entity's id looks like it."""
        place = f"page {self.page}, characters {self.start} to {self.end}"
        return f"relation {self.subject.entity_id} {self.kind} {self.object.entity_id}, {place}"


@dataclass(frozen=True, slots=True)
class StoredEdge:
    """One edge as the store holds it now; ``digest`` covers every field of the edge and its entities.

    ``edge_id`` is the entity that the document mentions, or that of the ``RelationEdge``.
    """

    publication: int
    document_id: str
    edge_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What one reader may walk: a tenant, and the visibility in each of its collections."""

    tenant: str
    visible: Mapping[str, Visibility]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entity reached by a walk. ``documents`` are (document_id, publication) whose edges connect it.

    ``hops`` counts edges of the entity-document-entity path divided by two, from 1; hop 0 is a start itself.
    ``weight`` is the number of connecting documents.
    """

    entity: Entity
    hops: int
    weight: int
    documents: tuple[tuple[str, int], ...]


class KnowledgeGraph(Protocol):
    """Every method may raise TransientError."""

    def write(self, edges: Sequence[MentionEdge], relations: Sequence[RelationEdge] = ()) -> None:
        """Add edges and their entities in one store transaction; a repeated write replaces itself."""
        ...

    def counts(self, tenant: str, collection: str, publications: Sequence[int]) -> Mapping[int, int]:
        """Edges of both sorts that a collection has under each of these numbers; one without edges is absent."""
        ...

    def remove(
        self, tenant: str, collection: str, publications: Sequence[int], *, documents: Collection[str] | None = None
    ) -> None:
        """Delete what a collection has under these numbers, then every entity of it that no edge refers to any more.

        ``documents``: only what is of these. What another collection or tenant has under the same numbers stays. One
        store transaction; idempotent.
        """
        ...

    def collections(self) -> Sequence[tuple[str, str]]:
        """(tenant, collection) of every collection that anything is held of, ascending."""
        ...

    def orphans(self, tenant: str) -> Sequence[str]:
        """Ids of entities that no edge refers to: none, unless something went wrong."""
        ...

    def sweep(self, tenant: str) -> int:
        """Delete the entities that ``orphans`` lists; how many. One that gains an edge meanwhile stays."""
        ...

    def edges(self, tenant: str, collection: str, *, publications: Sequence[int] | None = None) -> Iterator[StoredEdge]:
        """Every edge of both sorts that the store holds of a collection, visible or not; ``publications``: only of
        these. A document without an edge, which no write leaves, is told as an edge whose id is empty."""
        ...

    def entities_of(self, scope: Scope, publications: Sequence[int], *, limit: int) -> list[Neighbour]:
        """Entities that visible documents mention (hop 1), by number of these documents, then id."""
        ...

    def neighbours(self, scope: Scope, entity_ids: Sequence[str], *, hops: int, limit: int) -> list[Neighbour]:
        """Entities within ``hops`` of the given ones through shared documents; nearest, then heaviest, then id.

        The given entities themselves are left out. Only edges that ``scope`` admits are walked, on every hop.
        """
        ...

    def find(self, scope: Scope, name: str, *, limit: int) -> list[Entity]:
        """Entities with a visible mention whose id equals ``name`` or whose name does, case folded."""
        ...

    def mentioning(self, scope: Scope, entity_ids: Sequence[str], *, limit: int | None = None) -> list[tuple[str, int]]:
        """(collection, publication) of every visible document that mentions any of these entities, ascending.

        ``limit``: of each entity, only its newest so many.
        """
        ...

    def relations(
        self, scope: Scope, entity_ids: Sequence[str], *, among: Collection[str] | None = None,
        kinds: Collection[str] = (), each: int,
    ) -> list[RelationEdge]:  # fmt: skip
        """Visible relations with one of these entities at an end, and one of ``among`` at the other if it is given.

        Of each entity the newest ``each`` as subject and as many as object: by publication, newest first, then by
        document, page, place, kind, subject and object, which is the order of the answer too. ``kinds``: only of these.
        """
        ...


def relation_order(one: RelationEdge) -> tuple[int, str, int, int, int, str, str, str]:
    """The order in which relations are given: newest publication first, then by place and what is stated there."""
    return (
        -one.publication, one.document_id, one.page, one.start, one.end, one.kind, one.subject.entity_id,
        one.object.entity_id,
    )  # fmt: skip


def edge_digest(edge: MentionEdge) -> str:
    """Digest of one edge and its entity as stored: BLAKE2b-128 over every field as canonical JSON, in hex."""
    return _digest(
        [
            edge.tenant, edge.collection, edge.document_id, edge.publication, *_fields(edge.entity),
            edge.count, float(edge.confidence), edge.chunk_id, edge.page, edge.start, edge.end,
        ]
    )  # fmt: skip


def relation_digest(one: RelationEdge) -> str:
    """Digest of one relation and its entities as stored, as ``edge_digest``."""
    return _digest(
        [
            one.tenant, one.collection, one.document_id, one.publication, one.kind, *_fields(one.subject),
            *_fields(one.object), one.page, one.start, one.end, one.sentence, one.negated, one.certainty,
            float(one.confidence),
        ]
    )  # fmt: skip


def _fields(entity: Entity) -> tuple[str, str, str]:
    return entity.entity_id, entity.entity_type, entity.name


def _digest(fields: Sequence[str | int | float | bool]) -> str:
    import hashlib
    import json

    canonical = json.dumps(fields, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()

"""The knowledge graph: entities, documents, and the edges between them, each edge under a publication number."""

from collections.abc import Iterator, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class StoredEdge:
    """One edge as the store holds it now; ``digest`` covers every field of the edge and its entity."""

    publication: int
    document_id: str
    entity_id: str
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

    def write(self, edges: Sequence[MentionEdge]) -> None:
        """Add edges and their entities in one store transaction; a repeated write replaces itself."""
        ...

    def counts(self, publications: Sequence[int]) -> Mapping[int, int]:
        """Edges held of each publication, read back; a publication without edges is absent."""
        ...

    def remove(self, publications: Sequence[int]) -> None:
        """Delete the edges of these publications, then every entity of theirs that no edge refers to any more.

        One store transaction; idempotent.
        """
        ...

    def orphans(self, tenant: str) -> Sequence[str]:
        """Ids of entities that no edge refers to: none, unless something went wrong."""
        ...

    def sweep(self, tenant: str) -> int:
        """Delete the entities that ``orphans`` lists; how many. One that gains an edge meanwhile stays."""
        ...

    def edges(self, tenant: str, collection: str, *, publications: Sequence[int] | None = None) -> Iterator[StoredEdge]:
        """Every edge the store holds of a collection, visible or not; ``publications``: only of these."""
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

    def mentioning(self, scope: Scope, entity_ids: Sequence[str]) -> list[tuple[str, int]]:
        """(collection, publication) of every visible document that mentions any of these entities, ascending."""
        ...


def edge_digest(edge: MentionEdge) -> str:
    """Digest of one edge and its entity as stored: BLAKE2b-128 over every field as canonical JSON, in hex."""
    import hashlib
    import json

    fields = [
        edge.tenant, edge.collection, edge.document_id, edge.publication,
        edge.entity.entity_id, edge.entity.entity_type, edge.entity.name,
        edge.count, float(edge.confidence), edge.chunk_id, edge.page, edge.start, edge.end,
    ]  # fmt: skip
    canonical = json.dumps(fields, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()

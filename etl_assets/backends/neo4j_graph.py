"""The knowledge graph in Neo4j 5 or newer, Community Edition included.

``(:Document)-[:MENTIONS]->(:Entity)``: a document node is one publication of one document; what was mentioned, where
and under which name stands on the edge, so that two index generations may name one entity differently. Statements are
constants with parameters; what a walk means is said in ``protocols/graph.py``, its bounds in ``sqlite_graph.py``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar, cast

from etl_assets.backends.circuit import CircuitBreaker
from etl_assets.backends.neo4j_cypher import (
    COUNTS,
    DELETE_DOCUMENTS,
    DELETE_EDGES,
    DELETE_ENTITIES,
    DOCUMENT_ENTITIES,
    DOCUMENT_PAGE,
    ENTITY_DOCUMENTS,
    FOUND_BY_ID,
    FOUND_BY_NAME,
    LOCK_ENTITIES,
    MENTIONING,
    MERGE_DOCUMENTS,
    MERGE_EDGES,
    MERGE_ENTITIES,
    ORPHANS,
    PUBLISHED_DOCUMENTS,
    STORED_EDGES,
    VISIBLE_DOCUMENTS,
    document_key,
    document_row,
    edge_row,
    entity_row,
    folded_key,
    key_of,
    place_of,
    visible_parameters,
)
from etl_assets.backends.neo4j_driver import Neo4jAccess
from etl_assets.backends.neo4j_server import Neo4jServer, OvertakenError
from etl_assets.backends.ownership import Installation
from etl_assets.protocols.graph import Entity, MentionEdge, Neighbour, Scope, StoredEdge, edge_digest

if TYPE_CHECKING:
    from neo4j import ManagedTransaction, Record

Item = TypeVar("Item")

DOCUMENTS_PER_HOP = 2_000
"""How many documents one hop walks through, shared evenly among the entities it starts from, newest first."""

DOCUMENTS_PER_ENTITY = 20
"""Every entity of a hop may be followed through at least this many of its newest visible documents."""

EDGES_PER_HOP = 100_000
"""A hop stops after the document that passes this number of edges."""

ROWS_PER_STATEMENT = 5_000
"""Rows handed to one UNWIND; a transaction may hold several."""

DOCUMENTS_PER_READ = 200
"""Documents whose edges are read in one statement."""


@dataclass(frozen=True, slots=True)
class _Document:
    key: str
    publication: int
    document_id: str


@dataclass(slots=True)
class _Reached:
    """An entity met during one hop, and the documents that connect it."""

    entity: Entity
    stated_by: tuple[int, str, str, str]
    documents: set[tuple[str, int]]


class Neo4jGraph:
    """KnowledgeGraph on one Neo4j database; the first write makes constraints and indexes, as ``migrate`` does.

    A database that belongs to another ``installation`` is not written to; see ``Neo4jServer.write``.
    """

    def __init__(
        self, access: Neo4jAccess, breaker: CircuitBreaker | None = None, installation: Installation | None = None
    ) -> None:
        self._server = Neo4jServer(access, breaker, installation)

    def close(self) -> None:
        """Close the connections. The graph may be used again afterwards."""
        self._server.close()

    def migrate(self) -> None:
        """Make constraints and indexes, idempotently; see ``Neo4jServer.migrate``."""
        self._server.migrate()

    def version(self) -> str:
        """Product and version of the server; see ``Neo4jServer.version``."""
        return self._server.version()

    def write(self, edges: Sequence[MentionEdge]) -> None:
        """See ``KnowledgeGraph.write``: one transaction, durable on return."""
        if not edges:
            return
        # In order of their keys, so that two writers take locks in one order and seldom meet in a deadlock.
        entities = sorted({key_of(e.tenant, e.entity.entity_id): entity_row(e) for e in edges}.items())
        documents = sorted({document_key(e): document_row(e) for e in edges}.items())
        # Of an edge given twice, the later one stays.
        stated = {(document_key(e), key_of(e.tenant, e.entity.entity_id)): edge_row(e) for e in edges}

        def work(tx: "ManagedTransaction") -> None:
            for rows in _batches([row for _, row in entities]):
                tx.run(MERGE_ENTITIES, rows=rows).consume()
            for rows in _batches([row for _, row in documents]):
                tx.run(MERGE_DOCUMENTS, rows=rows).consume()
            for rows in _batches([stated[key] for key in sorted(stated)]):
                made = tx.run(MERGE_EDGES, rows=rows).single(strict=True)[0]
                if made != len(rows):
                    raise OvertakenError(f"{len(rows) - made} entities were removed by another transaction")

        self._server.write(work)

    def counts(self, publications: Sequence[int]) -> Mapping[int, int]:
        """See ``KnowledgeGraph.counts``."""

        def work(tx: "ManagedTransaction") -> dict[int, int]:
            found: dict[int, int] = {}
            for numbers in _batches(sorted(set(publications))):
                found.update((int(number), int(held)) for number, held in tx.run(COUNTS, publications=numbers))
            return found

        return self._server.read(work) if publications else {}

    def remove(self, publications: Sequence[int]) -> None:
        """See ``KnowledgeGraph.remove``. Nothing is detached: an entity that gains an edge meanwhile stays."""
        if not publications:
            return

        def work(tx: "ManagedTransaction") -> None:
            touched: set[str] = set()
            for numbers in _batches(sorted(set(publications))):
                touched.update(str(record[0]) for record in tx.run(LOCK_ENTITIES, publications=numbers))
                tx.run(DELETE_EDGES, publications=numbers).consume()
                tx.run(DELETE_DOCUMENTS, publications=numbers).consume()
            for keys in _batches(sorted(touched)):
                tx.run(DELETE_ENTITIES, keys=keys).consume()

        self._server.write(work)

    def orphans(self, tenant: str) -> Sequence[str]:
        """See ``KnowledgeGraph.orphans``; ascending."""
        return self._server.read(lambda tx: sorted(str(record[0]) for record in tx.run(ORPHANS, tenant=tenant)))

    def sweep(self, tenant: str) -> int:
        """See ``KnowledgeGraph.sweep``."""
        keys = [key_of(tenant, entity_id) for entity_id in self.orphans(tenant)]

        def work(tx: "ManagedTransaction") -> int:
            gone = (tx.run(DELETE_ENTITIES, keys=part).consume().counters.nodes_deleted for part in _batches(keys))
            return sum(gone)

        return self._server.write(work) if keys else 0

    def edges(self, tenant: str, collection: str, *, publications: Sequence[int] | None = None) -> Iterator[StoredEdge]:
        """See ``KnowledgeGraph.edges``; page by page, each a transaction, so memory does not grow with the graph.

        An edge that is there throughout is given once; one written or removed meanwhile may be given or not.
        """
        for keys in self._document_pages(place_of(tenant, collection), publications):

            def work(tx: "ManagedTransaction", keys: Sequence[str] = keys) -> "list[Record]":
                return [*tx.run(STORED_EDGES, keys=keys)]

            for record in self._server.read(work):
                publication, document, entity_id, entity_type, name, *rest = record.values()
                edge = MentionEdge(
                    tenant, collection, document, publication, Entity(entity_id, entity_type, name), *rest
                )
                yield StoredEdge(publication, document, entity_id, edge_digest(edge))

    def _document_pages(self, place: str, publications: Sequence[int] | None) -> Iterator[list[str]]:
        if publications is not None:
            for numbers in _batches(sorted(set(publications)), DOCUMENTS_PER_READ):
                if keys := self._keys(PUBLISHED_DOCUMENTS, place=place, publications=numbers):
                    yield keys
            return
        after = ""
        while keys := self._keys(DOCUMENT_PAGE, place=place, after=after, limit=DOCUMENTS_PER_READ):
            yield keys
            after = keys[-1]

    def _keys(self, statement: str, **parameters: object) -> list[str]:
        return self._server.read(lambda tx: [str(record[0]) for record in tx.run(statement, parameters)])

    def entities_of(self, scope: Scope, publications: Sequence[int], *, limit: int) -> list[Neighbour]:
        """See ``KnowledgeGraph.entities_of``."""
        if not publications:
            return []
        visible = visible_parameters(scope)

        def work(tx: "ManagedTransaction") -> list[Neighbour]:
            records = tx.run(VISIBLE_DOCUMENTS, visible, publications=sorted(set(publications)))
            found = _newest_first(_Document(*record.values()) for record in records)
            return _ranked(_entities_in(tx, visible, found).values(), hop=1)

        return self._server.read(work)[: max(limit, 0)]

    def neighbours(self, scope: Scope, entity_ids: Sequence[str], *, hops: int, limit: int) -> list[Neighbour]:
        """See ``KnowledgeGraph.neighbours``. Bounded by DOCUMENTS_PER_HOP and EDGES_PER_HOP, newest documents first."""
        starts = sorted({key_of(scope.tenant, entity_id) for entity_id in entity_ids})
        if not starts or hops < 1 or limit < 1:
            return []
        return self._server.read(lambda tx: _walked(tx, visible_parameters(scope), starts, hops, limit))[:limit]

    def find(self, scope: Scope, name: str, *, limit: int) -> list[Entity]:
        """See ``KnowledgeGraph.find``; by id. Each entity bears the name its newest visible document gives it."""
        visible = {**visible_parameters(scope), "folded": folded_key(scope.tenant, name)}

        def work(tx: "ManagedTransaction") -> list[tuple[str, str, str, int]]:
            rows = (record.values() for text in (FOUND_BY_ID, FOUND_BY_NAME) for record in tx.run(text, visible))
            return [(str(found), str(kind), str(stated), int(newest)) for found, kind, stated, newest in rows]

        best: dict[str, tuple[int, str, str]] = {}
        for entity_id, entity_type, stated, newest in self._server.read(work):
            best[entity_id] = max(best.get(entity_id, (-1, "", "")), (newest, entity_type, stated))
        found = [Entity(entity_id, *best[entity_id][1:]) for entity_id in sorted(best)]
        return found[: max(limit, 0)]

    def mentioning(self, scope: Scope, entity_ids: Sequence[str]) -> list[tuple[str, int]]:
        """See ``KnowledgeGraph.mentioning``. Never cut short."""
        visible = visible_parameters(scope)

        def work(tx: "ManagedTransaction") -> set[tuple[str, int]]:
            found: set[tuple[str, int]] = set()
            for keys in _batches(sorted({key_of(scope.tenant, entity_id) for entity_id in entity_ids})):
                found.update((str(place), int(number)) for place, number in tx.run(MENTIONING, visible, keys=keys))
            return found

        return sorted(self._server.read(work)) if entity_ids else []


def _batches(items: Sequence[Item], size: int = ROWS_PER_STATEMENT) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield [*items[start : start + size]]


def _newest_first(documents: Iterable[_Document]) -> list[_Document]:
    unique = {document.key: document for document in documents}
    return sorted(unique.values(), key=lambda document: (-document.publication, document.document_id, document.key))


def _walked(
    tx: "ManagedTransaction", visible: Mapping[str, object], starts: Sequence[str], hops: int, limit: int
) -> list[Neighbour]:
    found: list[Neighbour] = []
    frontier, seen = list(starts), set(starts)
    for hop in range(1, hops + 1):
        # Nearer entities come first, so once the limit is reached no further hop can add a row.
        if not frontier or len(found) >= limit:
            break
        share = max(DOCUMENTS_PER_HOP // len(frontier), DOCUMENTS_PER_ENTITY)
        documents: list[_Document] = []
        for keys in _batches(frontier):
            records = tx.run(ENTITY_DOCUMENTS, dict(visible), keys=keys, share=share)
            documents += [_Document(*record.values()) for record in records]
        reached = _entities_in(tx, visible, _newest_first(documents))
        fresh = {key: entity for key, entity in reached.items() if key not in seen}
        found += _ranked(fresh.values(), hop=hop)
        frontier = sorted(fresh)
        seen.update(fresh)
    return found


def _entities_in(
    tx: "ManagedTransaction", visible: Mapping[str, object], documents: Sequence[_Document]
) -> dict[str, _Reached]:
    reached: dict[str, _Reached] = {}
    budget = EDGES_PER_HOP
    for batch in _batches(documents, DOCUMENTS_PER_READ):
        rows = [
            cast("tuple[str, str, str, str, str]", tuple(record.values()))
            for record in tx.run(DOCUMENT_ENTITIES, dict(visible), keys=[document.key for document in batch])
        ]
        rows.sort(key=lambda row: row[0])
        by_document = {key: [*group] for key, group in groupby(rows, key=lambda row: row[0])}
        for document in batch:
            edges = by_document.get(document.key, [])
            for _, key, entity_id, entity_type, name in edges:
                _meet(reached, key, Entity(entity_id, entity_type, name), document)
            budget -= len(edges)
            if budget <= 0:
                return reached
    return reached


def _meet(reached: dict[str, _Reached], key: str, entity: Entity, document: _Document) -> None:
    stated_by = (document.publication, document.document_id, entity.entity_type, entity.name)
    met = reached.get(key)
    if met is None:
        met = reached[key] = _Reached(entity, stated_by, set())
    elif stated_by > met.stated_by:
        met.entity, met.stated_by = entity, stated_by
    met.documents.add((document.document_id, document.publication))


def _ranked(reached: Iterable[_Reached], *, hop: int) -> list[Neighbour]:
    found = [Neighbour(r.entity, hop, len(r.documents), tuple(sorted(r.documents))) for r in reached]
    return sorted(found, key=lambda neighbour: (-neighbour.weight, neighbour.entity.entity_id))

"""The knowledge graph in Neo4j 5 or newer, Community Edition included.

``(:Document)-[:MENTIONS]->(:Entity)``: a document node is one publication of one document; what was mentioned, where
and under which name stands on the edge, so that two index generations may name one entity differently. What sentences
state of two entities is in ``neo4j_relations.py``. Statements are constants with parameters; what a walk means is said
in ``protocols/graph.py``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from etl_assets.backends import neo4j_relations as relating
from etl_assets.backends.circuit import CircuitBreaker
from etl_assets.backends.graph_hops import HopDocument, newest_first, ranked
from etl_assets.backends.neo4j_cypher import (
    BARE_DOCUMENTS,
    COUNTS,
    DELETE_DOCUMENTS,
    DELETE_EDGES,
    DELETE_ENTITIES,
    DOCUMENT_PAGE,
    FOUND_BY_ID,
    FOUND_BY_NAME,
    LOCK_ENTITIES,
    MENTIONED,
    MENTIONING,
    MERGE_DOCUMENTS,
    MERGE_EDGES,
    MERGE_ENTITIES,
    NEXT_PLACE,
    ORPHANS,
    PUBLISHED_DOCUMENTS,
    STORED_EDGES,
    VISIBLE_DOCUMENTS,
    collection_at,
    document_key,
    document_row,
    edge_row,
    entity_row,
    folded_key,
    found_by,
    key_of,
    place_of,
    visible_parameters,
)
from etl_assets.backends.neo4j_driver import Neo4jAccess
from etl_assets.backends.neo4j_server import Neo4jServer, OvertakenError
from etl_assets.backends.neo4j_walks import DOCUMENTS_PER_READ, ROWS_PER_STATEMENT, entities_in, walked
from etl_assets.backends.ownership import Installation
from etl_assets.ledger.outputs import batches
from etl_assets.protocols.graph import (
    RELATION_KINDS,
    Entity,
    MentionEdge,
    Neighbour,
    RelationEdge,
    Scope,
    StoredEdge,
    edge_digest,
    relation_order,
)

if TYPE_CHECKING:
    from neo4j import ManagedTransaction, Record

Item = TypeVar("Item")


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

    def write(self, edges: Sequence[MentionEdge], relations: Sequence[RelationEdge] = ()) -> None:
        """See ``KnowledgeGraph.write``: one transaction, durable on return."""
        if not edges and not relations:
            return
        named = {(e.tenant, e.entity.entity_id) for e in edges}
        named |= {(one.tenant, entity.entity_id) for one in relations for entity in (one.subject, one.object)}
        # In order of their keys, so that two writers take locks in one order and seldom meet in a deadlock.
        entities = sorted((key_of(*pair), entity_row(*pair)) for pair in named)
        every: list[MentionEdge | RelationEdge] = [*edges, *relations]
        documents = sorted({document_key(e): document_row(e) for e in every}.items())
        # Of an edge given twice, the later one stays.
        stated = {(document_key(e), key_of(e.tenant, e.entity.entity_id)): edge_row(e) for e in edges}

        def work(tx: "ManagedTransaction") -> None:
            for rows in _parts([row for _, row in entities]):
                tx.run(MERGE_ENTITIES, rows=rows).consume()
            for rows in _parts([row for _, row in documents]):
                tx.run(MERGE_DOCUMENTS, rows=rows).consume()
            for rows in _parts([stated[key] for key in sorted(stated)]):
                made = tx.run(MERGE_EDGES, rows=rows).single(strict=True)[0]
                if made != len(rows):
                    raise OvertakenError(f"{len(rows) - made} entities were removed by another transaction")
            if missing := relating.write_relations(tx, relations, ROWS_PER_STATEMENT):
                raise OvertakenError(f"entities of {missing} relations were removed by another transaction")

        self._server.write(work)

    def counts(self, tenant: str, collection: str, publications: Sequence[int]) -> Mapping[int, int]:
        """See ``KnowledgeGraph.counts``."""
        place = place_of(tenant, collection)

        def work(tx: "ManagedTransaction") -> dict[int, int]:
            found: dict[int, int] = {}
            for numbers in _parts(sorted(set(publications))):
                for statement in (COUNTS, relating.COUNTS):
                    for number, held in tx.run(statement, publications=numbers, place=place):
                        found[int(number)] = found.get(int(number), 0) + int(held)
            return found

        return self._server.read(work) if publications else {}

    def remove(
        self, tenant: str, collection: str, publications: Sequence[int], *, documents: Collection[str] | None = None
    ) -> None:
        """See ``KnowledgeGraph.remove``. Nothing is detached: an entity that gains an edge meanwhile stays."""
        if not publications:
            return
        place = place_of(tenant, collection)
        gone: dict[str, object] = {"place": place, "documents": None if documents is None else sorted(documents)}

        def work(tx: "ManagedTransaction") -> None:
            touched: set[str] = set()
            for numbers in _parts(sorted(set(publications))):
                for statement in (MENTIONED, relating.ENDS):
                    touched.update(str(record[0]) for record in tx.run(statement, gone, publications=numbers))
            for keys in _parts(sorted(touched)):
                tx.run(LOCK_ENTITIES, keys=keys).consume()
            for numbers in _parts(sorted(set(publications))):
                for statement in (DELETE_EDGES, *relating.DELETE.values(), DELETE_DOCUMENTS):
                    tx.run(statement, gone, publications=numbers).consume()
            for keys in _parts(sorted(touched)):
                tx.run(DELETE_ENTITIES, keys=keys).consume()

        self._server.write(work)

    def collections(self) -> Sequence[tuple[str, str]]:
        """See ``KnowledgeGraph.collections``; a step of an index for each."""
        found: set[str] = set()
        for statement in (NEXT_PLACE, relating.NEXT_PLACE):
            after = ""
            while records := self._records(statement, after=after):
                after = str(records[0][0])
                found.add(after)
        return sorted(collection_at(place) for place in found)

    def orphans(self, tenant: str) -> Sequence[str]:
        """See ``KnowledgeGraph.orphans``; ascending."""
        return self._server.read(lambda tx: sorted(str(record[0]) for record in tx.run(ORPHANS, tenant=tenant)))

    def sweep(self, tenant: str) -> int:
        """See ``KnowledgeGraph.sweep``."""
        keys = [key_of(tenant, entity_id) for entity_id in self.orphans(tenant)]

        def work(tx: "ManagedTransaction") -> int:
            gone = (tx.run(DELETE_ENTITIES, keys=part).consume().counters.nodes_deleted for part in _parts(keys))
            return sum(gone)

        return self._server.write(work) if keys else 0

    def edges(self, tenant: str, collection: str, *, publications: Sequence[int] | None = None) -> Iterator[StoredEdge]:
        """See ``KnowledgeGraph.edges``; page by page, each a transaction, so memory does not grow with the graph.

        An edge that is there throughout is given once; one written or removed meanwhile may be given or not.
        """
        bare: set[tuple[int, str]] = set()
        for keys in self._document_pages(place_of(tenant, collection), publications):

            def work(tx: "ManagedTransaction", keys: Sequence[str] = keys) -> "list[Record]":
                return [*tx.run(STORED_EDGES, keys=keys)]

            for record in self._server.read(work):
                publication, document, entity_id, entity_type, name, found, *rest = record.values()
                edge = MentionEdge(
                    tenant, collection, document, publication, Entity(entity_id, entity_type, name), *rest
                )
                digest = edge_digest(edge) if found == found_by(edge) else f"found by {found}"
                yield StoredEdge(publication, document, entity_id, digest)
            bare.update((int(record[0]), str(record[1])) for record in self._records(BARE_DOCUMENTS, keys=keys))
        for told in self._stored_relations(place_of(tenant, collection), publications):
            one = relating.stored_relation(tenant, collection, *told)
            bare.discard((one.publication, one.document_id))
            yield one
        yield from (StoredEdge(*one, "", "no edge") for one in sorted(bare))

    def _stored_relations(self, place: str, publications: Sequence[int] | None) -> "Iterator[list[Any]]":
        if publications is not None:
            for numbers in batches(sorted(set(publications)), DOCUMENTS_PER_READ):
                for record in self._records(relating.PUBLISHED, place=place, publications=numbers):
                    yield record.values()[1:]
            return
        for kind in RELATION_KINDS:
            after = ""
            while records := self._records(relating.PAGE[kind], place=place, after=after, limit=ROWS_PER_STATEMENT):
                yield from (record.values()[1:] for record in records)
                after = str(records[-1][0])

    def _records(self, statement: str, **parameters: object) -> "list[Record]":
        return self._server.read(lambda tx: [*tx.run(statement, parameters)])

    def _document_pages(self, place: str, publications: Sequence[int] | None) -> Iterator[list[str]]:
        if publications is not None:
            for numbers in batches(sorted(set(publications)), DOCUMENTS_PER_READ):
                if keys := self._keys(PUBLISHED_DOCUMENTS, place=place, publications=numbers):
                    yield keys
            return
        after = ""
        while keys := self._keys(DOCUMENT_PAGE, place=place, after=after, limit=DOCUMENTS_PER_READ):
            yield keys
            after = keys[-1]

    def _keys(self, statement: str, **parameters: object) -> list[str]:
        return [str(record[0]) for record in self._records(statement, **parameters)]

    def entities_of(self, scope: Scope, publications: Sequence[int], *, limit: int) -> list[Neighbour]:
        """See ``KnowledgeGraph.entities_of``."""
        if not publications:
            return []
        visible = visible_parameters(scope)

        def work(tx: "ManagedTransaction") -> list[Neighbour]:
            records = tx.run(VISIBLE_DOCUMENTS, visible, publications=sorted(set(publications)))
            found = newest_first(HopDocument(*record.values()) for record in records)
            return ranked(entities_in(tx, visible, found).values(), hop=1)

        return self._server.read(work)[: max(limit, 0)]

    def neighbours(self, scope: Scope, entity_ids: Sequence[str], *, hops: int, limit: int) -> list[Neighbour]:
        """See ``KnowledgeGraph.neighbours``. Bounded by DOCUMENTS_PER_HOP and EDGES_PER_HOP, newest documents first."""
        starts = sorted({key_of(scope.tenant, entity_id) for entity_id in entity_ids})
        if not starts or hops < 1 or limit < 1:
            return []
        self._server.bring_up_to_date()
        return self._server.read(lambda tx: walked(tx, visible_parameters(scope), starts, hops, limit))[:limit]

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

    def mentioning(self, scope: Scope, entity_ids: Sequence[str], *, limit: int | None = None) -> list[tuple[str, int]]:
        """See ``KnowledgeGraph.mentioning``. Not cut short but by ``limit``."""
        visible = visible_parameters(scope) | {"limit": 2**53 if limit is None else limit}

        def work(tx: "ManagedTransaction") -> set[tuple[str, int]]:
            found: set[tuple[str, int]] = set()
            for keys in _parts(sorted({key_of(scope.tenant, entity_id) for entity_id in entity_ids})):
                found.update((str(place), int(number)) for place, number in tx.run(MENTIONING, visible, keys=keys))
            return found

        if not entity_ids:
            return []
        self._server.bring_up_to_date()
        return sorted(self._server.read(work))

    def relations(
        self, scope: Scope, entity_ids: Sequence[str], *, among: Collection[str] | None = None,
        kinds: Collection[str] = (), each: int,
    ) -> list[RelationEdge]:  # fmt: skip
        """See ``KnowledgeGraph.relations``."""
        visible, others = visible_parameters(scope), relating.keys_among(scope, among)

        def work(tx: "ManagedTransaction") -> set[RelationEdge]:
            found: set[RelationEdge] = set()
            for keys in _parts(sorted({key_of(scope.tenant, entity_id) for entity_id in entity_ids})):
                found.update(relating.relations_of(tx, visible, keys, among=others, kinds=kinds, each=each))
            return found

        if not entity_ids or each < 1:
            return []
        self._server.bring_up_to_date()
        return sorted(self._server.read(work), key=relation_order)


def _parts(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    """As many at a time as one statement is given."""
    return batches(items, ROWS_PER_STATEMENT)

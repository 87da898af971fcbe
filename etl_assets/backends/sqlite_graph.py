"""The knowledge graph in one SQLite file (WAL), for any number of processes and threads. No server.

Tables, bound parameters and short transactions only; what a walk means is said in ``protocols/graph.py``.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from json import dumps
from pathlib import Path

from etl_assets.backends.graph_hops import HopDocument, Reached, meet, newest_first, ranked
from etl_assets.backends.sqlite_graph_file import GraphFile
from etl_assets.backends.sqlite_graph_keys import (
    document_keys,
    document_of,
    entity_keys,
    keys_of,
    label_keys,
    label_of,
    strays_of,
    sweep,
    sweep_strays,
)
from etl_assets.backends.sqlite_relations import (
    READ_ROWS,
    ends_of,
    insert_relations,
    relations_of,
    stored_relations,
)
from etl_assets.protocols.graph import (
    DOCUMENTS_PER_ENTITY,
    DOCUMENTS_PER_HOP,
    EDGES_PER_HOP,
    Entity,
    MentionEdge,
    Neighbour,
    RelationEdge,
    Scope,
    StoredEdge,
    edge_digest,
    relation_order,
)

_ENTITY_DOCUMENTS = """
SELECT d.document_key, d.publication, d.document_id, d.collection FROM edges e
JOIN documents d ON d.document_key = e.document_key
WHERE e.entity_key = ? AND d.tenant = ? AND admits(d.collection, e.publication)
ORDER BY e.publication DESC, e.document_key DESC
"""
_DOCUMENT_ENTITIES = """
SELECT e.entity_key, n.entity_id, l.entity_type, l.name FROM edges e
JOIN entities n ON n.entity_key = e.entity_key JOIN labels l ON l.label_key = e.label_key
WHERE e.document_key = ?
"""
_FOUND = """
SELECT n.entity_key, n.entity_id, l.label_key, l.entity_type, l.name
FROM entities n JOIN labels l ON l.entity_key = n.entity_key
WHERE n.tenant = :tenant AND n.folded = :folded
UNION
SELECT n.entity_key, n.entity_id, l.label_key, l.entity_type, l.name
FROM labels l JOIN entities n ON n.entity_key = l.entity_key
WHERE n.tenant = :tenant AND l.folded = :folded
ORDER BY 2, 1
"""
_NEWEST_STATEMENT = """
SELECT e.publication FROM edges e JOIN documents d ON d.document_key = e.document_key
WHERE e.entity_key = ? AND e.label_key = ? AND d.tenant = ? AND admits(d.collection, e.publication)
ORDER BY e.publication DESC LIMIT 1
"""
_STORED_EDGES = """
SELECT d.publication, d.document_id, n.entity_id, l.entity_type, l.name,
       e.publication, n.tenant, n.folded, l.folded, e.count, e.confidence, e.chunk_id, e.page, e.start, e."end"
FROM documents d JOIN edges e ON e.document_key = d.document_key
JOIN entities n ON n.entity_key = e.entity_key JOIN labels l ON l.label_key = e.label_key
WHERE d.tenant = ? AND d.collection = ?
"""


_COUNTS = """
SELECT d.publication, count(*) FROM json_each(?) x
JOIN documents d ON d.publication = x.value JOIN {table} e ON e.document_key = d.document_key
WHERE d.tenant = ? AND d.collection = ? GROUP BY d.publication
"""
_NUMBERED_DOCUMENTS = """
SELECT d.document_key, d.document_id FROM json_each(?) x JOIN documents d ON d.publication = x.value
WHERE d.tenant = ? AND d.collection = ?
"""
_OF_KEYS = " WHERE document_key IN (SELECT value FROM json_each(?))"
_BARE_DOCUMENTS = """
SELECT d.publication, d.document_id FROM documents d WHERE d.tenant = ? AND d.collection = ?
AND NOT EXISTS (SELECT 1 FROM edges e WHERE e.document_key = d.document_key)
AND NOT EXISTS (SELECT 1 FROM relations r WHERE r.document_key = d.document_key)
"""


class SqliteGraph:
    """KnowledgeGraph in the file ``path``, made by the first write; a file that is not there yet is an empty graph.

    Connections are pooled, so an instance may be shared by threads; a forked child opens its own.
    """

    def __init__(self, path: Path) -> None:
        self._file = GraphFile(path)

    def close(self) -> None:
        """Close the idle connections. The graph may be used again afterwards."""
        self._file.close()

    def write(self, edges: Sequence[MentionEdge], relations: Sequence[RelationEdge] = ()) -> None:
        """See ``KnowledgeGraph.write``: durable on return."""
        if not edges and not relations:
            return
        named = [(edge.tenant, edge.entity) for edge in edges]
        named += [(one.tenant, entity) for one in relations for entity in (one.subject, one.object)]
        with self._file.writing() as db:
            known = db.execute("SELECT coalesce(max(document_key), 0) FROM documents").fetchone()[0]
            entities = entity_keys(db, named)
            labels = label_keys(db, named, entities)
            documents = document_keys(db, [*map(document_of, edges), *map(document_of, relations)])
            rows = [
                (
                    documents[document_of(edge)], entities[edge.tenant, edge.entity.entity_id], edge.publication,
                    labels[label_of(edge.tenant, edge.entity, entities)], edge.count, float(edge.confidence),
                    edge.chunk_id, edge.page, edge.start, edge.end,
                )
                for edge in edges
            ]  # fmt: skip
            db.executemany("INSERT OR REPLACE INTO edges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            insert_relations(db, relations, documents, entities, labels)
            # Only a repeated write can leave a name behind that no edge states any more.
            if any(key <= known for key in documents.values()):
                sweep(db, set(entities.values()))

    def counts(self, tenant: str, collection: str, publications: Sequence[int]) -> Mapping[int, int]:
        """See ``KnowledgeGraph.counts``."""
        held: dict[int, int] = {}
        with self._file.reading() as db:
            if db is not None:
                for table in ("edges", "relations"):
                    statement = _COUNTS.format(table=table)
                    for number, count in db.execute(statement, (_numbers(publications), tenant, collection)):
                        held[number] = held.get(number, 0) + count
        return held

    def remove(
        self, tenant: str, collection: str, publications: Sequence[int], *, documents: Collection[str] | None = None
    ) -> None:
        """See ``KnowledgeGraph.remove``."""
        if not publications or not self._file.exists():
            return
        with self._file.writing() as db:
            found = db.execute(_NUMBERED_DOCUMENTS, (_numbers(publications), tenant, collection))
            gone = (_numbers(key for key, document in found if documents is None or document in documents),)
            touched = {row[0] for row in db.execute("SELECT DISTINCT entity_key FROM edges" + _OF_KEYS, gone)}
            touched |= ends_of(db, _OF_KEYS, *gone)
            for table in ("edges", "relations", "documents"):
                db.execute(f"DELETE FROM {table}" + _OF_KEYS, gone)
            sweep(db, touched)

    def collections(self) -> Sequence[tuple[str, str]]:
        """See ``KnowledgeGraph.collections``."""
        with self._file.reading() as db:
            found = db.execute("SELECT DISTINCT tenant, collection FROM documents ORDER BY 1, 2") if db else ()
            return [(tenant, collection) for tenant, collection in found]

    def orphans(self, tenant: str) -> Sequence[str]:
        """See ``KnowledgeGraph.orphans``; ascending. Those too that an edge refers to whose document's row is gone."""
        with self._file.reading() as db:
            return strays_of(db, tenant) if db else []

    def sweep(self, tenant: str) -> int:
        """See ``KnowledgeGraph.sweep``; edges without a document go too."""
        if not self._file.exists():
            return 0
        count = "SELECT count(*) FROM entities WHERE tenant = ?"
        with self._file.writing() as db:
            before = db.execute(count, (tenant,)).fetchone()[0]
            sweep_strays(db, tenant)
            return int(before - db.execute(count, (tenant,)).fetchone()[0])

    def discard(self) -> None:
        """See ``Discardable.discard``."""
        self._file.remove()

    def erase(self) -> None:
        """See ``ErasableGraph.erase``. Edges without a document go too: what they quote may be what is erased."""
        with self._file.reading() as db:
            tenants = db.execute("SELECT DISTINCT tenant FROM entities").fetchall() if db else []
        for (tenant,) in tenants:
            self.sweep(tenant)
        self._file.erase()

    def edges(self, tenant: str, collection: str, *, publications: Sequence[int] | None = None) -> Iterator[StoredEdge]:
        """See ``KnowledgeGraph.edges``; one snapshot, read in batches, so memory does not grow with the graph."""
        with self._file.reading() as db:
            if db is None:
                return
            statement = _STORED_EDGES
            bound: tuple[str, ...] = (tenant, collection)
            numbers = None if publications is None else _numbers(publications)
            if numbers is not None:
                statement += "AND d.publication IN (SELECT value FROM json_each(?))"
                bound = (*bound, numbers)
            cursor = db.execute(statement, bound)
            while rows := cursor.fetchmany(READ_ROWS):
                for publication, document, entity_id, entity_type, name, number, owner, *rest in rows:
                    entity = Entity(entity_id, entity_type, name)
                    edge = MentionEdge(tenant, collection, document, publication, entity, *rest[2:])
                    # Walks and look-ups go by copies, which an edge itself does not have.
                    found_by = (number, owner, *rest[:2])
                    is_found = found_by == (publication, tenant, entity_id.casefold(), name.casefold())
                    digest = edge_digest(edge) if is_found else f"found by {found_by}"
                    yield StoredEdge(publication, document, entity_id, digest)
            yield from stored_relations(db, tenant, collection, numbers)
            yield from _bare_documents(db, tenant, collection, numbers)

    def entities_of(self, scope: Scope, publications: Sequence[int], *, limit: int) -> list[Neighbour]:
        """See ``KnowledgeGraph.entities_of``."""
        statement = """
            SELECT DISTINCT d.document_key, d.publication, d.document_id FROM json_each(?) x
            JOIN documents d ON d.publication = x.value
            WHERE d.tenant = ? AND admits(d.collection, d.publication)
            ORDER BY d.publication DESC, d.document_key DESC
        """
        with self._file.reading(scope) as db:
            if db is None:
                return []
            found = [HopDocument(*row) for row in db.execute(statement, (_numbers(publications), scope.tenant))]
            return ranked(_entities_in(db, found).values(), hop=1)[: max(limit, 0)]

    def neighbours(self, scope: Scope, entity_ids: Sequence[str], *, hops: int, limit: int) -> list[Neighbour]:
        """See ``KnowledgeGraph.neighbours``. Bounded by DOCUMENTS_PER_HOP and EDGES_PER_HOP, newest documents first."""
        found: list[Neighbour] = []
        with self._file.reading(scope) as db:
            if db is None:
                return []
            frontier = keys_of(db, scope.tenant, entity_ids)
            seen = set(frontier)
            for hop in range(1, hops + 1):
                # Nearer entities come first, so once the limit is reached no further hop can add a row.
                if not frontier or len(found) >= limit:
                    break
                reached = _entities_in(db, _documents_of(db, scope, frontier))
                fresh = {key: entity for key, entity in reached.items() if key not in seen}
                found += ranked(fresh.values(), hop=hop)
                frontier = sorted(fresh)
                seen.update(fresh)
        return found[: max(limit, 0)]

    def find(self, scope: Scope, name: str, *, limit: int) -> list[Entity]:
        """See ``KnowledgeGraph.find``; by id. Each entity bears the name its newest visible document gives it."""
        newest: dict[str, tuple[tuple[int, str, str], Entity]] = {}
        with self._file.reading(scope) as db:
            if db is None:
                return []
            wanted = {"tenant": scope.tenant, "folded": name.casefold()}
            for key, entity_id, label, entity_type, stated in db.execute(_FOUND, wanted).fetchall():
                row = db.execute(_NEWEST_STATEMENT, (key, label, scope.tenant)).fetchone()
                if row is None:
                    continue
                rank = (int(row[0]), entity_type, stated)
                if entity_id not in newest or rank > newest[entity_id][0]:
                    newest[entity_id] = (rank, Entity(entity_id, entity_type, stated))
        return [newest[entity_id][1] for entity_id in sorted(newest)][: max(limit, 0)]

    def mentioning(self, scope: Scope, entity_ids: Sequence[str], *, limit: int | None = None) -> list[tuple[str, int]]:
        """See ``KnowledgeGraph.mentioning``. Not cut short but by ``limit``."""
        found: set[tuple[str, int]] = set()
        with self._file.reading(scope) as db:
            if db is not None:
                for key in keys_of(db, scope.tenant, entity_ids):
                    rows = db.execute(
                        _ENTITY_DOCUMENTS + "LIMIT ?", (key, scope.tenant, -1 if limit is None else limit)
                    )
                    found.update((collection, publication) for _, publication, _, collection in rows)
        return sorted(found)

    def relations(
        self, scope: Scope, entity_ids: Sequence[str], *, among: Collection[str] | None = None,
        kinds: Collection[str] = (), each: int,
    ) -> list[RelationEdge]:  # fmt: skip
        """See ``KnowledgeGraph.relations``."""
        found: set[RelationEdge] = set()
        with self._file.reading(scope) as db:
            if db is not None:
                others = None if among is None else keys_of(db, scope.tenant, sorted(among))
                for key in keys_of(db, scope.tenant, entity_ids):
                    found.update(relations_of(db, scope, key, among=others, kinds=kinds, each=max(each, 0)))
        return sorted(found, key=relation_order)


def _numbers(publications: Iterable[int]) -> str:
    return dumps(sorted({int(number) for number in publications}))


def _bare_documents(db: sqlite3.Connection, tenant: str, collection: str, numbers: str | None) -> Iterator[StoredEdge]:
    """Documents that nothing is said of: rows that no write leaves behind."""
    statement, bound = _BARE_DOCUMENTS, (tenant, collection)
    if numbers is not None:
        statement += "AND d.publication IN (SELECT value FROM json_each(?))"
        bound = (*bound, numbers)  # type: ignore[assignment]  # one more of the same
    for publication, document in db.execute(statement, bound).fetchall():
        yield StoredEdge(publication, document, "", "no edge")


def _documents_of(db: sqlite3.Connection, scope: Scope, entity_keys: Sequence[int]) -> list[HopDocument[int]]:
    """The newest visible documents of each entity, within the hop's share, newest first."""
    share = max(DOCUMENTS_PER_HOP // len(entity_keys), DOCUMENTS_PER_ENTITY)
    found: list[HopDocument[int]] = []
    for entity_key in entity_keys:
        rows = db.execute(_ENTITY_DOCUMENTS + "LIMIT ?", (entity_key, scope.tenant, share))
        found += [HopDocument(*row[:3]) for row in rows]
    return newest_first(found)


def _entities_in(db: sqlite3.Connection, documents: Sequence[HopDocument[int]]) -> dict[int, Reached]:
    reached: dict[int, Reached] = {}
    budget = EDGES_PER_HOP
    for document in documents:
        rows = db.execute(_DOCUMENT_ENTITIES, (document.key,)).fetchall()
        for key, *entity in rows:
            meet(reached, key, Entity(*entity), document)
        budget -= len(rows)
        if budget <= 0:
            break
    return reached

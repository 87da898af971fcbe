"""Relations between entities in the SQLite graph: their rows, and how they are written, counted, read and removed.

Everything runs inside a transaction that ``sqlite_graph.py`` opened; what the calls mean is in ``protocols/graph.py``.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from json import dumps

from etl_assets.protocols.graph import Entity, RelationEdge, Scope, StoredEdge, relation_digest

READ_ROWS = 4_096

# Both indexes hold all that a walk filters by, so that a row is only looked up when it is given.
SCHEMA = """
CREATE TABLE relations (
    document_key INTEGER NOT NULL, publication INTEGER NOT NULL, kind TEXT NOT NULL, subject_key INTEGER NOT NULL,
    subject_label INTEGER NOT NULL, object_key INTEGER NOT NULL, object_label INTEGER NOT NULL, page INTEGER NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, sentence TEXT NOT NULL, negated INTEGER NOT NULL,
    certainty TEXT NOT NULL, confidence REAL NOT NULL,
    UNIQUE (document_key, page, start, "end", kind, subject_key, object_key)
);
CREATE INDEX relations_of_subject ON relations (subject_key, publication, object_key, kind, document_key);
CREATE INDEX relations_of_object ON relations (object_key, publication, subject_key, kind, document_key);
"""
_FIELDS = """
    r.kind, s.entity_id, ls.entity_type, ls.name, o.entity_id, lo.entity_type, lo.name,
    r.page, r.start, r."end", r.sentence, r.negated, r.certainty, r.confidence
"""
_ENDS = """
JOIN entities s ON s.entity_key = r.subject_key JOIN labels ls ON ls.label_key = r.subject_label
JOIN entities o ON o.entity_key = r.object_key JOIN labels lo ON lo.label_key = r.object_label
"""
_STORED = f"""
SELECT r.publication, s.tenant, o.tenant, d.collection, d.document_id, d.publication, {_FIELDS}
FROM documents d JOIN relations r ON r.document_key = d.document_key {_ENDS}
WHERE d.tenant = ? AND d.collection = ?
"""
_OF_ENTITY = """
SELECT d.collection, d.document_id, r.publication, {fields}
FROM relations r JOIN documents d ON d.document_key = r.document_key {ends}
WHERE r.{this}_key = :entity AND d.tenant = :tenant AND admits(d.collection, r.publication)
AND (:among IS NULL OR r.{other}_key IN (SELECT value FROM json_each(:among)))
AND (:kinds IS NULL OR r.kind IN (SELECT value FROM json_each(:kinds)))
ORDER BY r.publication DESC, d.document_id, r.page, r.start, r."end", r.kind, s.entity_id, o.entity_id LIMIT :each
"""
_OF_SUBJECT = _OF_ENTITY.format(fields=_FIELDS, ends=_ENDS, this="subject", other="object")
_OF_OBJECT = _OF_ENTITY.format(fields=_FIELDS, ends=_ENDS, this="object", other="subject")


def insert_relations(
    db: sqlite3.Connection, relations: Sequence[RelationEdge], documents: Mapping[tuple[int, str, str, str], int],
    entities: Mapping[tuple[str, str], int], labels: Mapping[tuple[int, str, str], int],
) -> None:  # fmt: skip
    """Write relations whose documents, entities and names have these keys; one that is there is replaced."""

    def end(one: RelationEdge, entity: Entity) -> tuple[int, int]:
        key = entities[one.tenant, entity.entity_id]
        return key, labels[key, entity.entity_type, entity.name]

    rows = [
        (
            documents[one.publication, one.document_id, one.tenant, one.collection], one.publication, one.kind,
            *end(one, one.subject), *end(one, one.object), one.page, one.start, one.end, one.sentence,
            int(one.negated), one.certainty, float(one.confidence),
        )
        for one in relations
    ]  # fmt: skip
    marks = ", ".join("?" * 14)
    db.executemany(f"INSERT OR REPLACE INTO relations VALUES ({marks})", rows)


def ends_of(db: sqlite3.Connection, condition: str, keys: str) -> set[int]:
    """The keys of the entities that the relations of these documents connect."""
    ends = f"SELECT subject_key FROM relations{condition} UNION SELECT object_key FROM relations{condition}"
    return {row[0] for row in db.execute(ends, (keys, keys))}


def stored_relations(db: sqlite3.Connection, tenant: str, collection: str, numbers: str | None) -> Iterator[StoredEdge]:
    """Every relation of a collection, or of these publications of it, in batches."""
    statement, bound = _STORED, (tenant, collection)
    if numbers is not None:
        statement += "AND d.publication IN (SELECT value FROM json_each(?))"
        bound = (*bound, numbers)  # type: ignore[assignment]  # one more of the same
    cursor = db.execute(statement, bound)
    while rows := cursor.fetchmany(READ_ROWS):
        for row in rows:
            one, found_by = _relation(tenant, row[3:]), row[:3]
            # Walks go by copies, which a relation itself does not have.
            is_found = found_by == (one.publication, tenant, tenant)
            digest = relation_digest(one) if is_found else f"found by {found_by}"
            yield StoredEdge(one.publication, one.document_id, one.edge_id, digest)


def relations_of(
    db: sqlite3.Connection, scope: Scope, entity_key: int, *, among: Sequence[int] | None, kinds: Collection[str],
    each: int,
) -> Iterator[RelationEdge]:  # fmt: skip
    """The newest visible relations of one entity as subject, and then as object."""
    bound = {
        "entity": entity_key, "tenant": scope.tenant, "each": each,
        "among": None if among is None else dumps(list(among)), "kinds": dumps(sorted(kinds)) if kinds else None,
    }  # fmt: skip
    for statement in (_OF_SUBJECT, _OF_OBJECT):
        for row in db.execute(statement, bound):
            yield _relation(scope.tenant, row)


def _relation(tenant: str, row: Sequence[object]) -> RelationEdge:
    collection, document, publication, kind, *rest = row
    subject, target = Entity(*rest[:3]), Entity(*rest[3:6])  # type: ignore[arg-type]  # as the columns declare
    page, start, end, sentence, negated, certainty, confidence = rest[6:]
    return RelationEdge(
        tenant, collection, document, publication, kind, subject, target,  # type: ignore[arg-type]
        page, start, end, sentence, bool(negated), certainty, confidence,  # type: ignore[arg-type]
    )  # fmt: skip

"""Keys of entities, their names and documents in the SQLite graph: made, looked up, and swept when nothing uses them.

Everything runs inside a transaction that ``sqlite_graph.py`` opened.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from json import dumps
from typing import TypeVar

from etl_assets.protocols.graph import Entity, MentionEdge, RelationEdge

Identity = TypeVar("Identity", bound=tuple[str | int, ...])

# What names are found by is written anew where it was altered: a repair writes edges, and entities stay.
_ADD_ENTITY = """
INSERT INTO entities (tenant, entity_id, folded) VALUES (?, ?, ?)
ON CONFLICT (tenant, entity_id) DO UPDATE SET folded = excluded.folded WHERE folded <> excluded.folded
"""
_ADD_LABEL = """
INSERT INTO labels (entity_key, entity_type, name, folded) VALUES (?, ?, ?, ?)
ON CONFLICT (entity_key, entity_type, name) DO UPDATE SET folded = excluded.folded WHERE folded <> excluded.folded
"""
# Asked one by one: SQLite's JSON functions cut a text at its first NUL.
_ENTITY_KEY = "SELECT entity_key FROM entities WHERE tenant = ? AND entity_id = ?"
_LABEL_KEY = "SELECT label_key FROM labels WHERE entity_key = ? AND entity_type = ? AND name = ?"
_DOCUMENT_KEY = """
SELECT document_key FROM documents WHERE publication = ? AND document_id = ? AND tenant = ? AND collection = ?
"""

# An edge whose document's row is gone is seen by nobody, and yet it keeps its entity, and a sentence.
_UNREFERRED = """
WITH strays(entity_key) AS (
    SELECT entity_key FROM edges WHERE document_key NOT IN (SELECT document_key FROM documents)
    UNION SELECT subject_key FROM relations WHERE document_key NOT IN (SELECT document_key FROM documents)
    UNION SELECT object_key FROM relations WHERE document_key NOT IN (SELECT document_key FROM documents))
SELECT entity_id FROM entities n WHERE tenant = ? AND (entity_key IN (SELECT entity_key FROM strays) OR (
    NOT EXISTS (SELECT 1 FROM edges e WHERE e.entity_key = n.entity_key)
    AND NOT EXISTS (SELECT 1 FROM relations r WHERE r.subject_key = n.entity_key)
    AND NOT EXISTS (SELECT 1 FROM relations r WHERE r.object_key = n.entity_key))) ORDER BY 1
"""


def document_of(edge: MentionEdge | RelationEdge) -> tuple[int, str, str, str]:
    """The identity of the document that an edge is of."""
    return edge.publication, edge.document_id, edge.tenant, edge.collection


def label_of(tenant: str, entity: Entity, keys: Mapping[tuple[str, str], int]) -> tuple[int, str, str]:
    """The identity of the name that an edge gives an entity; ``keys`` are those of the entities."""
    return keys[tenant, entity.entity_id], entity.entity_type, entity.name


def _keys(db: sqlite3.Connection, statement: str, wanted: Iterable[Identity]) -> dict[Identity, int]:
    """The key of each of ``wanted`` that the store holds."""
    found = ((identity, db.execute(statement, identity).fetchone()) for identity in wanted)
    return {identity: row[0] for identity, row in found if row is not None}


def entity_keys(db: sqlite3.Connection, named: Sequence[tuple[str, Entity]]) -> dict[tuple[str, str], int]:
    """The key of each of these (tenant, entity), made where it is new."""
    wanted = list(dict.fromkeys((tenant, entity.entity_id) for tenant, entity in named))
    rows = [(tenant, entity_id, entity_id.casefold()) for tenant, entity_id in wanted]
    db.executemany(_ADD_ENTITY, rows)
    return _keys(db, _ENTITY_KEY, wanted)


def label_keys(
    db: sqlite3.Connection, named: Sequence[tuple[str, Entity]], entities: Mapping[tuple[str, str], int]
) -> dict[tuple[int, str, str], int]:
    """The key of each name that is given to one of these entities, made where it is new."""
    wanted = list(dict.fromkeys(label_of(tenant, entity, entities) for tenant, entity in named))
    rows = [(*label, label[2].casefold()) for label in wanted]
    db.executemany(_ADD_LABEL, rows)
    return _keys(db, _LABEL_KEY, wanted)


def document_keys(
    db: sqlite3.Connection, documents: Sequence[tuple[int, str, str, str]]
) -> dict[tuple[int, str, str, str], int]:
    """The key of each of these documents, made where it is new."""
    wanted = list(dict.fromkeys(documents))
    statement = "INSERT OR IGNORE INTO documents (publication, document_id, tenant, collection) VALUES (?, ?, ?, ?)"
    db.executemany(statement, wanted)
    return _keys(db, _DOCUMENT_KEY, wanted)


def sweep(db: sqlite3.Connection, entity_keys: set[int]) -> None:
    """Delete the names of these entities that no edge states, and those of the entities that no edge refers to."""
    touched = (dumps(sorted(entity_keys)),)
    db.execute(
        """
        DELETE FROM labels WHERE entity_key IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (
            SELECT 1 FROM edges e WHERE e.entity_key = labels.entity_key AND e.label_key = labels.label_key)
        AND NOT EXISTS (
            SELECT 1 FROM relations r WHERE r.subject_key = labels.entity_key AND r.subject_label = labels.label_key)
        AND NOT EXISTS (
            SELECT 1 FROM relations r WHERE r.object_key = labels.entity_key AND r.object_label = labels.label_key)
        """,
        touched,
    )
    db.execute(
        """
        DELETE FROM entities WHERE entity_key IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM labels l WHERE l.entity_key = entities.entity_key)
        """,
        touched,
    )


def strays_of(db: sqlite3.Connection, tenant: str) -> list[str]:
    """Ids of entities that no document refers to, or that an edge refers to whose document is gone; ascending."""
    return [row[0] for row in db.execute(_UNREFERRED, (tenant,))]


def sweep_strays(db: sqlite3.Connection, tenant: str) -> None:
    """Delete edges without a document, then names and entities of the tenant that nothing states any more."""
    for table in ("edges", "relations"):
        db.execute(f"DELETE FROM {table} WHERE document_key NOT IN (SELECT document_key FROM documents)")
    db.execute("DELETE FROM labels WHERE entity_key NOT IN (SELECT entity_key FROM entities)")
    sweep(db, {row[0] for row in db.execute("SELECT entity_key FROM entities WHERE tenant = ?", (tenant,))})


def keys_of(db: sqlite3.Connection, tenant: str, entity_ids: Sequence[str]) -> list[int]:
    """The keys of those of these entities that the store holds, ascending."""
    wanted = [(tenant, entity_id) for entity_id in dict.fromkeys(entity_ids)]
    return sorted(_keys(db, _ENTITY_KEY, wanted).values())

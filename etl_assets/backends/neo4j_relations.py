"""Relations between entities in Neo4j: ``(:Entity)-[:USES]->(:Entity)``, a relationship type for each kind.

Statements are constants, one for each kind, since an index of relationships serves one type only; what they are given
and what their rows mean. Everything runs inside a transaction that ``neo4j_graph.py`` opened.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from etl_assets.backends.neo4j_cypher import document_key, key_of, place_of, seen
from etl_assets.protocols.graph import (
    RELATION_KINDS,
    Entity,
    RelationEdge,
    Scope,
    StoredEdge,
    relation_digest,
    relation_order,
)

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

SCHEMA = tuple(
    statement
    for kind in RELATION_KINDS
    for statement in (
        f"CREATE INDEX etl_{kind.lower()}_publication IF NOT EXISTS FOR ()-[m:{kind}]-() ON (m.publication)",
        f"CREATE INDEX etl_{kind.lower()}_place IF NOT EXISTS FOR ()-[m:{kind}]-() ON (m.place, m.key)",
        f"CREATE INDEX etl_{kind.lower()}_subject IF NOT EXISTS FOR ()-[m:{kind}]-() ON (m.subject, m.publication)",
        f"CREATE INDEX etl_{kind.lower()}_object IF NOT EXISTS FOR ()-[m:{kind}]-() ON (m.object, m.publication)",
    )
)
"""All are plain indexes of relationship properties, which Community Edition has."""

ONE_DOCUMENT = 20
"""Twice as many are read as are asked for, and so many more: the server orders by publication only, and the last of
the documents that count may state several relations, of which the first are given."""

_EACH_KIND = "CALL {{ {branches} }} "


def _of_each_kind(branch: str) -> str:
    """One statement that asks every type by its own index. ``branch`` has KIND in place of the type."""
    return _EACH_KIND.format(branches=" UNION ALL ".join(branch.replace("KIND", kind) for kind in RELATION_KINDS))


# Not MERGE: it would look at every relation that two busy entities have. The document's lock keeps repeats apart.
LOCK_DOCUMENTS = "UNWIND $keys AS key MATCH (d:Document {key: key}) SET d.tenant = d.tenant RETURN count(d)"
REPLACE = {
    kind: f"MATCH ()-[m:{kind}]->() WHERE m.publication IN $publications AND m.key IN $keys DELETE m"
    for kind in RELATION_KINDS
}
CREATE = {
    kind: f"""
    UNWIND $rows AS r MATCH (s:Entity {{key: r.subject}}) MATCH (o:Entity {{key: r.object}})
    CREATE (s)-[m:{kind}]->(o) SET m = r.stated RETURN count(m)
    """
    for kind in RELATION_KINDS
}
_OF_PUBLICATIONS = "MATCH (s)-[m:KIND]->(o) WHERE m.publication IN $publications AND m.place = $place "
_DOOMED = _OF_PUBLICATIONS + "AND ($documents IS NULL OR m.document_id IN $documents) "
COUNTS = _of_each_kind(_OF_PUBLICATIONS + "RETURN m.publication AS publication, count(m) AS held") + (
    "RETURN publication, sum(held)"
)
ENDS = _of_each_kind(_DOOMED + "UNWIND [s.key, o.key] AS key RETURN DISTINCT key") + "RETURN DISTINCT key"
DELETE = {kind: _DOOMED.replace("KIND", kind) + "DELETE m" for kind in RELATION_KINDS}
_FIRST_PLACE = "RETURN place ORDER BY place LIMIT 1"
NEXT_PLACE = (
    _of_each_kind(
        "MATCH ()-[m:KIND]->() WHERE m.place > $after AND m.key IS NOT NULL WITH m.place AS place " + _FIRST_PLACE
    )
    + _FIRST_PLACE
)
_TOLD = "type(m) AS kind, s.entity_id AS subject, o.entity_id AS object, properties(m) AS stated "
_STORED = "RETURN m.key AS key, " + _TOLD
PAGE = {
    kind: f"MATCH (s)-[m:{kind}]->(o) WHERE m.place = $place AND m.key > $after {_STORED} ORDER BY key LIMIT $limit"
    for kind in RELATION_KINDS
}
PUBLISHED = _of_each_kind(_OF_PUBLICATIONS + _STORED) + ("RETURN key, kind, subject, object, stated")
_SEEN = seen("m")


def _newest_of(this: str, other: str) -> str:
    """The newest visible relations of an entity at one end, of each kind by its own index, as ``MENTIONING`` does."""
    branches = " UNION ALL ".join(
        f"WITH key MATCH ()-[m:{kind}]->() USING INDEX SEEK m:{kind}({this}, publication) "
        f"WHERE m.{this} = key AND m.publication <= $highest "
        f"AND (size($kinds) = 0 OR '{kind}' IN $kinds) AND ($among IS NULL OR m.{other} IN $among) "
        f"WITH m ORDER BY m.{this} DESC, m.publication DESC WITH m WHERE {_SEEN} RETURN m LIMIT $most"
        for kind in RELATION_KINDS
    )
    ends = "WITH key, m, startNode(m) AS s, endNode(m) AS o RETURN key, "
    return f"UNWIND $keys AS key CALL {{ {branches} }} {ends}{_TOLD}"


OF_SUBJECT = _newest_of("subject", "object")
OF_OBJECT = _newest_of("object", "subject")
FILL_IN = tuple(
    f"MATCH (s)-[m:{kind}]->(o) WHERE m.subject IS NULL "
    "CALL { WITH s, m, o SET m.subject = s.key, m.object = o.key } IN TRANSACTIONS OF 10000 ROWS"
    for kind in RELATION_KINDS
)
"""What relations of schema 2 lack, in transactions of its own."""


def relation_key(one: RelationEdge) -> str:
    """The identity of a relation in the whole database."""
    return key_of(one.tenant, one.collection, one.document_id, one.publication, one.edge_id)


def relation_row(one: RelationEdge) -> dict[str, Any]:
    """A row for CREATE: everything said of this relation, with the names that its publication uses."""
    ends: dict[str, object] = {
        "subject": key_of(one.tenant, one.subject.entity_id), "object": key_of(one.tenant, one.object.entity_id)
    }  # fmt: skip
    stated: dict[str, object] = {
        **ends,
        "key": relation_key(one),
        "tenant": one.tenant,
        "collection": one.collection,
        "place": place_of(one.tenant, one.collection),
        "document_id": one.document_id,
        "publication": one.publication,
        "subject_type": one.subject.entity_type,
        "subject_name": one.subject.name,
        "object_type": one.object.entity_type,
        "object_name": one.object.name,
        "page": one.page,
        "start": one.start,
        "end": one.end,
        "sentence": one.sentence,
        "negated": one.negated,
        "certainty": one.certainty,
        "confidence": float(one.confidence),
    }
    return {**ends, "stated": stated}


def relation_of(kind: str, subject: str, target: str, stated: Mapping[str, object]) -> RelationEdge:
    """The relation that a record of its type, the ids of its ends and its properties is."""
    at = stated.__getitem__
    return RelationEdge(
        tenant=str(at("tenant")), collection=str(at("collection")), document_id=str(at("document_id")),
        publication=_whole(at("publication")), kind=kind,
        subject=Entity(subject, str(at("subject_type")), str(at("subject_name"))),
        object=Entity(target, str(at("object_type")), str(at("object_name"))),
        page=_whole(at("page")), start=_whole(at("start")), end=_whole(at("end")), sentence=str(at("sentence")),
        negated=bool(at("negated")), certainty=str(at("certainty")), confidence=_fraction(at("confidence")),
    )  # fmt: skip


def stored_relation(
    tenant: str, collection: str, kind: str, subject: str, target: str, stated: Mapping[str, object]
) -> StoredEdge:
    """A record of a collection as it is enumerated; one that walks would find by something else says so."""
    one = relation_of(kind, subject, target, stated)
    asked = replace(one, tenant=tenant, collection=collection)
    by = ("subject", "object", "key", "place", "tenant", "collection")
    found, wanted = ([row.get(name) for name in by] for row in (stated, relation_row(asked)["stated"]))
    digest = relation_digest(one) if found == wanted else f"found by {found}"
    return StoredEdge(one.publication, one.document_id, one.edge_id, digest)


def write_relations(tx: "ManagedTransaction", relations: Iterable[RelationEdge], size: int) -> int:
    """Write relations whose entities and documents are there, ``size`` at a time; how many lacked an entity."""
    # Of a relation given twice the later one stays; in order of keys, so that two writers take locks in one order.
    unique = {relation_key(one): one for one in relations}
    documents = sorted({document_key(one) for one in unique.values()})
    if documents:
        tx.run(LOCK_DOCUMENTS, keys=documents).consume()
    missing = 0
    for kind in RELATION_KINDS:
        mine = [(key, one) for key, one in sorted(unique.items()) if one.kind == kind]
        for start in range(0, len(mine), size):
            part = mine[start : start + size]
            numbers = sorted({one.publication for _, one in part})
            tx.run(REPLACE[kind], publications=numbers, keys=[key for key, _ in part]).consume()
            rows = [relation_row(one) for _, one in part]
            missing += len(rows) - int(tx.run(CREATE[kind], rows=rows).single(strict=True)[0])
    return missing


def relations_of(
    tx: "ManagedTransaction", visible: Mapping[str, object], keys: Sequence[str], *, among: Collection[str] | None,
    kinds: Collection[str], each: int,
) -> Iterator[RelationEdge]:  # fmt: skip
    """The newest visible relations of entities, as subjects and then as objects; ``among`` are keys too."""
    asked = {
        **visible, "keys": list(keys), "among": None if among is None else sorted(among), "kinds": sorted(kinds),
        "most": 2 * each + ONE_DOCUMENT,
    }  # fmt: skip
    for statement in (OF_SUBJECT, OF_OBJECT):
        found: dict[str, list[RelationEdge]] = {}
        for key, *told in tx.run(statement, asked):
            found.setdefault(key, []).append(relation_of(*told))
        for mine in found.values():
            yield from sorted(mine, key=relation_order)[:each]


def keys_among(scope: Scope, among: Collection[str] | None) -> list[str] | None:
    """Keys of the entities that may stand at the other end."""
    return None if among is None else [key_of(scope.tenant, entity_id) for entity_id in among]


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value


def _fraction(value: object) -> float:
    assert isinstance(value, float)
    return value

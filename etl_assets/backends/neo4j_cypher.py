"""What Neo4j is asked, as constant statements, and the parameters and rows that go with them."""

import hashlib
import json
from functools import lru_cache

from etl_assets.protocols.graph import MentionEdge, RelationEdge, Scope


def seen(edge: str) -> str:
    """The condition under which the reader sees the relationship that a statement calls ``edge``.

    ``$visible`` is a list of {collection, highest, hidden: [[low, high], ...]}, see ``visible_parameters``.
    """
    return (
        f"{edge}.tenant = $tenant AND any(v IN $visible WHERE v.collection = {edge}.collection "
        f"AND {edge}.publication <= v.highest "
        f"AND none(r IN v.hidden WHERE r[0] <= {edge}.publication AND {edge}.publication <= r[1]))"
    )


_SEEN = seen("m")
# What was altered is mended. Only then: a property written is a lock, which every writer of the entity would wait for.
MERGE_ENTITIES = """
UNWIND $rows AS r MERGE (e:Entity {key: r.key})
ON CREATE SET e.tenant = r.tenant, e.entity_id = r.entity_id, e.folded = r.folded
FOREACH (_ IN CASE WHEN e.tenant = r.tenant AND e.entity_id = r.entity_id AND e.folded = r.folded THEN [] ELSE [1] END |
    SET e.tenant = r.tenant, e.entity_id = r.entity_id, e.folded = r.folded)
"""
MERGE_DOCUMENTS = """
UNWIND $rows AS r MERGE (d:Document {key: r.key})
ON CREATE SET d.tenant = r.tenant, d.collection = r.collection, d.place = r.place,
    d.document_id = r.document_id, d.publication = r.publication
"""
MERGE_EDGES = """
UNWIND $rows AS r MATCH (d:Document {key: r.document}) MATCH (e:Entity {key: r.entity})
MERGE (d)-[m:MENTIONS]->(e) SET m = r.stated
RETURN count(m)
"""
# By ``place``, as they are enumerated: what is told of a collection is what can be removed from it.
_NUMBERED = "MATCH (d:Document) WHERE d.publication IN $publications AND d.place = $place "
_DOOMED = _NUMBERED + "AND ($documents IS NULL OR d.document_id IN $documents) "
COUNTS = _NUMBERED + "MATCH (d)-[m:MENTIONS]->() RETURN d.publication, count(m)"
MENTIONED = _DOOMED + "MATCH (d)-[:MENTIONS]->(e:Entity) RETURN DISTINCT e.key"
# A property written is a lock held until the commit: two removals that take the last two edges of one entity would each
# see the other's, and both would leave the entity behind. In order of the keys, so that they do not deadlock.
LOCK_ENTITIES = "UNWIND $keys AS key MATCH (e:Entity {key: key}) SET e.tenant = e.tenant"
DELETE_EDGES = _DOOMED + "MATCH (d)-[m:MENTIONS]->() DELETE m"
DELETE_DOCUMENTS = _DOOMED + "DELETE d"
# No DETACH: an edge that another transaction adds meanwhile makes this one fail and be run again.
DELETE_ENTITIES = """
UNWIND $keys AS key MATCH (e:Entity {key: key}) WHERE NOT EXISTS { (e)--() } DELETE e
"""
ORPHANS = """
MATCH (e:Entity) WHERE e.tenant = $tenant AND NOT EXISTS { (e)--() } RETURN e.entity_id
"""
DOCUMENT_PAGE = """
MATCH (d:Document) WHERE d.place = $place AND d.key > $after
RETURN d.key ORDER BY d.key LIMIT $limit
"""
PUBLISHED_DOCUMENTS = _NUMBERED + "RETURN d.key ORDER BY d.key"
NEXT_PLACE = """
MATCH (d:Document) WHERE d.place > $after AND d.key IS NOT NULL RETURN d.place AS place ORDER BY place LIMIT 1
"""
BARE_DOCUMENTS = """
UNWIND $keys AS key MATCH (d:Document {key: key}) WHERE NOT EXISTS { (d)-[:MENTIONS]->() }
RETURN d.publication, d.document_id
"""
STORED_EDGES = """
UNWIND $keys AS key MATCH (d:Document {key: key})-[m:MENTIONS]->(e:Entity)
RETURN d.publication, d.document_id, e.entity_id, m.entity_type, m.name,
    [m.publication, m.tenant, m.collection, d.tenant, d.collection, e.tenant, m.folded, e.folded, e.key, m.entity],
    m.count, m.confidence, m.chunk_id, m.page, m.start, m.end
"""
# Whoever has 100,000 edges is asked for the newest of them only. Ordered by both properties of the index, the server
# reads it backwards and stops at the limit: by the number alone it would read them all, and sort them. The hint, as in
# DOCUMENT_ENTITIES, is for the first minutes of a database: a plan made while it was empty would scan.
_NEWEST_EDGES = (
    "UNWIND $keys AS key CALL { WITH key MATCH (d)-[m:MENTIONS]->() USING INDEX SEEK m:MENTIONS(entity, publication) "
    "WHERE m.entity = key AND m.publication <= $highest WITH m, d ORDER BY m.entity DESC, m.publication DESC "
    "WITH m, d WHERE " + _SEEN + " AND d.tenant = $tenant "
)
ENTITY_DOCUMENTS = (
    _NEWEST_EDGES
    + "RETURN d.key AS document, m.publication AS publication, d.document_id AS document_id LIMIT $share } "
    "RETURN DISTINCT document, publication, document_id"
)
DOCUMENT_ENTITIES = (
    "UNWIND $keys AS key MATCH (d:Document {key: key})-[m:MENTIONS]->(e) USING INDEX SEEK d:Document(key) "
    # No condition that an index of entities serves: a plan that began there would look at every one for each document.
    "WHERE d.tenant = $tenant AND coalesce(e.tenant, '') = $tenant AND " + _SEEN + " "
    "RETURN d.key, e.key, e.entity_id, m.entity_type, m.name"
)
VISIBLE_DOCUMENTS = (
    "MATCH (d:Document) WHERE d.publication IN $publications AND d.tenant = $tenant "
    "MATCH (d)-[m:MENTIONS]->() WHERE " + _SEEN + " RETURN DISTINCT d.key, d.publication, d.document_id"
)
FOUND_BY_ID = (
    "MATCH (e:Entity) WHERE e.folded = $folded AND e.tenant = $tenant "
    "MATCH (e)<-[m:MENTIONS]-(:Document) WHERE " + _SEEN + " "
    "RETURN e.entity_id, m.entity_type, m.name, max(m.publication)"
)
FOUND_BY_NAME = (
    "MATCH (:Document)-[m:MENTIONS]->(e:Entity) WHERE m.folded = $folded AND e.tenant = $tenant AND " + _SEEN + " "
    "RETURN e.entity_id, m.entity_type, m.name, max(m.publication)"
)
MENTIONING = (
    _NEWEST_EDGES + "RETURN m.collection AS collection, m.publication AS publication LIMIT $limit } "
    "RETURN DISTINCT collection, publication"
)


@lru_cache(maxsize=65_536)
def key_of(*parts: str | int) -> str:
    """One fixed-length identity of several parts, so that one uniqueness constraint covers them all."""
    canonical = json.dumps(parts, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def document_key(edge: MentionEdge | RelationEdge) -> str:
    """Identity of the document node that an edge is of: one publication of one document."""
    return key_of(edge.tenant, edge.collection, edge.document_id, edge.publication)


def found_by(edge: MentionEdge) -> list[str | int]:
    """What walks and look-ups go by beside what an edge itself has, as STORED_EDGES gives it."""
    place: list[str | int] = [edge.tenant, edge.collection]
    names = (folded_key(edge.tenant, name) for name in (edge.entity.name, edge.entity.entity_id))
    entity = key_of(edge.tenant, edge.entity.entity_id)
    return [edge.publication, *place, *place, edge.tenant, *names, entity, entity]


def folded_key(tenant: str, name: str) -> str:
    """What a case-folded name or id is looked up by, inside its tenant."""
    return key_of(tenant, name.casefold())


def place_of(tenant: str, collection: str) -> str:
    """A collection as one value, since a composite index serves only a condition on each of its properties."""
    return f"{tenant}/{collection}" if collection else tenant


def collection_at(place: str) -> tuple[str, str]:
    """(tenant, collection) of a place: the inverse of ``place_of``; of an altered one, what leads back to it."""
    tenant, _, collection = place.partition("/")
    return tenant, collection


def entity_row(tenant: str, entity_id: str) -> dict[str, object]:
    """A row for MERGE_ENTITIES."""
    return {
        "key": key_of(tenant, entity_id),
        "tenant": tenant,
        "entity_id": entity_id,
        "folded": folded_key(tenant, entity_id),
    }


def document_row(edge: MentionEdge | RelationEdge) -> dict[str, object]:
    """A row for MERGE_DOCUMENTS."""
    return {
        "key": document_key(edge),
        "tenant": edge.tenant,
        "collection": edge.collection,
        "place": place_of(edge.tenant, edge.collection),
        "document_id": edge.document_id,
        "publication": edge.publication,
    }


def edge_row(edge: MentionEdge) -> dict[str, object]:
    """A row for MERGE_EDGES: everything said of this one edge, with the name its publication uses."""
    entity = key_of(edge.tenant, edge.entity.entity_id)
    stated: dict[str, object] = {
        "entity": entity,
        "tenant": edge.tenant,
        "collection": edge.collection,
        "publication": edge.publication,
        "entity_type": edge.entity.entity_type,
        "name": edge.entity.name,
        "folded": folded_key(edge.tenant, edge.entity.name),
        "count": edge.count,
        "confidence": float(edge.confidence),
        "chunk_id": edge.chunk_id,
        "page": edge.page,
        "start": edge.start,
        "end": edge.end,
    }
    return {"document": document_key(edge), "entity": entity, "stated": stated}


def visible_parameters(scope: Scope) -> dict[str, object]:
    """What every statement about visible edges is given."""
    visible = [
        {"collection": collection, "highest": seen.highest, "hidden": [[low, high] for low, high in seen.hidden]}
        for collection, seen in sorted(scope.visible.items())
    ]
    highest = max((seen.highest for seen in scope.visible.values()), default=0)
    return {"tenant": scope.tenant, "visible": visible, "highest": highest}

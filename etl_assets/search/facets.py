"""Counting what the documents of an answer's pool are, and which entities stand near them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from etl_assets.protocols.graph import KnowledgeGraph, Neighbour, Scope
from etl_assets.search.model import Facets, FacetValue, PoolHit, RelatedEntity
from etl_assets.search.sources import Confirmed, confirmed_walk

ENTITIES_COUNTED = 500
VALUES_PER_FACET = 20
VALUES_PER_ENTITY_TYPE = 10
DOCUMENTS_NAMED = 10


def distinct_documents(hits: Iterable[PoolHit]) -> dict[int, PoolHit]:
    """One hit for each publication, the first of it."""
    found: dict[int, PoolHit] = {}
    for hit in hits:
        found.setdefault(hit.document.publication, hit)
    return found


def document_facets(hits: Iterable[PoolHit], entities: Mapping[str, tuple[FacetValue, ...]]) -> Facets:
    """Counts of the distinct documents of ``hits`` by type, collection, year and label."""
    types: Counter[str] = Counter()
    collections: Counter[str] = Counter()
    years: Counter[str] = Counter()
    labels: dict[str, Counter[str]] = {}
    for hit in distinct_documents(hits).values():
        record = hit.document.record
        if record.get("document_type"):
            types[str(record["document_type"])] += 1
        collections[f"{hit.view.tenant}/{hit.view.collection}"] += 1
        if record.get("date"):
            years[str(record["date"])[:4]] += 1
        for kind, found in (record.get("labels") or {}).items():
            labels.setdefault(kind, Counter()).update(found.keys())
    by_set = {kind: _top(labels[kind]) for kind in sorted(labels)}
    return Facets(_top(types), _top(collections), _top(years), by_set, entities)


def entity_facets(
    confirmed: Confirmed, graph: KnowledgeGraph, hits: Iterable[PoolHit]
) -> dict[str, tuple[FacetValue, ...]]:
    """By entity type, the entities that most of the hits' documents mention, and how many do."""
    counts: Counter[tuple[str, str]] = Counter()
    names: dict[tuple[str, str], str] = {}  # tenants may write the name of one entity differently
    for tenant, publications in _by_tenant(hits).items():
        reached, _ = _mentioned(confirmed, graph, tenant, publications, ENTITIES_COUNTED)
        for one in reached:
            key = one.entity.entity_type, one.entity.entity_id
            counts[key] += one.weight
            names.setdefault(key, one.entity.name)
    by_type: dict[str, list[FacetValue]] = {}
    for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        by_type.setdefault(key[0], []).append(FacetValue(key[1], names[key], count))
    return {kind: tuple(by_type[kind][:VALUES_PER_ENTITY_TYPE]) for kind in sorted(by_type)}


def related_entities(
    confirmed: Confirmed, graph: KnowledgeGraph, hits: Iterable[PoolHit], *, hops: int, limit: int
) -> tuple[tuple[RelatedEntity, ...], bool]:
    """Entities within ``hops`` of the hits' documents: nearest, then most connected, then by id; and whether cut.

    What these documents mention is one hop away, what other documents mention beside it two, and so on.
    """
    found: list[RelatedEntity] = []
    cut = False
    if hops < 1 or limit < 1:
        return (), False
    for tenant, publications in _by_tenant(hits).items():
        near, cut_near = _mentioned(confirmed, graph, tenant, publications, limit)
        reached, cut_far = near, False
        if hops > 1 and len(near) < limit and near:
            far, cut_far = _beyond(confirmed, graph, tenant, near, hops=hops, limit=limit - len(near))
            reached = near + far
        cut = cut or cut_near or cut_far
        found += [related_entity(one, tenant) for one in reached]
    found.sort(key=lambda one: (one.hops, -one.weight, one.entity_id, one.tenant))
    return tuple(found[:limit]), cut


def related_entity(one: Neighbour, tenant: str) -> RelatedEntity:
    """A neighbour as answers show it; of its documents, those published last are named."""
    newest = sorted(one.documents, key=lambda pair: (-pair[1], pair[0]))[:DOCUMENTS_NAMED]
    entity = one.entity
    documents = tuple(document for document, _ in newest)
    return RelatedEntity(entity.entity_id, entity.entity_type, entity.name, tenant, one.hops, one.weight, documents)


def _mentioned(
    confirmed: Confirmed, graph: KnowledgeGraph, tenant: str, publications: Sequence[int], limit: int
) -> tuple[list[Neighbour], bool]:
    def walk(scope: Scope) -> list[Neighbour]:
        return graph.entities_of(scope, publications, limit=limit)

    return confirmed_walk(confirmed, tenant, walk)


def _beyond(
    confirmed: Confirmed, graph: KnowledgeGraph, tenant: str, near: Sequence[Neighbour], *, hops: int, limit: int
) -> tuple[list[Neighbour], bool]:
    ids = [one.entity.entity_id for one in near]

    def walk(scope: Scope) -> list[Neighbour]:
        return graph.neighbours(scope, ids, hops=hops - 1, limit=limit)

    reached, cut = confirmed_walk(confirmed, tenant, walk)
    return [replace(one, hops=one.hops + 1) for one in reached], cut


def _by_tenant(hits: Iterable[PoolHit]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for publication, hit in sorted(distinct_documents(hits).items()):
        found.setdefault(hit.view.tenant, []).append(publication)
    return dict(sorted(found.items()))


def _top(counts: Counter[Any]) -> tuple[FacetValue, ...]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(FacetValue(value, value, count) for value, count in ordered[:VALUES_PER_FACET])

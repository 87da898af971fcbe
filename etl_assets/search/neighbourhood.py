"""One entity and what stands near it: the documents that mention it, and the entities these mention beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from etl_assets.errors import ConfigError
from etl_assets.ledger.snapshots import snapshot
from etl_assets.protocols.graph import Entity, Neighbour, Scope
from etl_assets.search.deadline import Deadline, run_all
from etl_assets.search.facets import related_entity
from etl_assets.search.model import MOST_HOPS, MOST_NEIGHBOURS, RelatedEntity, SearchPlaces
from etl_assets.search.sources import Confirmed, confirmed_walk, scope_of
from etl_assets.stages.spec import Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedDocument:
    """A document as people know it."""

    document_id: str
    tenant: str
    collection: str
    path: str
    title: str


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What one tenant's documents say of an entity. ``documents`` mention it, by collection and path.

    ``titles`` names every document that ``neighbours`` refer to, by id.
    """

    entity: Entity
    tenant: str
    documents: tuple[NamedDocument, ...]
    neighbours: tuple[RelatedEntity, ...]
    titles: dict[str, str]

    def as_json(self) -> dict[str, Json]:
        """Plain values."""
        return {
            "entity_id": self.entity.entity_id,
            "entity_type": self.entity.entity_type,
            "name": self.entity.name,
            "tenant": self.tenant,
            "documents": [
                {name: getattr(one, name) for name in NamedDocument.__dataclass_fields__} for one in self.documents
            ],
            "neighbours": [one.as_json() for one in self.neighbours],
            "titles": dict(self.titles),
        }


def entity_neighbourhood(
    places: SearchPlaces,
    name: str,
    *,
    tenant: str | None = None,
    collection: str | None = None,
    hops: int = 1,
    limit: int = 20,
) -> list[Neighbourhood]:
    """Every entity of this id or name (letter case aside), each with its documents and nearest entities.

    Empty when no visible document mentions it. Neighbours are nearest first, then those that most documents connect.

    Raises:
        ConfigError: ``hops`` or ``limit`` is out of bounds, or the name is blank.
        TransientError, PermanentError: the graph or the ledger failed, or was later than the search time limit.
    """
    if not name.strip() or not 1 <= hops <= MOST_HOPS or not 1 <= limit <= MOST_NEIGHBOURS:
        raise ConfigError(
            f"entity {name!r}: give a name or an id, hops from 1 to {MOST_HOPS}, and limit from 1 to {MOST_NEIGHBOURS}"
        )
    deadline = Deadline(places.time_limit_s)
    confirmed = Confirmed(places.ledger, snapshot(places.ledger, tenant=tenant, collection=collection))

    def look() -> list[Neighbourhood]:
        found = []
        for owner in sorted({view.tenant for view in confirmed.views}):
            for entity in places.graph.find(scope_of(confirmed.views, owner), name.strip(), limit=limit):
                around = _around(places, confirmed, owner, entity, hops, limit)
                found += [around] if around.documents else []
        return found

    return _in_time(look, deadline)


def _around(
    places: SearchPlaces, confirmed: Confirmed, tenant: str, entity: Entity, hops: int, limit: int
) -> Neighbourhood:
    def walk(scope: Scope) -> list[Neighbour]:
        return places.graph.neighbours(scope, [entity.entity_id], hops=hops, limit=limit)

    reached, _ = confirmed_walk(confirmed, tenant, walk)
    neighbours = tuple(related_entity(one, tenant) for one in reached)
    named = {document for one in neighbours for document in one.documents}
    pairs = {pair for one in reached for pair in one.documents if pair[0] in named}
    connecting = confirmed.locate(tenant, pairs).values()
    titles = {document.document_id: str(document.record.get("title") or document.path) for _, document in connecting}
    return Neighbourhood(entity, tenant, _mentioning(places, confirmed, tenant, entity), neighbours, titles)


def _mentioning(places: SearchPlaces, confirmed: Confirmed, tenant: str, entity: Entity) -> tuple[NamedDocument, ...]:
    wanted: dict[str, list[int]] = {}
    for collection, number in places.graph.mentioning(scope_of(confirmed.views, tenant), [entity.entity_id]):
        wanted.setdefault(collection, []).append(number)
    found = []
    for view in confirmed.views:
        if view.tenant == tenant:
            for document in confirmed.documents(view, wanted.get(view.collection, [])).values():
                title = str(document.record.get("title") or document.path)
                found.append(NamedDocument(document.document_id, tenant, view.collection, document.path, title))
    return tuple(sorted(found, key=lambda one: (one.collection, one.path)))


def _in_time(call: Callable[[], T], deadline: Deadline) -> T:
    return run_all({"graph": call}, deadline)["graph"].result()

"""What people ask of the graph: what is said of an entity, what stands near it, how two of them are connected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from etl_assets.errors import ConfigError
from etl_assets.ledger.snapshots import CollectionView, VisibleDocument, snapshot
from etl_assets.protocols.graph import Entity, Neighbour, Scope
from etl_assets.search.deadline import Deadline, run_all
from etl_assets.search.links import TOGETHER, Citation, Link, ReadDocument, entity_json, read_documents
from etl_assets.search.model import MOST_HOPS, MOST_NEIGHBOURS, SearchPlaces
from etl_assets.search.sources import Confirmed, confirmed_walk, scope_of
from etl_assets.stages.spec import Json

T = TypeVar("T")
Shown = tuple[CollectionView, VisibleDocument]

LONGEST_PATH = 6
DOCUMENTS_PER_EDGE = 3
"""An edge is told from the newest of the documents that connect its ends."""
FRONTIER = 2_000
"""How many entities of one hop a path is looked for through, those of most documents first."""
PASSAGES = 3
_POOL = 200
"""So many more neighbours are read than are asked for, to bring forward those that a sentence relates."""
NO_WAY = frozenset({"date"})
"""Types that nothing is near by, nor a path through: two things of one day have nothing to do with one another."""


@dataclass(frozen=True, slots=True)
class Mentioned:
    """One document that mentions an entity, with the first passages that do."""

    document_id: str
    collection: str
    path: str
    title: str
    count: int
    passages: tuple[Citation, ...]

    def as_json(self) -> dict[str, Json]:
        """Every field; passages as records."""
        plain: dict[str, Json] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {"passages": [one.as_json() for one in self.passages]}


@dataclass(frozen=True, slots=True)
class EntityAnswer:
    """What visible documents say of one entity. ``document_count`` is of all, ``documents`` are the newest of them.

    ``links`` are the relations that sentences of these documents state of it.
    """

    entity: Entity
    tenant: str
    document_count: int
    documents: tuple[Mentioned, ...]
    links: tuple[Link, ...]

    def as_json(self) -> dict[str, Json]:
        """Plain values."""
        return entity_json(self.entity) | {
            "tenant": self.tenant,
            "document_count": self.document_count,
            "documents": [one.as_json() for one in self.documents],
            "relations": [one.as_json() for one in self.links],
        }


@dataclass(frozen=True, slots=True)
class Near:
    """One entity near another: over how many hops, through how many documents, and the edges that lead there."""

    entity: Entity
    hops: int
    weight: int
    links: tuple[Link, ...]

    def as_json(self) -> dict[str, Json]:
        """Plain values."""
        return entity_json(self.entity) | {
            "hops": self.hops, "weight": self.weight, "edges": [one.as_json() for one in self.links],
        }  # fmt: skip


class GraphQuestions:
    """Questions of one tenant or collection, or of all; each is answered at one moment of the ledger.

    The graph names entities and documents; every document is confirmed by the ledger, and what it says is read from
    the lake, so a quote is never older than its edge.

    Raises:
        TransientError, PermanentError: from any method: the graph, the ledger or the lake failed or was late.
    """

    def __init__(self, places: SearchPlaces, *, tenant: str | None = None, collection: str | None = None) -> None:
        import polars  # noqa: F401  # takes seconds once, which are not those of a walk

        self._places, self._of_whom = places, (tenant, collection)
        self._look_now()

    @property
    def tenants(self) -> list[str]:
        """Whose documents are looked at, in order."""
        return sorted({view.tenant for view in self._confirmed.views})

    def candidates(self, name: str, *, entity_type: str | None = None) -> list[tuple[str, Entity]]:
        """(tenant, entity) of every entity of this id or name, in any letter case, that a visible document mentions.

        An id names one entity of each tenant; a name may name several.

        Raises:
            ConfigError: the name is blank.
        """
        wanted = name.strip()
        if not wanted:
            raise ConfigError("entity: give a name, or an id such as group:G0007")
        self._look_now()

        def look() -> list[tuple[str, Entity]]:
            found = []
            for owner in self.tenants:
                scope = scope_of(self._confirmed.views, owner)
                for one in self._places.graph.find(scope, wanted, limit=MOST_NEIGHBOURS):
                    if entity_type in (None, one.entity_type) and self._mentioning(owner, [one.entity_id]):
                        found.append((owner, one))
            return found

        return self._in_time(look)

    def show(self, tenant: str, entity: Entity, *, limit: int = 20) -> EntityAnswer:
        """Documents that mention it, newest first, with passages, and what their sentences state of it."""
        self._look_now()
        shown = self._in_time(lambda: self._mentioning(tenant, [entity.entity_id]))
        read = read_documents(self._places, shown[:limit])
        documents = tuple(_mentioned(one, entity.entity_id) for one in read)
        links = tuple(link for one in read for link in one.said_of(entity.entity_id))
        return EntityAnswer(entity, tenant, len(shown), documents, links)

    def neighbours(self, tenant: str, entity: Entity, *, hops: int = 1, limit: int = 20) -> list[Near]:
        """Entities within ``hops``, nearest first, then by documents; each with the edges that lead there.

        Of as many documents, those that a sentence relates come first, then by id. Dates are left out. An entity two
        hops away has the edge from one that is one hop away.

        Raises:
            ConfigError: ``hops`` or ``limit`` is out of its bounds.
        """
        if not 1 <= hops <= MOST_HOPS or not 1 <= limit <= MOST_NEIGHBOURS:
            raise ConfigError(f"neighbours: hops from 1 to {MOST_HOPS}, and limit from 1 to {MOST_NEIGHBOURS}")
        self._look_now()
        met = self._in_time(lambda: self._walk(tenant, [entity.entity_id], hops, limit + FRONTIER))
        reached = [one for one in met if one.entity.entity_type not in NO_WAY]
        levels: list[Mapping[str, Entity]] = [{entity.entity_id: entity}]
        for hop in range(1, hops + 1):
            levels.append({one.entity.entity_id: one.entity for one in reached if one.hops == hop})
        pool = reached[: limit + _POOL]
        read = self._read(tenant, pool)
        near = [
            Near(one.entity, one.hops, one.weight, _best(self._of(one, read), levels[one.hops - 1], one.entity))
            for one in pool
        ]
        return sorted(near, key=_nearness)[:limit]

    def path(
        self, tenant: str, start: Entity, end: Entity, *, hops: int = LONGEST_PATH, through: Collection[str] = ()
    ) -> list[tuple[Link, ...]]:
        """A shortest way from one entity to another, edge by edge; empty where there is none within ``hops``.

        ``through`` are the types of what may lie between; without it, all but dates.

        Raises:
            ConfigError: both are one entity, or ``hops`` is out of its bounds.
        """
        if start.entity_id == end.entity_id or not 1 <= hops <= LONGEST_PATH:
            raise ConfigError(f"path: give two different entities, and hops from 1 to {LONGEST_PATH}")
        self._look_now()
        levels = self._in_time(lambda: self._levels(tenant, start, end, hops, through))
        edges: list[tuple[Link, ...]] = []
        target = end
        for before, reached in reversed([*zip(levels, levels[1:], strict=False)]):
            read = self._read(tenant, [reached[target.entity_id]])
            sources = {name: one.entity for name, one in before.items()}
            links = _best(self._of(reached[target.entity_id], read), sources, target)
            edges.insert(0, links)
            target = _other_end(links[0], target)
        return edges

    def _look_now(self) -> None:
        """Begin anew: what is superseded is collected once the time limit has passed since a moment was read."""
        tenant, collection = self._of_whom
        self._deadline = Deadline(self._places.time_limit_s)
        views = snapshot(self._places.ledger, tenant=tenant, collection=collection)
        self._confirmed = Confirmed(self._places.ledger, views)

    def _levels(
        self, tenant: str, start: Entity, end: Entity, hops: int, through: Collection[str]
    ) -> list[dict[str, Neighbour]]:
        levels = [{start.entity_id: Neighbour(start, 0, 0, ())}]
        seen = {start.entity_id}
        while len(levels) <= hops and levels[-1]:
            met = self._walk(tenant, sorted(levels[-1]), 1, MOST_NEIGHBOURS)
            fresh = {one.entity.entity_id: one for one in met if one.entity.entity_id not in seen}
            if end.entity_id in fresh:
                return [*levels, {end.entity_id: fresh[end.entity_id]}]
            seen.update(fresh)
            open_to = [name for name, one in fresh.items() if _may_lead(one.entity.entity_type, through)][:FRONTIER]
            levels.append({name: fresh[name] for name in open_to})
        return []

    def _walk(self, tenant: str, ids: Sequence[str], hops: int, limit: int) -> list[Neighbour]:
        def walk(scope: Scope) -> list[Neighbour]:
            return self._places.graph.neighbours(scope, ids, hops=hops, limit=limit)

        reached, _ = confirmed_walk(self._confirmed, tenant, walk)
        return reached

    def _mentioning(self, tenant: str, ids: Sequence[str]) -> list[Shown]:
        """Visible documents that mention any of these, newest first."""
        wanted: dict[str, list[int]] = {}
        for collection, number in self._places.graph.mentioning(scope_of(self._confirmed.views, tenant), ids):
            wanted.setdefault(collection, []).append(number)
        shown = [
            (view, document)
            for view in self._confirmed.views
            if view.tenant == tenant
            for document in self._confirmed.documents(view, wanted.get(view.collection, [])).values()
        ]
        return sorted(shown, key=lambda pair: -pair[1].publication)

    def _read(self, tenant: str, reached: Iterable[Neighbour]) -> dict[tuple[str, int], ReadDocument]:
        pairs = {pair for one in reached for pair in _newest(one)}
        located = self._confirmed.locate(tenant, pairs)
        read = read_documents(self._places, [located[pair] for pair in sorted(located)])
        return dict(zip(sorted(located), read, strict=True))

    @staticmethod
    def _of(one: Neighbour, read: Mapping[tuple[str, int], ReadDocument]) -> list[ReadDocument]:
        return [read[pair] for pair in _newest(one) if pair in read]

    def _in_time(self, call: Callable[[], T]) -> T:
        return run_all({"graph": call}, self._deadline)["graph"].result()


def _nearness(one: Near) -> tuple[int, int, bool, str]:
    is_stated = bool(one.links) and one.links[0].kind != TOGETHER
    return one.hops, -one.weight, not is_stated, one.entity.entity_id


def _newest(one: Neighbour) -> list[tuple[str, int]]:
    return sorted(one.documents, key=lambda pair: (-pair[1], pair[0]))[:DOCUMENTS_PER_EDGE]


def _mentioned(one: ReadDocument, entity_id: str) -> Mentioned:
    document = one.document
    count = sum(row["entity_id"] == entity_id for row in one.mentions)
    title = str(document.record.get("title") or document.path)
    passages = tuple(one.passages(entity_id, PASSAGES))
    return Mentioned(document.document_id, one.view.collection, document.path, title, count, passages)


def _best(documents: Sequence[ReadDocument], sources: Mapping[str, Entity], target: Entity) -> tuple[Link, ...]:
    """The edges between ``target`` and one of ``sources``: one that sentences state if there is any."""
    found: list[tuple[Link, ...]] = []
    for document in documents:
        for source in sorted(document.entities.keys() & sources.keys()):
            if links := document.links(source, target.entity_id):
                found.append(tuple(links))
    return min(found, key=lambda links: (links[0].kind == TOGETHER, len(links[0].citations)), default=())


def _other_end(link: Link, entity: Entity) -> Entity:
    return link.object if link.subject.entity_id == entity.entity_id else link.subject


def _may_lead(entity_type: str, through: Collection[str]) -> bool:
    return entity_type in through if through else entity_type not in NO_WAY

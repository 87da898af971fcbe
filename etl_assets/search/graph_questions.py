"""What people ask of the graph: what is said of an entity, what stands near it, how two of them are connected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from etl_assets.errors import ConfigError
from etl_assets.ledger.snapshots import CollectionView, VisibleDocument, snapshot
from etl_assets.protocols.graph import (
    DOCUMENTS_PER_ENTITY,
    DOCUMENTS_PER_HOP,
    RELATION_KINDS,
    Entity,
    Neighbour,
    RelationEdge,
    Scope,
)
from etl_assets.search.deadline import Deadline, run_all
from etl_assets.search.graph_answers import Bounds, EntityAnswer, Mentioned, Near, Nearby, Way
from etl_assets.search.links import Link, ReadDocument, read_documents, stated_link, told_apart
from etl_assets.search.model import MOST_HOPS, MOST_NEIGHBOURS, SearchPlaces
from etl_assets.search.own_words import Closeness, closeness
from etl_assets.search.sources import Confirmed, confirmed_relations, confirmed_walk, scope_of
from etl_assets.search.stated_walk import RELATIONS_PER_ENTITY, RELATIONS_PER_HOP, Met, StatedWalk, nearness

T = TypeVar("T")
Shown = tuple[CollectionView, VisibleDocument]

LONGEST_PATH = 6
DOCUMENTS_PER_EDGE = 3
"""An edge that no sentence states is told from the newest of the documents that connect its ends."""
FRONTIER = 2_000
"""How many entities of one hop a path is looked for through, those of most documents first."""
RELATED_FRONTIER = 500
"""The same for a walk over relations, of which at least some are followed of each entity."""
PASSAGES = 3
STATEMENTS = 100
"""What is stated of an entity is shown by its newest relations: so many as subject, and as many as object."""
PER_NEIGHBOUR = 20
"""So many relations to the hop before are read of a neighbour, in each direction."""
CONFIRMED = 2_000
"""So many documents that mention an entity are counted, the newest; of more it is said that there are more."""
_POOL = 200
"""So many more neighbours are read than are asked for, to bring forward those that a sentence relates."""
NO_WAY = frozenset({"date"})
"""Types that nothing is near by, nor a path through: two things of one day have nothing to do with one another."""


class GraphQuestions:
    """Questions of one tenant or collection, or of all; each is answered at one moment of the ledger.

    The graph names entities and documents, and holds the sentences that relate two of them. Every document is confirmed
    by the ledger; passages that no sentence of the graph holds are read from the lake. So a quote is never older than
    its edge.

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
                    if entity_type in (None, one.entity_type) and self._mentioning(owner, one, _POOL):
                        found.append((owner, one))
            return found

        return self._in_time(look)

    def show(self, tenant: str, entity: Entity, *, limit: int = 20) -> EntityAnswer:
        """Documents that mention it, newest first, with passages, and what sentences state of it, newest first."""
        self._look_now()
        shown = self._in_time(lambda: self._mentioning(tenant, entity, CONFIRMED + 1))
        stated = self._in_time(lambda: self._relations(tenant, [entity.entity_id], each=STATEMENTS))
        read = read_documents(self._places, shown[:limit])
        documents = tuple(_mentioned(one, entity.entity_id) for one in read)
        is_cut = any(
            sum(end(one).entity_id == entity.entity_id for one in stated) >= STATEMENTS for end in (_subject, _object)
        )
        count = min(len(shown), CONFIRMED)
        links = tuple(self._links(tenant, stated))
        return EntityAnswer(entity, tenant, count, len(shown) > CONFIRMED, documents, links, is_cut)

    def neighbours(
        self, tenant: str, entity: Entity, *, hops: int = 1, limit: int = 20, stated: bool = False,
        kinds: Collection[str] = (),
    ) -> Nearby:  # fmt: skip
        """Entities within ``hops``, nearest first, then by documents that name them in words of their own.

        Each has the edges that lead there. Of as many documents, those that a sentence relates come first, then those
        that more passages name beside it, then by id. Dates are left out. An entity two hops away has the edge from one
        that is one hop away. ``stated``: only what sentences relate is walked, and documents that relate it count;
        ``kinds``: only by relations of these kinds.

        Raises:
            ConfigError: ``hops``, ``limit`` or a kind is out of its bounds.
        """
        _check_kinds(kinds)
        if not 1 <= hops <= MOST_HOPS or not 1 <= limit <= MOST_NEIGHBOURS:
            raise ConfigError(f"neighbours: hops from 1 to {MOST_HOPS}, and limit from 1 to {MOST_NEIGHBOURS}")
        self._look_now()
        if stated or kinds:
            return self._related(tenant, entity, hops, limit, kinds)
        met = self._in_time(lambda: self._walk(tenant, [entity.entity_id], hops, limit + FRONTIER))
        reached = [one for one in met if one.entity.entity_type not in NO_WAY]
        levels: list[Mapping[str, Entity]] = [{entity.entity_id: entity}]
        for hop in range(1, hops + 1):
            levels.append({one.entity.entity_id: one.entity for one in reached if one.hops == hop})
        told: dict[str, list[Link]] = {}
        pool = reached[: limit + _POOL]
        for hop in range(1, hops + 1):
            told |= self._told(tenant, [one.entity.entity_id for one in pool if one.hops == hop], levels[hop - 1])
        close = closeness(self._places, pool, levels, lambda pairs: self._confirmed.locate(tenant, pairs))
        chosen = sorted(pool, key=lambda one: _nearness(one, close, one.entity.entity_id in told))[:limit]
        read = self._read(tenant, [one for one in chosen if one.entity.entity_id not in told])
        near = (
            Near(one.entity, one.hops, one.weight, tuple(told.get(one.entity.entity_id, ()))
                 or _together(self._of(one, read), levels[one.hops - 1], one.entity))
            for one in chosen
        )  # fmt: skip
        return Nearby(tuple(near), Bounds(hops, DOCUMENTS_PER_HOP, DOCUMENTS_PER_ENTITY, "documents"))

    def path(
        self, tenant: str, start: Entity, end: Entity, *, hops: int = LONGEST_PATH, through: Collection[str] = (),
        stated: bool = False, kinds: Collection[str] = (),
    ) -> Way:  # fmt: skip
        """A shortest way from one entity to another, edge by edge; without edges where there is none within ``hops``.

        ``through`` are the types of what may lie between; without it, all but dates. ``stated``: only over what
        sentences relate; ``kinds``: only over relations of these kinds.

        Raises:
            ConfigError: both are one entity, ``hops`` is out of its bounds, or there is no such kind.
        """
        _check_kinds(kinds)
        if start.entity_id == end.entity_id or not 1 <= hops <= LONGEST_PATH:
            raise ConfigError(f"path: give two different entities, and hops from 1 to {LONGEST_PATH}")
        self._look_now()
        if stated or kinds:
            return self._stated_path(tenant, start, end, hops, through, kinds)
        levels = self._in_time(lambda: self._levels(tenant, start, end, hops, through))
        edges: list[tuple[Link, ...]] = []
        target = end
        for before, reached in reversed([*zip(levels, levels[1:], strict=False)]):
            sources = {name: one.entity for name, one in before.items()}
            links = tuple(self._told(tenant, [target.entity_id], sources).get(target.entity_id, ()))
            if not links:
                read = self._read(tenant, [reached[target.entity_id]])
                links = _together(self._of(reached[target.entity_id], read), sources, target)
            edges.insert(0, links)
            target = _other_end(links[0], target)
        return Way(tuple(edges), Bounds(hops, DOCUMENTS_PER_HOP, DOCUMENTS_PER_ENTITY, "documents"))

    def _related(self, tenant: str, entity: Entity, hops: int, limit: int, kinds: Collection[str]) -> Nearby:
        walk = self._stated_walk(tenant, entity, kinds)
        levels = self._in_time(lambda: [*walk.levels(hops, lambda one: _may_lead(one.entity_type, ()))])
        ordered = [
            (hop, met)
            for hop, level in enumerate(levels, 1)
            for met in sorted(level.values(), key=nearness)
            if met.entity.entity_type not in NO_WAY
        ]
        near = (Near(met.entity, hop, met.weight, self._links(tenant, met.relations)) for hop, met in ordered[:limit])
        return Nearby(tuple(near), Bounds(hops, RELATIONS_PER_HOP, RELATIONS_PER_ENTITY, "relations", walk.is_cut))

    def _stated_path(
        self, tenant: str, start: Entity, end: Entity, hops: int, through: Collection[str], kinds: Collection[str]
    ) -> Way:
        walk = self._stated_walk(tenant, start, kinds)
        levels: list[Mapping[str, Met]] = []

        def search() -> None:
            for level in walk.levels(hops, lambda one: _may_lead(one.entity_type, through)):
                levels.append(level)
                if end.entity_id in level:
                    return

        self._in_time(search)
        edges: list[tuple[Link, ...]] = []
        target = end
        for level in reversed(levels if levels and end.entity_id in levels[-1] else []):
            newest = _other_end(level[target.entity_id].relations[0], target)
            over = [one for one in level[target.entity_id].relations if _other_end(one, target) == newest]
            edges.insert(0, self._links(tenant, over))
            target = newest
        return Way(tuple(edges), Bounds(hops, RELATIONS_PER_HOP, RELATIONS_PER_ENTITY, "relations", walk.is_cut))

    def _stated_walk(self, tenant: str, start: Entity, kinds: Collection[str]) -> StatedWalk:
        def ask(ids: Sequence[str], each: int) -> list[RelationEdge]:
            return self._relations(tenant, ids, kinds=kinds, each=each)

        return StatedWalk(ask, start, RELATED_FRONTIER)

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

    def _relations(
        self, tenant: str, ids: Sequence[str], *, among: Collection[str] | None = None, kinds: Collection[str] = (),
        each: int,
    ) -> list[RelationEdge]:  # fmt: skip
        def ask(scope: Scope) -> list[RelationEdge]:
            return self._places.graph.relations(scope, ids, among=among, kinds=kinds, each=each)

        return confirmed_relations(self._confirmed, tenant, ask)

    def _links(self, tenant: str, relations: Sequence[RelationEdge]) -> tuple[Link, ...]:
        """Relations of confirmed documents with their citations, a few of each statement, newest first."""
        shown = self._confirmed.locate(tenant, {(one.document_id, one.publication) for one in relations})
        found = (stated_link(one, *shown[one.document_id, one.publication]) for one in relations)
        return tuple(told_apart(found))

    def _told(self, tenant: str, ids: Sequence[str], sources: Mapping[str, Entity]) -> dict[str, list[Link]]:
        """What sentences state of each of these entities and one of ``sources``; those of the newest source."""
        if not ids:
            return {}
        found = self._in_time(lambda: self._relations(tenant, ids, among=sources, each=PER_NEIGHBOUR))
        wanted, between = set(ids), dict[str, list[RelationEdge]]()
        for one in found:
            for near, far in ((one.subject, one.object), (one.object, one.subject)):
                if near.entity_id in wanted and far.entity_id in sources:
                    mine = between.setdefault(near.entity_id, [])
                    if not mine or far.entity_id in (mine[0].subject.entity_id, mine[0].object.entity_id):
                        mine.append(one)
        return {name: [*self._links(tenant, mine)] for name, mine in between.items()}

    def _mentioning(self, tenant: str, entity: Entity, limit: int) -> list[Shown]:
        """Visible documents that mention it, newest first, of the newest ``limit`` that the graph has."""
        scope = scope_of(self._confirmed.views, tenant)
        wanted: dict[str, list[int]] = {}
        for collection, number in self._places.graph.mentioning(scope, [entity.entity_id], limit=limit):
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


def _check_kinds(kinds: Collection[str]) -> None:
    if unknown := sorted(set(kinds) - set(RELATION_KINDS)):
        raise ConfigError(f"no relation {', '.join(unknown)}; known are {', '.join(RELATION_KINDS)}")


def _nearness(
    one: Neighbour, close: Mapping[str, Closeness], is_stated: bool
) -> tuple[int, float, int, bool, int, str]:
    name = one.entity.entity_id
    mine = close.get(name, Closeness(0.0, 0))
    return one.hops, -round(mine.own, 6), -one.weight, not is_stated, -mine.together, name


def _newest(one: Neighbour) -> list[tuple[str, int]]:
    return sorted(one.documents, key=lambda pair: (-pair[1], pair[0]))[:DOCUMENTS_PER_EDGE]


def _mentioned(one: ReadDocument, entity_id: str) -> Mentioned:
    document = one.document
    count = sum(row["entity_id"] == entity_id for row in one.mentions)
    title = str(document.record.get("title") or document.path)
    passages = tuple(one.passages(entity_id, PASSAGES))
    return Mentioned(document.document_id, one.view.collection, document.path, title, count, passages)


def _together(documents: Sequence[ReadDocument], sources: Mapping[str, Entity], target: Entity) -> tuple[Link, ...]:
    """That one document mentions ``target`` and one of ``sources``: in one passage if there is any."""
    found: list[tuple[Link, ...]] = []
    for document in documents:
        for source in sorted(document.entities.keys() & sources.keys()):
            if links := document.together(source, target.entity_id):
                found.append(tuple(links))
    return min(found, key=lambda links: len(links[0].citations), default=())


def _subject(one: Link | RelationEdge) -> Entity:
    return one.subject


def _object(one: Link | RelationEdge) -> Entity:
    return one.object


def _other_end(link: Link | RelationEdge, entity: Entity) -> Entity:
    return link.object if link.subject.entity_id == entity.entity_id else link.subject


def _may_lead(entity_type: str, through: Collection[str]) -> bool:
    return entity_type in through if through else entity_type not in NO_WAY

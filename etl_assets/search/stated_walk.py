"""Walking the relations that sentences state, hop by hop: what is reached, and by which of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from etl_assets.protocols.graph import Entity, RelationEdge

RELATIONS_PER_HOP = 2_000
"""How many relations one hop follows in each direction, shared evenly among the entities it starts from."""

RELATIONS_PER_ENTITY = 20
"""Every entity of a hop is followed through at least this many of its newest relations in each direction."""

Ask = Callable[[Sequence[str], int], Sequence[RelationEdge]]
"""(entities, how many of each) -> their newest relations, newest first."""


@dataclass(slots=True)
class Met:
    """An entity, and the relations between it and entities of the hop before, newest first."""

    entity: Entity
    relations: list[RelationEdge] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """How many documents state these relations."""
        return len({(one.document_id, one.publication) for one in self.relations})


@dataclass(slots=True)
class StatedWalk:
    """A walk from one entity. ``is_cut``: an entity has more relations than were followed, or a hop more entities."""

    ask: Ask
    start: Entity
    frontier: int
    is_cut: bool = False

    def levels(self, hops: int, may_lead: Callable[[Entity], bool]) -> Iterator[Mapping[str, Met]]:
        """What is reached on each hop, by id; at most ``frontier`` of it that ``may_lead`` is walked on from.

        Those come first that most documents relate, then by id.
        """
        seen, sources = {self.start.entity_id}, [self.start.entity_id]
        for _ in range(hops):
            if not sources:
                return
            self.is_cut = self.is_cut or len(sources) > self.frontier
            sources = sources[: self.frontier]
            fresh = self._hop(sources, seen)
            yield fresh
            seen.update(fresh)
            open_to = sorted((met for met in fresh.values() if may_lead(met.entity)), key=nearness)
            sources = [met.entity.entity_id for met in open_to]

    def _hop(self, sources: Sequence[str], seen: Collection[str]) -> dict[str, Met]:
        each = max(RELATIONS_PER_HOP // len(sources), RELATIONS_PER_ENTITY)
        found: dict[str, Met] = {}
        followed: Counter[tuple[str, bool]] = Counter()
        before = frozenset(sources)
        for one in self.ask(sources, each):
            for near, far, is_subject in ((one.subject, one.object, True), (one.object, one.subject, False)):
                if near.entity_id in before:
                    followed[near.entity_id, is_subject] += 1
                    if far.entity_id not in seen:
                        found.setdefault(far.entity_id, Met(far)).relations.append(one)
        self.is_cut = self.is_cut or any(count >= each for count in followed.values())
        return found


def nearness(met: Met) -> tuple[int, str]:
    """Sorts those first that most documents relate, then by id."""
    return -met.weight, met.entity.entity_id

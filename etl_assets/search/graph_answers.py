"""What the graph answers people: an entity with what is said of it, what stands near it, a way between two."""

from __future__ import annotations

from dataclasses import dataclass

from etl_assets.protocols.graph import Entity
from etl_assets.search.links import Citation, Link, entity_json
from etl_assets.stages.spec import Json


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
    """What visible documents say of one entity. ``documents`` are the newest of ``document_count`` that mention it.

    ``has_more``: more mention it, and were not counted. ``links`` are the relations that sentences state of it, newest
    first; ``is_cut``: there are more of them.
    """

    entity: Entity
    tenant: str
    document_count: int
    has_more: bool
    documents: tuple[Mentioned, ...]
    links: tuple[Link, ...]
    is_cut: bool

    def as_json(self) -> dict[str, Json]:
        """Plain values."""
        return entity_json(self.entity) | {
            "tenant": self.tenant,
            "document_count": self.document_count,
            "has_more": self.has_more,
            "documents": [one.as_json() for one in self.documents],
            "relations": [one.as_json() for one in self.links],
            "is_cut": self.is_cut,
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


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far was looked: ``hops``, and in each of them the newest ``per_hop`` of ``followed``, shared by its entities.

    ``followed`` is ``documents``, or ``relations`` (in each direction) where only those are walked. ``per_entity`` of
    each entity are followed however many these are. ``is_cut``: there were more relations, or entities, on the way.
    """

    hops: int
    per_hop: int
    per_entity: int
    followed: str
    is_cut: bool = False

    def as_json(self) -> dict[str, Json]:
        """Every field, under its name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        hops = "1 hop" if self.hops == 1 else f"{self.hops} hops"
        more = "; some on the way have more" if self.is_cut else ""
        followed = f"the newest {self.per_hop:,} {self.followed}, or {self.per_entity} of each entity"
        return f"looked within {hops}, on each through {followed}, at most{more}"


@dataclass(frozen=True, slots=True)
class Nearby:
    """What stands near an entity, nearest first, and how far was looked."""

    near: tuple[Near, ...]
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Way:
    """A shortest way between two entities, for each step the edges between its ends; no ``edges`` where none is."""

    edges: tuple[tuple[Link, ...], ...]
    bounds: Bounds

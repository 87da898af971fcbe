"""What one hop of a walk meets, whatever store it is read from: entities, and the documents that connect them."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from etl_assets.protocols.graph import Entity, Neighbour

Key = TypeVar("Key", int, str)
Met = TypeVar("Met", bound=Hashable)


@dataclass(frozen=True, slots=True)
class HopDocument(Generic[Key]):
    """A visible document on the way: its key in the store, its publication and its id."""

    key: Key
    publication: int
    document_id: str


@dataclass(slots=True)
class Reached:
    """An entity met during one hop, and the documents that connect it. ``stated_by`` is what its name is taken from."""

    entity: Entity
    stated_by: tuple[int, str, str, str]
    documents: set[tuple[str, int]]


def newest_first(documents: Iterable[HopDocument[Key]]) -> list[HopDocument[Key]]:
    """Each document once, by publication, newest first, then by id."""
    unique = {document.key: document for document in documents}
    return sorted(unique.values(), key=lambda document: (-document.publication, document.document_id, document.key))


def meet(reached: dict[Met, Reached], key: Met, entity: Entity, document: HopDocument[Key]) -> None:
    """Enter that a document mentions an entity, which bears the name that its newest document gives it."""
    stated_by = (document.publication, document.document_id, entity.entity_type, entity.name)
    met = reached.get(key)
    if met is None:
        met = reached[key] = Reached(entity, stated_by, set())
    elif stated_by > met.stated_by:
        met.entity, met.stated_by = entity, stated_by
    met.documents.add((document.document_id, document.publication))


def ranked(reached: Iterable[Reached], *, hop: int) -> list[Neighbour]:
    """As neighbours, those of most documents first, then by id."""
    found = [Neighbour(r.entity, hop, len(r.documents), tuple(sorted(r.documents))) for r in reached]
    return sorted(found, key=lambda neighbour: (-neighbour.weight, neighbour.entity.entity_id))

"""How the graph in Neo4j is walked: from entities to the newest visible documents that mention them, and on.

Everything runs inside a transaction that ``neo4j_graph.py`` opened; the bounds are in ``protocols/graph.py``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar, cast

from etl_assets.backends.neo4j_cypher import DOCUMENT_ENTITIES, ENTITY_DOCUMENTS
from etl_assets.protocols.graph import (
    DOCUMENTS_PER_ENTITY,
    DOCUMENTS_PER_HOP,
    EDGES_PER_HOP,
    Entity,
    Neighbour,
)

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

Item = TypeVar("Item")

ROWS_PER_STATEMENT = 5_000
"""Rows handed to one UNWIND; a transaction may hold several."""

DOCUMENTS_PER_READ = 200
"""Documents whose edges are read in one statement."""


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A visible document on the way: its node and its publication."""

    key: str
    publication: int
    document_id: str


@dataclass(slots=True)
class _Reached:
    """An entity met during one hop, and the documents that connect it."""

    entity: Entity
    stated_by: tuple[int, str, str, str]
    documents: set[tuple[str, int]]


def batches(items: Sequence[Item], size: int = ROWS_PER_STATEMENT) -> Iterator[list[Item]]:
    """``items``, ``size`` at a time."""
    for start in range(0, len(items), size):
        yield [*items[start : start + size]]


def newest_first(documents: Iterable[FoundDocument]) -> list[FoundDocument]:
    """Each document once, by publication, newest first, then by id."""
    unique = {document.key: document for document in documents}
    return sorted(unique.values(), key=lambda document: (-document.publication, document.document_id, document.key))


def walked(
    tx: "ManagedTransaction", visible: Mapping[str, object], starts: Sequence[str], hops: int, limit: int
) -> list[Neighbour]:
    """Entities within ``hops`` of those whose keys are ``starts``; see ``KnowledgeGraph.neighbours``."""
    found: list[Neighbour] = []
    frontier, seen = list(starts), set(starts)
    for hop in range(1, hops + 1):
        # Nearer entities come first, so once the limit is reached no further hop can add a row.
        if not frontier or len(found) >= limit:
            break
        share = max(DOCUMENTS_PER_HOP // len(frontier), DOCUMENTS_PER_ENTITY)
        documents: list[FoundDocument] = []
        for keys in batches(frontier):
            records = tx.run(ENTITY_DOCUMENTS, dict(visible), keys=keys, share=share)
            documents += [FoundDocument(*record.values()) for record in records]
        reached = entities_in(tx, visible, newest_first(documents))
        fresh = {key: entity for key, entity in reached.items() if key not in seen}
        found += ranked(fresh.values(), hop=hop)
        frontier = sorted(fresh)
        seen.update(fresh)
    return found


def entities_in(
    tx: "ManagedTransaction", visible: Mapping[str, object], documents: Sequence[FoundDocument]
) -> dict[str, _Reached]:
    """What these documents mention, by key of the entity, until EDGES_PER_HOP is passed."""
    reached: dict[str, _Reached] = {}
    budget = EDGES_PER_HOP
    for batch in batches(documents, DOCUMENTS_PER_READ):
        rows = [
            cast("tuple[str, str, str, str, str]", tuple(record.values()))
            for record in tx.run(DOCUMENT_ENTITIES, dict(visible), keys=[document.key for document in batch])
        ]
        rows.sort(key=lambda row: row[0])
        by_document = {key: [*group] for key, group in groupby(rows, key=lambda row: row[0])}
        for document in batch:
            edges = by_document.get(document.key, [])
            for _, key, entity_id, entity_type, name in edges:
                _meet(reached, key, Entity(entity_id, entity_type, name), document)
            budget -= len(edges)
            if budget <= 0:
                return reached
    return reached


def _meet(reached: dict[str, _Reached], key: str, entity: Entity, document: FoundDocument) -> None:
    stated_by = (document.publication, document.document_id, entity.entity_type, entity.name)
    met = reached.get(key)
    if met is None:
        met = reached[key] = _Reached(entity, stated_by, set())
    elif stated_by > met.stated_by:
        met.entity, met.stated_by = entity, stated_by
    met.documents.add((document.document_id, document.publication))


def ranked(reached: Iterable[_Reached], *, hop: int) -> list[Neighbour]:
    """As neighbours, those of most documents first, then by id."""
    found = [Neighbour(r.entity, hop, len(r.documents), tuple(sorted(r.documents))) for r in reached]
    return sorted(found, key=lambda neighbour: (-neighbour.weight, neighbour.entity.entity_id))

"""How the graph in Neo4j is walked: from entities to the newest visible documents that mention them, and on.

Everything runs inside a transaction that ``neo4j_graph.py`` opened; the bounds are in ``protocols/graph.py``.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, cast

from etl_assets.backends.graph_hops import HopDocument, Reached, meet, newest_first, ranked
from etl_assets.backends.neo4j_cypher import DOCUMENT_ENTITIES, ENTITY_DOCUMENTS
from etl_assets.ledger.outputs import batches
from etl_assets.protocols.graph import (
    DOCUMENTS_PER_ENTITY,
    DOCUMENTS_PER_HOP,
    EDGES_PER_HOP,
    Entity,
    Neighbour,
)

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

ROWS_PER_STATEMENT = 5_000
"""Rows handed to one UNWIND; a transaction may hold several."""

DOCUMENTS_PER_READ = 200
"""Documents whose edges are read in one statement."""


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
        documents: list[HopDocument[str]] = []
        for keys in batches(frontier, ROWS_PER_STATEMENT):
            records = tx.run(ENTITY_DOCUMENTS, dict(visible), keys=keys, share=share)
            documents += [HopDocument(*record.values()) for record in records]
        reached = entities_in(tx, visible, newest_first(documents))
        fresh = {key: entity for key, entity in reached.items() if key not in seen}
        found += ranked(fresh.values(), hop=hop)
        frontier = sorted(fresh)
        seen.update(fresh)
    return found


def entities_in(
    tx: "ManagedTransaction", visible: Mapping[str, object], documents: Sequence[HopDocument[str]]
) -> dict[str, Reached]:
    """What these documents mention, by key of the entity, until EDGES_PER_HOP is passed."""
    reached: dict[str, Reached] = {}
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
                meet(reached, key, Entity(entity_id, entity_type, name), document)
            budget -= len(edges)
            if budget <= 0:
                return reached
    return reached

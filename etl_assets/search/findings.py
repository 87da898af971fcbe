"""What was found in one published document: its labels, the entities that it names, and what it says of them."""

from __future__ import annotations

from typing import Any

from etl_assets.ledger.database import sequence
from etl_assets.ledger.snapshots import visible_documents
from etl_assets.search.model import SearchPlaces
from etl_assets.search.published_rows import Row, published_rows

Record = dict[str, Any]

_LABEL = ("kind", "label", "rank", "score", "accepted", "evidence", "classifier")
_MENTION = ("entity_id", "entity_type", "name", "confidence", "page", "start", "end", "method")
_RELATION = (
    "kind", "subject_id", "subject_name", "object_id", "object_name", "negated", "certainty", "confidence", "page",
    "start", "end", "sentence",
)  # fmt: skip


def document_findings(places: SearchPlaces, generation_id: int, publication: int) -> dict[str, list[Record]]:
    """``labels`` that were accepted, likeliest first, with the sentences behind each; ``entities`` by how often they
    are named, with the first place; ``relations`` in reading order. All empty when it is not published any more.

    Raises:
        TransientError: rows are gone from the lake.
    """
    with places.ledger.reading() as connection:
        now = sequence(connection)
    shown = visible_documents(places.ledger, generation_id, [publication], now).values()

    def rows(stage: str, columns: tuple[str, ...]) -> list[Row]:
        return published_rows(places, shown, stage, columns).get(publication, [])

    labels = [dict(row) for row in rows("classifications", _LABEL) if row["accepted"]]
    relations = [dict(row) for row in rows("relations", _RELATION)]
    return {
        "labels": sorted(labels, key=lambda row: (row["kind"], -row["score"], row["label"])),
        "entities": _entities(rows("mentions", _MENTION)),
        "relations": sorted(relations, key=lambda row: (row["page"], row["start"], row["subject_id"])),
    }


def _entities(mentions: list[Row]) -> list[Record]:
    found: dict[str, Record] = {}
    for row in sorted(mentions, key=lambda row: (row["page"], row["start"])):
        first = found.setdefault(row["entity_id"], dict(row) | {"count": 0})
        first["count"] += 1
        first["confidence"] = max(first["confidence"], row["confidence"])
    return sorted(found.values(), key=lambda one: (-one["count"], one["entity_id"]))

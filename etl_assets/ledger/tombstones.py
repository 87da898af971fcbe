"""Versions that were deleted and whose bytes may still lie under their key: they are not taken in again.

A tombstone ends when its key was seen absent or with other bytes. Each is kept beside the originals as well, outside
what a backup of the ledger holds, so that a ledger of before the deletion does not bring the document back.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import clock, upsert
from etl_assets.ledger.outputs import batches

_IN_LIST = 5000


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One deleted version; ``version`` is "" for a key that never could be read. ``fingerprint`` is of its key when
    it was last seen, "" when that is not known."""

    document_id: str
    version: str
    tenant: str
    collection: str
    fingerprint: str


def enter(connection: Connection, stones: Sequence[Tombstone]) -> None:
    """Let these versions stay away, in place of what stood for the same documents."""
    at = clock(connection)
    rows = [{name: getattr(one, name) for name in Tombstone.__dataclass_fields__} | {"since": at} for one in stones]
    upsert(connection, schema.tombstones, rows)


def standing(connection: Connection, document_ids: Sequence[str]) -> dict[str, Tombstone]:
    """The tombstones of these documents, by document id."""
    table = schema.tombstones
    found: dict[str, Tombstone] = {}
    for part in batches(document_ids, _IN_LIST):
        found.update(
            (row[0], Tombstone(*row)) for row in connection.execute(_all().where(table.c.document_id.in_(part)))
        )
    return found


def of_collection(connection: Connection, tenant: str, collection: str) -> dict[str, Tombstone]:
    """The tombstones of a collection, by document id."""
    table = schema.tombstones
    query = _all().where(table.c.tenant == tenant, table.c.collection == collection)
    return {row[0]: Tombstone(*row) for row in connection.execute(query)}


def renew(connection: Connection, document_id: str, fingerprint: str) -> None:
    """Note that the key was seen again with the bytes that were deleted."""
    table = schema.tombstones
    connection.execute(update(table).where(table.c.document_id == document_id).values(fingerprint=fingerprint))


def end(connection: Connection, document_ids: Collection[str]) -> None:
    """Let these tombstones go: their keys were seen absent, or with other bytes."""
    table = schema.tombstones
    for part in batches(sorted(document_ids), _IN_LIST):
        connection.execute(delete(table).where(table.c.document_id.in_(part)))


def _all() -> Select[Any]:
    table = schema.tombstones
    return select(*(table.c[name] for name in Tombstone.__dataclass_fields__))

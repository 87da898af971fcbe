"""Versions that were deleted and whose bytes may still lie under their key: they are not taken in again.

A tombstone keeps its version away until its key was seen absent; then the same bytes are a new arrival. It ends with
the next arrival, and stays until then, for as long as backups are kept: each lies beside the originals as well, outside
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


ABSENT = "absent"
"""In place of a fingerprint, for a key that was seen absent: no store gives such a one."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One deleted version; ``version`` is "" for a key that never could be read. ``fingerprint`` is of its key when
    it was last seen, "" when that is not known, and ``ABSENT`` when it was not there."""

    document_id: str
    version: str
    tenant: str
    collection: str
    fingerprint: str

    @property
    def keeps_away(self) -> str | None:
        """The version that must not come back; ``None`` once the key was seen absent."""
        return None if self.fingerprint == ABSENT else self.version


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


def see_absent(connection: Connection, document_ids: Collection[str]) -> None:
    """Note that these keys are gone: whatever comes under them is a new arrival."""
    table = schema.tombstones
    for part in batches(sorted(document_ids), _IN_LIST):
        connection.execute(update(table).where(table.c.document_id.in_(part)).values(fingerprint=ABSENT))


def forget_old(connection: Connection, tenant: str, collection: str, days: float) -> list[Tombstone]:
    """Let those go of a collection whose keys are gone and that were entered over ``days`` ago; which they were."""
    table = schema.tombstones
    old = (
        table.c.tenant == tenant, table.c.collection == collection, table.c.fingerprint == ABSENT,
        table.c.since <= clock(connection) - days * 86_400,
    )  # fmt: skip
    found = [Tombstone(*row) for row in connection.execute(_all().where(*old))]
    end(connection, [one.document_id for one in found])
    return found


def end(connection: Connection, document_ids: Collection[str]) -> None:
    """Let these tombstones go: something arrived under their keys."""
    table = schema.tombstones
    for part in batches(sorted(document_ids), _IN_LIST):
        connection.execute(delete(table).where(table.c.document_id.in_(part)))


def _all() -> Select[Any]:
    table = schema.tombstones
    return select(*(table.c[name] for name in Tombstone.__dataclass_fields__))

"""Keys that a sensor saw to differ from the ledger, until a run has looked at them: a durable queue, one row a key.

A row is a hint and nothing more: the run looks the key up in the store, so one too many does no harm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, func, or_, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import draw, upsert

GONE = ""
"""In place of a fingerprint, for a key that was not there."""
_AT_ONCE = 400


@dataclass(frozen=True, slots=True)
class Touched:
    """One key to look at. ``fingerprint`` is what was seen of it. ``stamp`` tells one sighting from the next."""

    document_id: str
    partition: str
    path: str
    fingerprint: str
    stamp: int = 0


def touch(connection: Connection, seen: Sequence[Touched]) -> None:
    """Enter these keys. One that is there already with the same fingerprint stays as it is."""
    if not seen:
        return
    # The counter is held to the commit, so nobody reads a higher stamp before a lower one is there.
    stamp = draw(connection, "touched")
    rows = [
        {
            "document_id": one.document_id, "partition": one.partition, "path": one.path,
            "fingerprint": one.fingerprint, "stamp": stamp,
        }
        for one in sorted(seen, key=lambda one: one.document_id)
    ]  # fmt: skip
    upsert(connection, schema.touched, rows, differs="fingerprint")


def touched(connection: Connection, partition: str, *, limit: int | None = None) -> list[Touched]:
    """The keys of a partition, the oldest first."""
    table = schema.touched
    columns = [table.c[name] for name in Touched.__dataclass_fields__]
    query = select(*columns).where(table.c.partition == partition).order_by(table.c.stamp, table.c.document_id)
    return [Touched(*row) for row in connection.execute(query.limit(limit))]


def digests(connection: Connection) -> Mapping[str, str]:
    """By partition, something that differs whenever other keys are to be looked at than before."""
    table = schema.touched
    query = select(table.c.partition, func.count(), func.max(table.c.stamp)).group_by(table.c.partition)
    return {row[0]: f"touched-{row[1]}-{row[2]}" for row in connection.execute(query)}


def untouch(connection: Connection, looked_at: Sequence[Touched]) -> None:
    """Take out keys that were looked at; one that was touched again since stays."""
    table = schema.touched
    for start in range(0, len(looked_at), _AT_ONCE):
        rows = looked_at[start : start + _AT_ONCE]
        exactly = or_(*(and_(table.c.document_id == one.document_id, table.c.stamp == one.stamp) for one in rows))
        connection.execute(delete(table).where(exactly))

"""Keys that a sensor saw to differ from the ledger, until a run has looked at them: a durable queue, one row a key.

A row is a hint and nothing more: the run looks the key up in the store, so one too many does no harm.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, exists, func, or_, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import draw, upsert
from etl_assets.ledger.quarantine import RAW_STAGE

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


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many keys of a partition are to be looked at, and the newest stamp among them."""

    count: int
    stamp: int

    @property
    def digest(self) -> str:
        """Differs whenever other keys are to be looked at than before."""
        return f"touched-{self.count}-{self.stamp}"


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


def waiting(connection: Connection, only: Collection[str] | None = None) -> Mapping[str, Waiting]:
    """What waits in each partition, or in each of ``only`` these; none where nothing does."""
    table = schema.touched
    query = select(table.c.partition, func.count(), func.max(table.c.stamp)).group_by(table.c.partition)
    if only is not None:
        query = query.where(table.c.partition.in_(sorted(only)))
    return {row[0]: Waiting(row[1], row[2]) for row in connection.execute(query)}


def drop_settled(connection: Connection, partitions: Collection[str]) -> None:
    """Take out what the ledger knows by now as it was seen: a run that was at work has looked at it already."""
    table, known, held = schema.touched, schema.objects, schema.quarantine
    present = select(1).where(known.c.document_id == table.c.document_id, known.c.end_seq.is_(None))
    quarantined = select(1).where(held.c.document_id == table.c.document_id, held.c.stage == RAW_STAGE)
    # What is held and to be tried again has an empty fingerprint, too: that is no key that is gone.
    is_settled = or_(
        exists(present.where(known.c.fingerprint == table.c.fingerprint)),
        and_(table.c.fingerprint != GONE, exists(quarantined.where(held.c.fingerprint == table.c.fingerprint))),
        and_(table.c.fingerprint == GONE, ~exists(present), ~exists(quarantined)),
    )
    connection.execute(delete(table).where(table.c.partition.in_(sorted(partitions)), is_settled))


def untouch_until(connection: Connection, partition: str, stamp: int) -> None:
    """Take out the keys of a partition that were touched no later than ``stamp``: it was listed since."""
    table = schema.touched
    connection.execute(delete(table).where(table.c.partition == partition, table.c.stamp <= stamp))


def untouch(connection: Connection, looked_at: Sequence[Touched]) -> None:
    """Take out keys that were looked at; one that was touched again since stays."""
    table = schema.touched
    for start in range(0, len(looked_at), _AT_ONCE):
        rows = looked_at[start : start + _AT_ONCE]
        exactly = or_(*(and_(table.c.document_id == one.document_id, table.c.stamp == one.stamp) for one in rows))
        connection.execute(delete(table).where(exactly))

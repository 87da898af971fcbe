"""Keys that differ from the ledger and that an update mode keeps out, as the last look found: for people."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, clock, upsert
from etl_assets.ledger.outputs import batches

ADDED, CHANGED, REMOVED = "added", "changed", "removed"

_IN_LIST = 5000


@dataclass(frozen=True, slots=True)
class HeldArrival:
    """One key; ``change`` is one of the three above."""

    document_id: str
    cid: int
    partition: str
    path: str
    change: str


def held_arrivals(connection: Connection, partition: str) -> dict[str, HeldArrival]:
    """What is kept out of a partition, by document id."""
    table = schema.held_arrivals
    columns = [table.c[name] for name in HeldArrival.__dataclass_fields__]
    rows = connection.execute(select(*columns).where(table.c.partition == partition))
    return {row[0]: HeldArrival(*row) for row in rows}


def keep_out(ledger: Ledger, partitions: Collection[str], held: Sequence[HeldArrival]) -> None:
    """After a look at every key of these partitions: this is what is kept out of them, and nothing else."""
    with ledger.reading() as connection:
        known = {key: one for name in partitions for key, one in held_arrivals(connection, name).items()}
    now = {one.document_id: one for one in held}
    _write(ledger, gone=known.keys() - now.keys(), held={key: one for key, one in now.items() if known.get(key) != one})


def keep_out_some(ledger: Ledger, looked_at: Collection[str], held: Sequence[HeldArrival]) -> None:
    """After a look at these documents' keys: of them, this is what is kept out."""
    ids = sorted(looked_at)
    table, known = schema.held_arrivals, dict[str, HeldArrival]()
    columns = [table.c[name] for name in HeldArrival.__dataclass_fields__]
    with ledger.reading() as connection:
        for part in batches(ids, _IN_LIST):
            rows = connection.execute(select(*columns).where(table.c.document_id.in_(part)))
            known.update((row[0], HeldArrival(*row)) for row in rows)
    now = {one.document_id: one for one in held}
    _write(ledger, gone=known.keys() - now.keys(), held={key: one for key, one in now.items() if known.get(key) != one})


def _write(ledger: Ledger, *, gone: Collection[str], held: Mapping[str, HeldArrival]) -> None:
    if not gone and not held:
        return
    table = schema.held_arrivals
    with ledger.writing() as connection:
        at = clock(connection)
        for part in batches(sorted(gone), _IN_LIST):
            connection.execute(delete(table).where(table.c.document_id.in_(part)))
        rows = [asdict(held[key]) | {"since": at} for key in sorted(held)]
        upsert(connection, table, rows, differs="change")

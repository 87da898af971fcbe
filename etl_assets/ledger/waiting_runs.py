"""Runs that a process has taken on and not begun: everybody sees them, and may cancel, pause or reorder them.

Whether that process is alive is told by its lease on the batch, as with partitions.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, clock
from etl_assets.ledger.leases import Lease, acquire, discard_dead, living_holders
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.runs import CANCELED, DIED, FAILED, LOST, WAITING

_PREFIX = "batch/"
_IN_LIST = 5000


def hold_batch(ledger: Ledger, batch: str, ttl_s: float) -> Lease:
    """The lease of a batch that begins; what batches of dead processes left is closed."""
    discard_dead(ledger, _PREFIX)
    close_abandoned(ledger)
    return acquire(ledger, _PREFIX + batch, holder=batch, ttl_s=ttl_s)


def enter(connection: Connection, batch: str, source: str, runs: Sequence[tuple[str, str, int | None]]) -> None:
    """Enter (run id, partition, priority) of runs that wait."""
    at = clock(connection)
    rows: list[dict[str, Any]] = [
        {
            "run_id": run_id, "partition": partition, "state": WAITING, "started_at": at, "ended_at": None,
            "report": {}, "source": source, "batch": batch, "priority": priority,
        }
        for run_id, partition, priority in runs
    ]  # fmt: skip
    connection.execute(insert(schema.runs), rows)


def waiting(connection: Connection, batch: str) -> set[str]:
    """Ids of the runs of a batch that were neither begun nor canceled."""
    table = schema.runs
    return set(connection.scalars(select(table.c.run_id).where(table.c.batch == batch, table.c.state == WAITING)))


def give_up(connection: Connection, run_ids: Sequence[str], *, error: str | None) -> None:
    """Close runs that never began: as failed, or as canceled where there is no error."""
    table = schema.runs
    values = {"state": FAILED if error else CANCELED, "ended_at": clock(connection)}
    report = {"report": {"error": error}} if error else {}
    for part in batches(run_ids, _IN_LIST):
        mine = (table.c.run_id.in_(part), table.c.state == WAITING)
        connection.execute(update(table).where(*mine).values(**values, **report))


def withdraw(connection: Connection, run_ids: Sequence[str]) -> None:
    """Remove runs that never began since they are paused: what they would have done is asked for again."""
    table = schema.runs
    for part in batches(run_ids, _IN_LIST):
        connection.execute(delete(table).where(table.c.run_id.in_(part), table.c.state == WAITING))


def close_abandoned(ledger: Ledger) -> None:
    """Close waiting runs of batches whose process died."""
    table = schema.runs
    with ledger.reading() as connection:
        batches = list(connection.scalars(select(table.c.batch).where(table.c.state == WAITING).distinct()))
    alive = living_holders(ledger, [_PREFIX + one for one in batches])
    dead = [one for one in batches if _PREFIX + one not in alive]
    if not dead:
        return
    with ledger.writing() as connection:
        mine = (table.c.batch.in_(dead), table.c.state == WAITING)
        values = {"state": LOST, "ended_at": clock(connection), "report": {"error": DIED}}
        connection.execute(update(table).where(*mine).values(**values))

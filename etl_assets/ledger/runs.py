"""Runs: who worked on which partition, when, and with what result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, clock


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of one partition. ``state`` is ``started``, ``succeeded`` or ``failed``; times are Unix seconds UTC."""

    run_id: str
    partition: str
    state: str
    started_at: float
    ended_at: float | None
    report: Mapping[str, Any]


def begin_run(connection: Connection, run_id: str, partition: str) -> None:
    """Enter a run, or enter it anew when the same run comes back to the partition."""
    table = schema.runs
    connection.execute(delete(table).where(table.c.run_id == run_id, table.c.partition == partition))
    row: dict[str, Any] = {"run_id": run_id, "partition": partition, "state": "started", "ended_at": None, "report": {}}
    connection.execute(insert(table), row | {"started_at": clock(connection)})


def end_run(connection: Connection, run_id: str, partition: str, state: str, report: Mapping[str, Any]) -> None:
    """Enter how a run ended."""
    table = schema.runs
    connection.execute(
        update(table)
        .where(table.c.run_id == run_id, table.c.partition == partition)
        .values(state=state, ended_at=clock(connection), report=dict(report))
    )


def last_runs(ledger: Ledger) -> dict[str, RunRow]:
    """The latest run of each partition, by partition key."""
    table = schema.runs
    columns = [table.c[name] for name in RunRow.__dataclass_fields__]
    with ledger.reading() as connection:
        rows = connection.execute(select(*columns).order_by(table.c.started_at))
        return {row.partition: RunRow(*row) for row in rows}

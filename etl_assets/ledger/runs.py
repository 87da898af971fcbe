"""Runs: who worked on which partition, when, and with what result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

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
    """Enter a run, or that it comes back to the partition: by another process of it, for another step."""
    table = schema.runs
    back = (
        update(table)
        .where(table.c.run_id == run_id, table.c.partition == partition)
        .values(state="started", ended_at=None)
    )
    if connection.execute(back).rowcount == 0:
        row: dict[str, Any] = {"run_id": run_id, "partition": partition, "state": "started", "ended_at": None}
        connection.execute(insert(table), row | {"report": {}, "started_at": clock(connection)})


def end_run(
    connection: Connection, run_id: str, partition: str, report: Mapping[str, Any], *,
    error: str | None = None, step: str | None = None, others: bool = False,
) -> None:  # fmt: skip
    """Enter how a run, or the process of one step of it, ended: its report is added to what other processes reported.

    A run has failed as long as a step of it has: ``step`` is where ``error`` happened, and a later attempt of that
    step, whose report is here, takes it back. With ``others`` the run goes on in other processes.
    """
    table = schema.runs
    mine = (table.c.run_id == run_id, table.c.partition == partition)
    before = connection.scalar(select(table.c.report).where(*mine).with_for_update()) or {}
    merged = {**before, **report}
    if error is not None:
        merged |= {"error": error, "failed_step": step}
    elif before.get("failed_step") is None or before["failed_step"] in report:
        merged.pop("error", None)
        merged.pop("failed_step", None)
    state = "started" if others else "failed" if "error" in merged else "succeeded"
    ended = None if others else clock(connection)
    connection.execute(update(table).where(*mine).values(state=state, ended_at=ended, report=merged))


def last_runs(ledger: Ledger) -> dict[str, RunRow]:
    """The latest run of each partition, by partition key."""
    table = schema.runs
    columns = [table.c[name] for name in RunRow.__dataclass_fields__]
    with ledger.reading() as connection:
        rows = connection.execute(select(*columns).order_by(table.c.started_at))
        return {row.partition: RunRow(*row) for row in rows}

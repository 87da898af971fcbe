"""Runs: who works on which partition, since when, how far, and with what result; and whether one shall stop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from etl_assets.errors import PermanentError
from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, clock

WAITING, STARTED, SUCCEEDED, FAILED, CANCELED, LOST = (
    "waiting", "started", "succeeded", "failed", "canceled", "lost",
)  # fmt: skip
"""States of a run. ``waiting`` has not begun; ``lost`` is one whose process died."""


class RunCanceled(PermanentError):
    """A person asked the run to stop. What it had finished is kept; the next run of the partition goes on."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for a run: ``source`` such as ``sync`` or a sensor's name, and what it was asked for together with."""

    source: str | None = None
    batch: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of one partition. ``state`` is one of those above; times are Unix seconds UTC."""

    run_id: str
    partition: str
    state: str
    started_at: float
    ended_at: float | None
    report: Mapping[str, Any]


def begin_run(connection: Connection, run_id: str, partition: str, origin: Origin | None = None) -> None:
    """Enter a run, or that it comes back to the partition: by another process of it, for another step.

    The caller has the partition's lease: any other run that is still entered as started there has died.

    Raises:
        RunCanceled: somebody cancelled it while it waited.
    """
    table = schema.runs
    mine = (table.c.run_id == run_id, table.c.partition == partition)
    _close_lost(connection, run_id, partition)
    before = connection.execute(select(table.c.state, table.c.cancel_at).where(*mine)).one_or_none()
    if before is not None and before.cancel_at is not None:
        raise canceled(run_id, partition)
    if before is None:
        row: dict[str, Any] = {"run_id": run_id, "partition": partition, "state": STARTED, "ended_at": None}
        who = origin or Origin()
        row |= {"source": who.source, "batch": who.batch, "priority": who.priority}
        connection.execute(insert(table), row | {"report": {}, "started_at": clock(connection)})
        return
    started = {"started_at": clock(connection)} if before.state == WAITING else {}
    connection.execute(update(table).where(*mine).values(state=STARTED, ended_at=None, **started))


def end_run(
    connection: Connection, run_id: str, partition: str, report: Mapping[str, Any], *,
    error: str | None = None, step: str | None = None, others: bool = False, was_canceled: bool = False,
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
    state = CANCELED if was_canceled else FAILED if "error" in merged else SUCCEEDED
    ended = None if others else clock(connection)
    values = {"state": STARTED if others else state, "ended_at": ended, "report": merged, "progress": None}
    connection.execute(update(table).where(*mine).values(**values))


def note_progress(connection: Connection, run_id: str, partition: str, progress: Mapping[str, Any]) -> bool:
    """Enter how far a run is; whether somebody asked it to stop."""
    table = schema.runs
    mine = (table.c.run_id == run_id, table.c.partition == partition)
    # A process that was taken for dead, and is not, works on.
    values = {"state": STARTED, "ended_at": None, "progress": {**progress, "at": clock(connection)}}
    connection.execute(update(table).where(*mine).values(**values))
    return connection.scalar(select(table.c.cancel_at).where(*mine)) is not None


def ask_to_stop(connection: Connection, run_id: str) -> list[str]:
    """Ask a run that has not ended to stop: one that works does so after the batch at work, one that waits never
    begins. The partitions it concerns; none when it has ended, or the ledger knows no such run."""
    table = schema.runs
    mine = (table.c.run_id == run_id, table.c.state.in_([WAITING, STARTED]))
    keys = list(connection.scalars(select(table.c.partition).where(*mine)))
    at = clock(connection)
    connection.execute(update(table).where(*mine, table.c.state == WAITING).values(state=CANCELED, ended_at=at))
    connection.execute(update(table).where(table.c.run_id == run_id, table.c.partition.in_(keys)).values(cancel_at=at))
    return keys


def canceled(run_id: str, partition: str) -> RunCanceled:
    """What a run says that was asked to stop."""
    return RunCanceled(
        f"partition {partition}: run {run_id} was canceled; what it finished is kept, `etl-assets sync` goes on from it"
    )


def last_runs(ledger: Ledger) -> dict[str, RunRow]:
    """The latest run of each partition that has begun, by partition key."""
    table = schema.runs
    columns = [table.c[name] for name in RunRow.__dataclass_fields__]
    begun = select(*columns).where(table.c.state != WAITING).order_by(table.c.started_at)
    with ledger.reading() as connection:
        return {row.partition: RunRow(*row) for row in connection.execute(begun)}


def _close_lost(connection: Connection, run_id: str, partition: str) -> None:
    table = schema.runs
    dead = (table.c.partition == partition, table.c.state == STARTED, table.c.run_id != run_id)
    for number, report in connection.execute(select(table.c.run_id, table.c.report).where(*dead)).all():
        values = {"state": LOST, "ended_at": clock(connection), "progress": None}
        told = report if "error" in report else {**report, "error": DIED}
        mine = (table.c.run_id == number, table.c.partition == partition)
        connection.execute(update(table).where(*mine).values(report=told, **values))


DIED = "the run's process died; what it had finished is kept"

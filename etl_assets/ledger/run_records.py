"""Runs as people see them: which there are, by whom they were asked for, how far they are, and which died."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, clock
from etl_assets.ledger.leases import living_holders
from etl_assets.ledger.runs import CANCELED, DIED, FAILED, LOST, STARTED, SUCCEEDED, WAITING
from etl_assets.ledger.waiting_runs import close_abandoned


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of one partition. Times are Unix seconds UTC; ``cancel_at`` is when it was asked to stop.

    ``started_at`` of a run that waits is when it began to wait. ``progress`` has ``stage``, ``done`` and ``total``
    documents (``total`` is ``None`` before the first batch), ``rows``, ``elapsed_s`` and ``at``.
    """

    run_id: str
    partition: str
    state: str
    started_at: float
    ended_at: float | None
    report: Mapping[str, Any]
    source: str | None
    batch: str | None
    priority: int | None
    cancel_at: float | None
    progress: Mapping[str, Any] | None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self.state not in (WAITING, STARTED)


def run_records(
    ledger: Ledger, *, tenant: str | None = None, collection: str | None = None, states: Sequence[str] = (),
    limit: int | None = None,
) -> list[RunRecord]:  # fmt: skip
    """The newest runs first, those of dead processes closed as lost; of a tenant, or of collections of one name."""
    close_lost(ledger)
    table = schema.runs
    conditions: list[ColumnElement[bool]] = [table.c.state.in_(states)] if states else []
    if tenant is not None:
        conditions.append(table.c.partition.startswith(f"{tenant}.", autoescape=True))
    if collection is not None:
        conditions.append(table.c.partition.contains(f".{collection}.", autoescape=True))
    with ledger.reading() as connection:
        return _records(connection, conditions, limit)


def ended_since(ledger: Ledger, seconds: float, *, errors: int) -> tuple[dict[str, int], list[RunRecord]]:
    """How many runs ended in which state in the last ``seconds``, and how many documents they took in; and the newest
    ``errors`` of those that failed or were lost."""
    table = schema.runs
    with ledger.reading() as connection:
        since = clock(connection) - seconds
        rows = connection.execute(select(table.c.state, table.c.report).where(table.c.ended_at >= since)).all()
        ill = _records(connection, [table.c.state.in_([FAILED, LOST]), table.c.ended_at >= since], errors)
    counts = {state: sum(1 for row in rows if row.state == state) for state in (SUCCEEDED, FAILED, CANCELED, LOST)}
    taken = (row.report.get("raw_documents", {}) for row in rows)
    return counts | {"documents": sum(one.get("added", 0) + one.get("changed", 0) for one in taken)}, ill


def runs_named(ledger: Ledger, name: str) -> list[RunRecord]:
    """Runs whose id, or whose batch's id, begins so, those of one run id for each of its partitions."""
    close_lost(ledger)
    table = schema.runs
    ids = table.c.run_id.startswith(name, autoescape=True)
    with ledger.reading() as connection:
        return _records(connection, [or_(ids, table.c.batch.startswith(name, autoescape=True))], None)


def close_lost(ledger: Ledger) -> list[str]:
    """Close runs whose process died, those that it had begun and those that it had not; the ids of the former.

    On PostgreSQL a dead process is known once its lease has expired, on SQLite at once.
    """
    table = schema.runs
    with ledger.reading() as connection:
        begun = connection.execute(select(table.c.run_id, table.c.partition).where(table.c.state == STARTED)).all()
    alive = living_holders(ledger, [row.partition for row in begun])
    dead = [(row.run_id, row.partition) for row in begun if alive.get(row.partition) != row.run_id]
    if dead:
        # Asked again under the lock: a run may have come back to its partition meanwhile.
        with ledger.writing() as connection:
            for run_id, partition in dead:
                _close(connection, run_id, partition)
    close_abandoned(ledger)
    return [run_id for run_id, _ in dead]


def _close(connection: Connection, run_id: str, partition: str) -> None:
    table = schema.runs
    mine = (table.c.run_id == run_id, table.c.partition == partition, table.c.state == STARTED)
    report = connection.scalar(select(table.c.report).where(*mine))
    if report is not None:
        values = {"state": LOST, "ended_at": clock(connection), "progress": None, "report": {"error": DIED} | report}
        connection.execute(update(table).where(*mine).values(**values))


def _records(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], limit: int | None
) -> list[RunRecord]:  # fmt: skip
    table = schema.runs
    columns = [table.c[name] for name in RunRecord.__dataclass_fields__]
    query = select(*columns).where(*conditions).order_by(table.c.started_at.desc(), table.c.run_id).limit(limit)
    return [RunRecord(*row) for row in connection.execute(query)]

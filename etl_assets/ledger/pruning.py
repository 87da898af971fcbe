"""Rows of the ledger that ended long ago: which they are, and their removal.

Rows say at which sequence number they ended and not when, so the numbers that were reached by a time are looked up:
in what began with a time beside it, and in marks that each pruning leaves in the audit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import clock, draw, sequence
from etl_assets.ledger.outputs import batches

MARK = "sequence-mark"
_IN_LIST = 5000


@dataclass(frozen=True, slots=True)
class OldVersion:
    """A version that nothing refers to any more. ``is_last``: no version of its document is left."""

    document_id: str
    version: str
    is_last: bool


def mark(connection: Connection) -> None:
    """Note which sequence number is reached by now."""
    row = {
        "entry": draw(connection, "audit"), "at": clock(connection), "action": MARK, "subject": "",
        "detail": {"sequence": sequence(connection)},
    }  # fmt: skip
    connection.execute(insert(schema.audit), row)


def reached_before(connection: Connection, days: float) -> int:
    """A sequence number that was reached over ``days`` ago, the highest that is known; 0 when none is."""
    cutoff = clock(connection) - days * 86_400
    o, x, log = schema.objects, schema.outputs, schema.audit
    found = [
        connection.scalar(select(func.max(o.c.begin_seq)).where(o.c.arrived_at <= cutoff)),
        connection.scalar(select(func.max(x.c.begin_seq)).where(x.c.computed_at <= cutoff)),
    ]
    marks = select(log.c.detail).where(log.c.action == MARK, log.c.at <= cutoff).order_by(log.c.at.desc()).limit(1)
    found += [detail["sequence"] for detail in connection.scalars(marks)]
    return max((int(one) for one in found if one is not None), default=0)


def old_versions(connection: Connection, partition: Partition, up_to: int) -> list[OldVersion]:
    """Versions of a partition's documents of which every row ended at or before ``up_to``."""
    o, p, pin = schema.objects, schema.publications, schema.pinned_versions
    ended: set[tuple[str, str]] = set()
    kept: set[tuple[str, str]] = set()
    for table in (o, p):
        query = select(table.c.document_id, table.c.version, table.c.end_seq)
        for document, version, end in connection.execute(query.where(*_mine(table, partition))):
            (ended if end is not None and end <= up_to else kept).add((document, version))
    kept.update((row[0], row[1]) for row in connection.execute(select(pin.c.document_id, pin.c.key_version)))
    alive = {document for document, _ in kept}
    return [OldVersion(*one, is_last=one[0] not in alive) for one in sorted(ended - kept)]


def prune(connection: Connection, partition: Partition, up_to: int, *, runs_days: float) -> dict[str, int]:
    """Remove the rows of a partition that ended at or before ``up_to``; how many, by table.

    What is open stays, what a number in the outbox stands for, an output as long as its segment is there, since its
    rows are in that file, and the last run.
    """
    o, p, x, box, file = schema.objects, schema.publications, schema.outputs, schema.outbox, schema.segments
    gone = {"objects": connection.execute(delete(o).where(*_mine(o, partition), o.c.end_seq <= up_to)).rowcount}
    waiting = select(box.c.publication).where(box.c.publication == p.c.publication).exists()
    old = delete(p).where(*_mine(p, partition), p.c.end_seq <= up_to, ~waiting)
    gone["publications"] = connection.execute(old).rowcount
    there = select(file.c.segment_id).where(file.c.segment_id == x.c.segment_id).exists()
    free = or_(x.c.segment_id.is_(None), ~there)
    gone["outputs"] = connection.execute(
        delete(x).where(*_mine(x, partition), x.c.end_seq <= up_to, free)
    ).rowcount  # fmt: skip
    if partition.slot_low == 0:
        settings = schema.collection_settings
        old_settings = and_(settings.c.cid == partition.cid, settings.c.end_seq <= up_to)
        gone["collection_settings"] = connection.execute(delete(settings).where(old_settings)).rowcount
    gone["runs"] = _prune_runs(connection, partition, runs_days)
    return {name: count for name, count in gone.items() if count}


def arrived_before(connection: Connection, partition: Partition, days: float) -> list[tuple[str, str]]:
    """(id, path) of present documents whose present version arrived over ``days`` ago, by path."""
    o = schema.objects
    query = select(o.c.document_id, o.c.path).where(
        *_mine(o, partition), o.c.end_seq.is_(None), o.c.arrived_at <= clock(connection) - days * 86_400
    )
    return [(row[0], row[1]) for row in connection.execute(query.order_by(o.c.path))]


def _prune_runs(connection: Connection, partition: Partition, days: float) -> int:
    table = schema.runs
    mine = table.c.partition == partition.key
    newest = connection.scalar(select(func.max(table.c.started_at)).where(mine))
    old = select(table.c.run_id).where(mine, table.c.ended_at <= clock(connection) - days * 86_400)
    ids: Sequence[str] = list(connection.scalars(old.where(table.c.started_at < (newest or 0.0))))
    for part in batches(ids, _IN_LIST):
        connection.execute(delete(table).where(mine, table.c.run_id.in_(part)))
    return len(ids)


def _mine(table: Any, partition: Partition) -> tuple[Any, ...]:
    return (table.c.cid == partition.cid, table.c.slot.between(partition.slot_low, partition.slot_high))

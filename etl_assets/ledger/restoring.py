"""A ledger made ready to be gone on with after it was brought back: as of which number, and what no longer holds.

Nothing here touches a store or a file. The mark says that a home is being restored; nobody searches it or runs in it
until it is taken away.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from etl_assets.errors import TransientError
from etl_assets.ledger import schema, tombstones
from etl_assets.ledger.catalogue import WHOLE
from etl_assets.ledger.database import Ledger, clock, sequence
from etl_assets.ledger.dump import enter_meta
from etl_assets.ledger.files import AHEAD
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.tombstones import Tombstone

MARK = "restoring"
RUN = "restore"
"""What the runs of a restore are called, which alone may work then."""

_VERSIONED = tuple(
    table for table in schema.metadata.tables.values() if {"begin_seq", "end_seq"} <= set(table.c.keys())
)


def mark(connection: Connection, about: Mapping[str, Any]) -> None:
    """Say that this home is being restored; ``about`` is from what."""
    enter_meta(connection, MARK, json.dumps(dict(about)))


def unmark(connection: Connection) -> None:
    """Let searches and runs begin."""
    connection.execute(delete(schema.meta).where(schema.meta.c.key == MARK))


def unfinished(connection: Connection) -> Mapping[str, Any] | None:
    """What this home is being restored from; ``None`` when it is not."""
    found = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == MARK))
    return None if found is None else dict(json.loads(found))


def refuse_while_restoring(connection: Connection) -> None:
    """Raise while a home is being restored, or a restore was interrupted.

    Raises:
        TransientError: it is.
    """
    about = unfinished(connection)
    if about is not None:
        raise TransientError(
            f"this home is being restored from backup {about.get('backup')} of {about.get('target')}, and answers once "
            "that is done; if it was interrupted, run the same `etl-assets restore` again"
        )


def is_empty(ledger: Ledger) -> bool:
    """Whether nothing was ever entered: no collection is known."""
    with ledger.reading() as connection:
        return connection.execute(select(schema.collections.c.cid).limit(1)).first() is None


def sequence_at(connection: Connection, at: float) -> int:
    """The last sequence number before anything arrived or was computed later than ``at`` (Unix seconds UTC)."""
    o, x = schema.objects, schema.outputs
    arrived = connection.scalar(select(func.min(o.c.begin_seq)).where(o.c.arrived_at > at))
    computed = connection.scalar(select(func.min(x.c.begin_seq)).where(x.c.computed_at > at))
    later = [int(one) for one in (arrived, computed) if one is not None]
    return min(later) - 1 if later else sequence(connection)


def rewind(connection: Connection, n: int) -> None:
    """Let the rows be those that held at sequence ``n``. Only the generation that answered then is gone on with.

    What was in quarantine is tried again, since a quarantine's row tells no sequence number.
    """
    for table in _VERSIONED:
        connection.execute(delete(table).where(table.c.begin_seq > n))
        connection.execute(update(table).where(table.c.end_seq > n).values(end_seq=None))
    g, reign = schema.generations, schema.reigns
    answered = select(reign.c.generation_id).where(reign.c.end_seq.is_(None))
    connection.execute(update(g).values(state="retired", dropped_at=clock(connection)))
    live = update(g).where(g.c.generation_id.in_(answered))
    connection.execute(live.values(state="live", retired_at=None, dropped_at=None))
    connection.execute(delete(schema.quarantine))
    connection.execute(update(schema.collections).values(wanted_recipe=None))


def forget_emptied(connection: Connection, partition: str) -> None:
    """Numbers of before need not be collected: the stores were emptied, and nobody searches."""
    b = schema.outbox
    connection.execute(delete(b).where(b.c.partition == partition, b.c.state == "collect"))


def lost_outputs(connection: Connection) -> list[int]:
    """Outputs that hold, and whose segment the ledger no longer names."""
    x, file = schema.outputs, schema.segments
    alive = select(file.c.segment_id).where(file.c.dead_at.is_(None))
    query = select(x.c.output_id).where(
        x.c.end_seq.is_(None), x.c.segment_id.is_not(None), x.c.segment_id.not_in(alive)
    )
    return list(connection.scalars(query))


def take_over(ledger: Ledger, earlier: Ledger, output_ids: Sequence[int]) -> None:
    """Let outputs rest on the segments that they rested on in the ledger of an earlier backup, where it has them."""
    x, file = schema.outputs, schema.segments
    for part in batches(output_ids, 500):
        with earlier.reading() as connection:
            query = (
                select(file, x.c.output_id)
                .join(x, x.c.segment_id == file.c.segment_id)
                .where(x.c.output_id.in_(part), file.c.dead_at.is_(None))
            )
            found = [dict(row) for row in connection.execute(query).mappings()]
        with ledger.writing() as connection:
            for row in found:
                output = row.pop("output_id")
                connection.execute(delete(file).where(file.c.segment_id == row["segment_id"]))
                connection.execute(insert(file), row)
                connection.execute(update(x).where(x.c.output_id == output).values(segment_id=row["segment_id"]))


def settle(connection: Connection, stones: Collection[Tombstone], counters: Mapping[str, int]) -> None:
    """Let go of what a ledger of before cannot vouch for: numbers, leases, what was staged, runs at work.

    ``stones`` stay deleted. ``counters`` are those of the ledger that this one is put in the place of.
    """
    _move_counters(connection, counters)
    n = sequence(connection)
    at = clock(connection)
    _bury(connection, stones, n)
    g, file, memo = schema.generations, schema.segments, schema.memo
    connection.execute(delete(schema.outbox))
    connection.execute(update(g).where(g.c.state == "retired", g.c.dropped_at.is_(None)).values(dropped_at=at))
    connection.execute(delete(file).where(file.c.dead_at.is_not(None)))
    connection.execute(delete(memo).where(memo.c.segment_id.not_in(select(file.c.segment_id))))
    # Where the files were when the backup was made: they are brought to where they are to be now.
    connection.execute(delete(schema.meta).where(schema.meta.c.key.startswith("place.", autoescape=True)))
    part, asked, run = schema.partitions, schema.run_requests, schema.runs
    connection.execute(update(part).values(dirty=1, revision=part.c.revision + AHEAD, look_at=WHOLE))
    # A Dagster instance that outlived the ledger skips a run whose key it has seen.
    connection.execute(update(asked).values(open=0, failures=0, retry_at=0.0, revision=asked.c.revision + AHEAD))
    connection.execute(update(run).where(run.c.ended_at.is_(None)).values(state="failed", ended_at=at))


def counters(connection: Connection) -> dict[str, int]:
    """Every counter, by name."""
    return {row[0]: int(row[1]) for row in connection.execute(select(schema.counters.c.name, schema.counters.c.value))}


def _move_counters(connection: Connection, others: Mapping[str, int]) -> None:
    mine = counters(connection)
    names = {"sequence": 0, "publication": 0, "token": 0, "segment": 0, "output": 0} | mine | dict(others)
    values = [
        {"name": name, "value": max(mine.get(name, 0), others.get(name, 0)) + AHEAD} for name in sorted(names)
    ]  # fmt: skip
    connection.execute(delete(schema.counters))
    connection.execute(insert(schema.counters), values)


def _bury(connection: Connection, stones: Collection[Tombstone], n: int) -> None:
    if not stones:
        return
    tombstones.enter(connection, list(stones))
    for table in (schema.objects, schema.publications):
        for one in stones:
            mine = (
                table.c.document_id == one.document_id, table.c.version == one.version, table.c.end_seq.is_(None)
            )  # fmt: skip
            connection.execute(update(table).where(*mine).values(end_seq=n))


def strike_out(connection: Connection, output_ids: Collection[int]) -> None:
    """Let go of outputs whose rows nobody has, and end what was published from them: both are made again."""
    x, p = schema.outputs, schema.publications
    lost, n = set(output_ids), sequence(connection)
    shown = connection.execute(select(p.c.publication, p.c.outputs).where(p.c.end_seq.is_(None))).all()
    ending = [number for number, outputs in shown if lost & set(outputs.values())]
    for part in batches(ending, 500):
        connection.execute(update(p).where(p.c.publication.in_(part)).values(end_seq=n))
    for part in batches(sorted(lost), 500):
        connection.execute(delete(x).where(x.c.output_id.in_(part)))

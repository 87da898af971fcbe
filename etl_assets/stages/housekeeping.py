"""What a run leaves tidy: unwanted outputs ended, dead segments deleted, small ones merged, strays removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from etl_assets.ledger import outputs as ledger_outputs
from etl_assets.ledger import schema
from etl_assets.ledger import segments as ledger_segments
from etl_assets.ledger.database import clock, draw, hold_sequence
from etl_assets.ledger.outputs import Recipe
from etl_assets.ledger.segments import SegmentFile
from etl_assets.stages.engine import Work, strike_out
from etl_assets.stages.lake import SMALL_SEGMENT_BYTES, SegmentLost, folder, token_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

DEAD_SHARE = 0.25
SMALL_SEGMENTS = 16


@dataclass(frozen=True, slots=True)
class _Candidate:
    file: SegmentFile
    rows: int
    live_rows: int


def drop_unwanted(work: Work, recipes: Sequence[Recipe]) -> int:
    """End outputs that nothing wants any more and mark the segments that died; how many outputs ended."""
    with work.lease.writing() as connection:
        ended = ledger_outputs.drop_unwanted(connection, work.partition, recipes)
        ledger_segments.mark_dead_segments(connection, work.partition)
        return ended


def is_dirty(work: Work) -> bool:
    """Whether something changed in the partition since it was last tidied."""
    table = schema.partitions
    with work.ledger.reading() as connection:
        query = select(table.c.dirty).where(table.c.partition == work.partition.key)
        return bool(connection.scalar(query))


def mark_clean(work: Work) -> None:
    """Note that the partition was tidied, unless something changed meanwhile or is still waiting to be removed."""
    table, box, file = schema.partitions, schema.outbox, schema.segments
    key = work.partition.key
    waiting = select(box.c.publication).where(box.c.partition == key).exists()
    dead = select(file.c.segment_id).where(file.c.partition == key, file.c.dead_at.is_not(None)).exists()
    with work.lease.writing() as connection:
        connection.execute(
            update(table).where(table.c.partition == key, table.c.dirty == 2, ~waiting, ~dead).values(dirty=0)
        )


def seconds_to_wait(work: Work, *, grace_s: float) -> float:
    """How long until every segment that died by now may be deleted; 0 when there is none."""
    file = schema.segments
    newest = select(func.max(file.c.dead_at)).where(file.c.partition == work.partition.key)
    with work.ledger.reading() as connection:
        died = connection.scalar(newest)
        return 0.0 if died is None else max(0.0, float(died) + grace_s - clock(connection))


def compact(work: Work, stages: Sequence[str]) -> int:
    """Merge a stage's small segments when over a quarter of their rows is dead or over 16 have gathered.

    Only rows of this partition are merged, and only open outputs' rows are kept. Returns the segments merged away.
    """
    merged = 0
    for stage in stages:
        with work.ledger.reading() as connection:
            candidates = _candidates(connection, work, stage)
        rows = sum(one.rows for one in candidates)
        dead = rows - sum(one.live_rows for one in candidates)
        if len(candidates) > SMALL_SEGMENTS or (candidates and dead > DEAD_SHARE * rows):
            merged += _merge(work, stage, candidates)
    return merged


def delete_dead_segments(work: Work, *, grace_s: float) -> int:
    """Delete segments that have been dead for ``grace_s`` and that no reader pins; how many."""
    with work.lease.writing() as connection:
        gone = ledger_segments.removable_segments(connection, work.partition, grace_s=grace_s)
        ledger_segments.forget_segments(connection, [number for number, _ in gone])
    for _, key in gone:
        work.lake.blobs.delete(key)
    return len(gone)


def delete_strays(work: Work, stages: Sequence[str]) -> int:
    """Delete files that no ledger row names, of this lease's token and older ones; how many.

    It is called when the lease's own writes are committed, so what they left unnamed came from an attempt that failed.
    """
    gone = 0
    for stage in stages:
        names = [key for key, _, _ in work.lake.blobs.keys(folder(work.partition, stage))]
        old = [key for key in names if (token := token_of(key)) is not None and token <= work.lease.token]
        with work.ledger.reading() as connection:
            file = schema.segments
            named: set[str] = set()
            for part in ledger_outputs.batches(old, 5000):
                named.update(connection.scalars(select(file.c.key).where(file.c.key.in_(part))))
        for key in set(old) - named:
            work.lake.blobs.delete(key)
            gone += 1
    return gone


def _candidates(connection: "Connection", work: Work, stage: str) -> list[_Candidate]:
    file, x = schema.segments, schema.outputs
    live = func.coalesce(func.sum(x.c.row_count), 0)
    query = (
        select(file.c.segment_id, file.c.key, file.c.sha256, file.c.row_count, live)
        .outerjoin(x, (x.c.segment_id == file.c.segment_id) & x.c.end_seq.is_(None))
        .where(
            file.c.partition == work.partition.key, file.c.stage == stage, file.c.dead_at.is_(None),
            file.c.size_bytes < SMALL_SEGMENT_BYTES,
        )
        .group_by(file.c.segment_id, file.c.key, file.c.sha256, file.c.row_count)
        .order_by(file.c.segment_id)
    )  # fmt: skip
    return [_Candidate(SegmentFile(*row[:3]), row[3], row[4]) for row in connection.execute(query)]


def _merge(work: Work, stage: str, candidates: Sequence[_Candidate]) -> int:
    """One or more new segments, each under the small limit before compression, in place of the candidates."""
    group: list[_Candidate] = []
    merged, rows = 0, 0
    limit = 65_536
    for one in candidates:
        if group and rows + one.live_rows > limit:
            merged += _merge_group(work, stage, group)
            group, rows = [], 0
        group.append(one)
        rows += one.live_rows
    return merged + _merge_group(work, stage, group)


def _merge_group(work: Work, stage: str, group: Sequence[_Candidate]) -> int:
    import polars as pl

    x, file = schema.outputs, schema.segments
    old = [one.file.segment_id for one in group]
    with work.ledger.reading() as connection:
        query = select(x.c.segment_id, x.c.output_id).where(x.c.segment_id.in_(old), x.c.end_seq.is_(None))
        # A restore may bring a segment back beside the one that its rows were merged into: each output rests on one.
        live: dict[int, list[int]] = {number: [] for number in old}
        for number, output in connection.execute(query):
            live[number].append(output)
    try:
        frames = [
            pl.read_parquet(work.lake.verified_bytes(one.file)).filter(
                pl.col("output_id").is_in(live[one.file.segment_id])
            )
            for one in group
        ]
    except SegmentLost as lost:
        strike_out(work, lost.segment_id)
        raise
    # Rows that were written before their stage had a column have none of it.
    rows = pl.concat(frames, how="diagonal")
    if rows.height == 0:
        return 0
    with work.ledger.writing() as connection:
        segment_id = draw(connection, "segment")
    segment = work.lake.write(work.partition, stage, segment_id, work.lease.token, rows)
    with work.lease.writing() as connection:
        ledger_segments.record_segment(connection, work.partition, stage, segment)
        mine = (x.c.segment_id.in_(old), x.c.end_seq.is_(None))
        connection.execute(update(x).where(*mine).values(segment_id=segment_id))
        memo = schema.memo
        connection.execute(update(memo).where(memo.c.segment_id.in_(old)).values(segment_id=segment_id))
        hold_sequence(connection)
        at = clock(connection)
        connection.execute(update(file).where(file.c.segment_id.in_(old)).values(dead_at=at))
    return len(group)

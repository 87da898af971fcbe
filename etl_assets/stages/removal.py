"""Rows of deleted documents taken out of the lake: segments that held them are written anew without them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from etl_assets.ledger import schema
from etl_assets.ledger import segments as ledger_segments
from etl_assets.ledger.database import clock, draw, hold_sequence
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.segments import SegmentFile
from etl_assets.stages.engine import Work
from etl_assets.stages.lake import SegmentLost
from etl_assets.stages.spec import Stage

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection

_IN_LIST = 5000


@dataclass(slots=True)
class Removal:
    """What went from the lake: segments that held rows of documents, these rows, and segments written instead."""

    segments: int = 0
    rows: int = 0
    rewritten: int = 0


def remove_rows(work: Work, stages: Mapping[str, Stage], documents: Sequence[str]) -> Removal:
    """Put segments without these documents in the place of those that hold rows of them.

    The old ones are dead from then on: ``delete_dead`` removes them. A segment that cannot be read is struck out;
    what other documents had in it is made again by their next run.
    """
    import polars as pl

    done = Removal()
    with work.ledger.reading() as connection:
        found = _holding(connection, work.partition.key, documents)
    for file, stage in found.items():
        done.segments += 1
        try:
            rows = pl.read_parquet(work.lake.verified_bytes(file))
        except SegmentLost:
            with work.lease.writing() as connection:
                ledger_segments.end_outputs_of(connection, work.partition, file.segment_id)
            work.lake.blobs.delete(file.key)
            continue
        _replace(work, stages.get(stage), stage, file, rows, documents, done)
    return done


def delete_dead(work: Work) -> int:
    """Delete every dead segment of the partition, pinned by a reader or not; how many."""
    file = schema.segments
    with work.lease.writing() as connection:
        ledger_segments.mark_dead_segments(connection, work.partition)
        query = select(file.c.segment_id, file.c.key).where(
            file.c.partition == work.partition.key, file.c.dead_at.is_not(None)
        )
        gone = [(row[0], row[1]) for row in connection.execute(query)]
        ledger_segments.forget_segments(connection, [number for number, _ in gone])
    for _, key in gone:
        work.lake.blobs.delete(key)
    return len(gone)


def rows_left(work: Work, documents: Sequence[str], *, everywhere: bool) -> int:
    """Rows of these documents in the partition's segments, read from the files.

    Not ``everywhere``: only in those segments that the ledger knows to hold rows of them.
    """
    import polars as pl

    file = schema.segments
    with work.ledger.reading() as connection:
        query = select(file.c.segment_id, file.c.key, file.c.sha256).where(file.c.partition == work.partition.key)
        files = [SegmentFile(*row) for row in connection.execute(query)]
        if not everywhere:
            files = list(_holding(connection, work.partition.key, documents))
    left = 0
    for one in files:
        try:
            held = work.lake.read_all(one.segment_id, one, ["document_id"])
        except SegmentLost:
            continue  # what cannot be read holds nothing that anybody could read
        left += held.filter(pl.col("document_id").is_in(list(documents))).height
    return left


def texts_of(work: Work, stage: str, column: str, documents: Sequence[str]) -> list[str]:
    """Every value of a text column that the documents have in the partition's segments of a stage."""
    import polars as pl

    with work.ledger.reading() as connection:
        found = _holding(connection, work.partition.key, documents)
    texts: list[str] = []
    for file, of_stage in found.items():
        if of_stage == stage:
            try:
                rows = work.lake.read_all(file.segment_id, file, ["document_id", column])
            except SegmentLost:
                continue  # nobody can read it any more, and it is removed as the others are
            texts += rows.filter(pl.col("document_id").is_in(list(documents)))[column].to_list()
    return texts


def _holding(connection: "Connection", partition: str, documents: Sequence[str]) -> dict[SegmentFile, str]:
    x, file = schema.outputs, schema.segments
    found: dict[SegmentFile, str] = {}
    for part in batches(documents, _IN_LIST):
        query = (
            select(file.c.segment_id, file.c.key, file.c.sha256, file.c.stage)
            .join(x, x.c.segment_id == file.c.segment_id)
            .where(x.c.document_id.in_(part), file.c.partition == partition)
            .distinct()
        )
        found.update((SegmentFile(*row[:3]), row[3]) for row in connection.execute(query))
    return found


def _replace(
    work: Work, stage: Stage | None, name: str, file: SegmentFile, rows: "pl.DataFrame", documents: Sequence[str],
    done: Removal,
) -> None:  # fmt: skip
    import polars as pl

    kept = rows.filter(~pl.col("document_id").is_in(list(documents)))
    done.rows += rows.height - kept.height
    segment = None
    if kept.height:
        with work.ledger.writing() as connection:
            number = draw(connection, "segment")
        segment = work.lake.write(work.partition, name, number, work.lease.token, kept)
        done.rewritten += 1
    x, table, memo = schema.outputs, schema.segments, schema.memo
    with work.lease.writing() as connection:
        if segment is not None:
            ledger_segments.record_segment(connection, work.partition, name, segment)
            of_others = (x.c.segment_id == file.segment_id, x.c.document_id.not_in(list(documents)))
            connection.execute(update(x).where(*of_others).values(segment_id=segment.segment_id))
            if stage is not None and stage.memo is not None:
                keys = [bytes.fromhex(key) for key in kept[stage.memo.key].unique().to_list()]
                for part in batches(keys, _IN_LIST):
                    connection.execute(
                        update(memo)
                        .where(memo.c.segment_id == file.segment_id, memo.c.key.in_(part))
                        .values(segment_id=segment.segment_id)
                    )
        connection.execute(delete(memo).where(memo.c.segment_id == file.segment_id))
        hold_sequence(connection)
        dead = update(table).where(table.c.segment_id == file.segment_id, table.c.dead_at.is_(None))
        connection.execute(dead.values(dead_at=clock(connection)))

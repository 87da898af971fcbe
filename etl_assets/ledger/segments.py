"""Segments, the files that hold the rows of outputs: which there are, which are dead, and which rows can be read again.

A file exists once a transaction names it together with the outputs it completes. No file is touched here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, literal, select, text, update

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty
from etl_assets.ledger.database import clock, hold_sequence, next_sequence
from etl_assets.ledger.outputs import batches

_IN_LIST = 5000


@dataclass(frozen=True, slots=True)
class Segment:
    """One immutable file of rows."""

    segment_id: int
    key: str
    row_count: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """Where a segment is, and the SHA-256 (hex) of its bytes."""

    segment_id: int
    key: str
    sha256: str


def record_segment(connection: Connection, partition: Partition, stage: str, segment: Segment) -> None:
    """Name a file, in the same transaction as the outputs it completes."""
    row = {
        "segment_id": segment.segment_id, "cid": partition.cid, "partition": partition.key, "stage": stage,
        "key": segment.key, "row_count": segment.row_count, "size_bytes": segment.size_bytes,
        "sha256": segment.sha256, "created_at": clock(connection), "dead_at": None,
    }  # fmt: skip
    connection.execute(insert(schema.segments), row)


def end_outputs_of(connection: Connection, partition: Partition, segment_id: int) -> None:
    """End every output that rests on a segment, and strike the segment out: its bytes cannot be read."""
    x = schema.outputs
    n = next_sequence(connection)
    connection.execute(update(x).where(x.c.segment_id == segment_id, x.c.end_seq.is_(None)).values(end_seq=n))
    forget_segments(connection, [segment_id])
    mark_dirty(connection, partition.key)


def mark_dead_segments(connection: Connection, partition: Partition) -> None:
    """Note of each segment of a partition that no open output rests on that it died, now, if it was not noted.

    What an open publication rests on lives, too: an output that was computed anew has ended before its document is
    published anew, and a later stage may have failed in between.
    """
    x, file = schema.outputs, schema.segments
    alive = select(literal(1)).where(x.c.segment_id == file.c.segment_id, x.c.end_seq.is_(None)).exists()
    hold_sequence(connection)
    unused = select(file.c.segment_id).where(file.c.partition == partition.key, file.c.dead_at.is_(None), ~alive)
    for part in batches(list(connection.scalars(unused)), _IN_LIST):
        gone = sorted(set(part) - _still_published(connection, part))
        connection.execute(update(file).where(file.c.segment_id.in_(gone)).values(dead_at=clock(connection)))


def _still_published(connection: Connection, segment_ids: Sequence[int]) -> set[int]:
    """Those of these segments that an open publication rests on."""
    x, p = schema.outputs, schema.publications
    columns = (x.c.output_id, x.c.document_id, x.c.segment_id)
    rows = connection.execute(select(*columns).where(x.c.segment_id.in_(segment_ids))).all()
    shown: set[int] = set()
    for part in batches(sorted({row.document_id for row in rows}), _IN_LIST):
        query = select(p.c.outputs).where(p.c.document_id.in_(part), p.c.end_seq.is_(None))
        shown.update(number for (outputs,) in connection.execute(query) for number in outputs.values())
    return {int(row.segment_id) for row in rows if row.output_id in shown}


def removable_segments(connection: Connection, partition: Partition, *, grace_s: float) -> list[tuple[int, str]]:
    """(id, key) of segments that died over ``grace_s`` ago and that no reader has pinned."""
    file, pin = schema.segments, schema.pins
    at = clock(connection)
    connection.execute(delete(pin).where(pin.c.expires_at <= at))
    oldest = connection.scalar(select(func.min(pin.c.taken_at)))
    limit = at - grace_s if oldest is None else min(at - grace_s, oldest)
    query = select(file.c.segment_id, file.c.key).where(file.c.partition == partition.key, file.c.dead_at <= limit)
    return [(int(row[0]), str(row[1])) for row in connection.execute(query).all()]


def forget_segments(connection: Connection, segment_ids: Sequence[int]) -> None:
    """Strike files out, and what could be reused from them. Their bytes may be deleted after the commit."""
    if segment_ids:
        connection.execute(delete(schema.memo).where(schema.memo.c.segment_id.in_(segment_ids)))
        connection.execute(delete(schema.segments).where(schema.segments.c.segment_id.in_(segment_ids)))


def segment_files(connection: Connection, segment_ids: Iterable[int]) -> dict[int, SegmentFile]:
    """Where these segments are, and what their bytes must be."""
    file = schema.segments
    found: dict[int, SegmentFile] = {}
    for part in batches(sorted(set(segment_ids)), _IN_LIST):
        query = select(file.c.segment_id, file.c.key, file.c.sha256).where(file.c.segment_id.in_(part))
        found.update((int(row[0]), SegmentFile(*row)) for row in connection.execute(query).all())
    return found


def known_rows(connection: Connection, tenant: str, producer_id: int, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Segment that holds the row of each key, for those keys whose value was computed before."""
    table = schema.memo
    found: dict[bytes, int] = {}
    for part in batches(keys, _IN_LIST):
        query = select(table.c.key, table.c.segment_id).where(
            table.c.tenant == tenant, table.c.producer_id == producer_id, table.c.key.in_(part)
        )
        found.update((bytes(row[0]), int(row[1])) for row in connection.execute(query).all())
    return found


def record_rows(connection: Connection, tenant: str, producer_id: int, keys: Iterable[bytes], segment_id: int) -> None:
    """Note that ``segment_id`` holds these keys' values, whatever was noted before."""
    rows = [
        {"tenant": tenant, "producer_id": producer_id, "key": key, "segment_id": segment_id} for key in sorted(keys)
    ]
    if not rows:
        return
    statement = (
        "INSERT INTO memo (tenant, producer_id, key, segment_id) VALUES (:tenant, :producer_id, :key, :segment_id) "
        "ON CONFLICT (tenant, producer_id, key) DO UPDATE SET segment_id = excluded.segment_id"
    )
    connection.execute(text(statement), rows)

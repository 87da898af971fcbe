"""Which files of the lake and of the originals the ledger names, and what their bytes must be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.segments import SegmentFile

AHEAD = 2**32
"""How far counters are moved when a store holds numbers that the ledger has never drawn: further than any that a
ledger restored from an older copy has forgotten."""

_NUMBERED = ("publication", "token", "segment", "output")


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes of one version that is present or published. ``path`` is where its document arrives."""

    document_id: str
    path: str
    version: str


def live_segments(connection: Connection, partition: Partition) -> Mapping[SegmentFile, str]:
    """Every segment of a partition that outputs rest on, and the stage it is of."""
    file = schema.segments
    query = select(file.c.segment_id, file.c.key, file.c.sha256, file.c.stage).where(
        file.c.partition == partition.key, file.c.dead_at.is_(None)
    )
    return {SegmentFile(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def named_keys(connection: Connection, keys: Sequence[str]) -> frozenset[str]:
    """Those of these keys of the lake that the ledger names."""
    file = schema.segments
    named: set[str] = set()
    for part in batches(keys, 5000):
        named.update(connection.scalars(select(file.c.key).where(file.c.key.in_(part))))
    return frozenset(named)


def lease_token(connection: Connection, partition: Partition) -> int:
    """The token of whoever has, or had last, the partition; 0 when nobody ever had it."""
    table = schema.leases
    return int(connection.scalar(select(table.c.token).where(table.c.name == partition.key)) or 0)


def originals(connection: Connection, partition: Partition) -> list[Original]:
    """The versions of a partition that are present or published, by path."""
    o, p = schema.objects, schema.publications
    wanted = (o.c.cid == partition.cid, o.c.slot.between(partition.slot_low, partition.slot_high))
    shown = (p.c.cid == partition.cid, p.c.slot.between(partition.slot_low, partition.slot_high))
    query = (
        select(o.c.document_id, o.c.path, o.c.version)
        .where(*wanted, o.c.end_seq.is_(None))
        .union(select(p.c.document_id, p.c.path, p.c.version).where(*shown, p.c.end_seq.is_(None)))
    )
    return sorted((Original(*row) for row in connection.execute(query)), key=lambda one: (one.path, one.version))


def documents_on(connection: Connection, segment_id: int) -> list[str]:
    """Paths of the documents whose open outputs rest on a segment."""
    x, o = schema.outputs, schema.objects
    query = (
        select(func.min(o.c.path))
        .join(x, x.c.document_id == o.c.document_id)
        .where(x.c.segment_id == segment_id, x.c.end_seq.is_(None))
        .group_by(o.c.document_id)
    )
    return sorted(connection.scalars(query))


def move_counters_ahead(connection: Connection) -> None:
    """Give out no number that a store may hold already: the ledger was restored, and has forgotten that it drew it."""
    table = schema.counters
    connection.execute(update(table).where(table.c.name.in_(_NUMBERED)).values(value=table.c.value + AHEAD))


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest object, original (tenant, document, version) and segment that the ledger names."""

    object_key: str | None
    original: tuple[str, str, str]
    segment: str | None


def newest(connection: Connection) -> Newest:
    """What a place must hold to be the one that this ledger is about."""
    o, owner, file = schema.objects, schema.collections, schema.segments
    query = (
        select(owner.c.tenant, owner.c.collection, o.c.path, o.c.document_id, o.c.version)
        .join(owner, owner.c.cid == o.c.cid)
        .where(o.c.end_seq.is_(None))
        .order_by(o.c.begin_seq.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    segment = connection.scalar(
        select(file.c.key).where(file.c.dead_at.is_(None)).order_by(file.c.segment_id.desc()).limit(1)
    )
    if row is None:
        return Newest(None, ("", "", ""), segment)
    return Newest(f"{row[0]}/{row[1]}/{row[2]}", (row[0], row[3], row[4]), segment)

"""What arrived: the versions of each document's bytes, as the ledger knows them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty, within
from etl_assets.ledger.database import Ledger, clock, insert_rows, next_sequence


@dataclass(frozen=True, slots=True)
class KnownObject:
    """A document that is present, by the ledger."""

    document_id: str
    slot: int
    path: str
    version: str
    fingerprint: str
    content_type: str | None
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ArrivedObject:
    """Bytes, or metadata, that differ from what the ledger knows."""

    document_id: str
    slot: int
    path: str
    version: str
    input_digest: str
    size_bytes: int
    fingerprint: str
    content_type: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def known_objects(ledger: Ledger, cid: int) -> dict[str, KnownObject]:
    """Every present document of a collection, by path."""
    table = schema.objects
    query = select(*_columns()).where(table.c.cid == cid, table.c.end_seq.is_(None))
    with ledger.reading() as connection:
        return {row[2]: KnownObject(*row) for row in connection.execute(query).all()}


def objects_of(connection: Connection, document_ids: Sequence[str]) -> dict[str, KnownObject]:
    """Those of these documents that are present, by document id."""
    table = schema.objects
    found: dict[str, KnownObject] = {}
    for start in range(0, len(document_ids), 5000):
        query = select(*_columns()).where(
            table.c.document_id.in_(document_ids[start : start + 5000]), table.c.end_seq.is_(None)
        )
        found.update((row[0], KnownObject(*row)) for row in connection.execute(query).all())
    return found


def known_ids(connection: Connection, cid: int, *, up_to: int) -> Iterator[str]:
    """Ids of a collection's present documents whose version was entered by the sequence number ``up_to``."""
    table = schema.objects
    query = select(table.c.document_id).where(table.c.cid == cid, table.c.end_seq.is_(None), table.c.begin_seq <= up_to)
    for rows in connection.execute(query.execution_options(yield_per=5000)).partitions():
        yield from (row[0] for row in rows)


def present_count(connection: Connection, cid: int) -> int:
    """How many documents of a collection are present."""
    table = schema.objects
    query = select(func.count()).select_from(table).where(table.c.cid == cid, table.c.end_seq.is_(None))
    return int(connection.scalar(query) or 0)


def present_paths(connection: Connection, partition: Partition) -> dict[str, str]:
    """Path of every present document of a partition, by id."""
    o = schema.objects
    query = select(o.c.document_id, o.c.path).where(*within(o, partition), o.c.end_seq.is_(None))
    return {row[0]: row[1] for row in connection.execute(query)}


def _columns() -> list[Any]:
    return [schema.objects.c[name] for name in KnownObject.__dataclass_fields__]


def fingerprints(connection: Connection, document_ids: Sequence[str]) -> dict[str, str]:
    """Fingerprint of those of these documents that are present, by document id."""
    table = schema.objects
    found: dict[str, str] = {}
    for start in range(0, len(document_ids), 5000):
        query = select(table.c.document_id, table.c.fingerprint).where(
            table.c.document_id.in_(document_ids[start : start + 5000]), table.c.end_seq.is_(None)
        )
        found.update((row[0], row[1]) for row in connection.execute(query).all())
    return found


def record_arrivals(connection: Connection, partition: Partition, arrived: Sequence[ArrivedObject]) -> None:
    """Begin these versions, ending those they replace."""
    if not arrived:
        return
    n = next_sequence(connection)
    _end(connection, [one.document_id for one in arrived], n)
    at = clock(connection)
    rows = [
        {
            "document_id": one.document_id, "cid": partition.cid, "slot": one.slot, "path": one.path,
            "version": one.version, "input_digest": one.input_digest, "size_bytes": one.size_bytes,
            "content_type": one.content_type, "attributes": dict(one.attributes), "fingerprint": one.fingerprint,
            "arrived_at": at, "begin_seq": n, "end_seq": None,
        }
        for one in arrived
    ]  # fmt: skip
    insert_rows(connection, schema.objects, rows)
    mark_dirty(connection, partition.key, [one.document_id for one in arrived])


def renew_fingerprints(connection: Connection, renewed: Mapping[str, str]) -> None:
    """New fingerprints (by document id) of objects whose bytes and metadata turned out to be the same."""
    if not renewed:
        return
    table = schema.objects
    statement = (
        update(table)
        .where(table.c.document_id == bindparam("of"), table.c.end_seq.is_(None))
        .values(fingerprint=bindparam("seen"))
    )
    connection.execute(statement, [{"of": document, "seen": seen} for document, seen in renewed.items()])


def record_removals(connection: Connection, partition: Partition, document_ids: Sequence[str]) -> None:
    """End documents whose key is gone."""
    if not document_ids:
        return
    _end(connection, document_ids, next_sequence(connection))
    mark_dirty(connection, partition.key, document_ids)


def _end(connection: Connection, document_ids: Sequence[str], n: int) -> None:
    table = schema.objects
    statement = update(table).where(table.c.document_id == bindparam("of"), table.c.end_seq.is_(None)).values(end_seq=n)
    connection.execute(statement, [{"of": document} for document in document_ids])

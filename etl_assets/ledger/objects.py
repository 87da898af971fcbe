"""What arrived: the versions of each document's bytes, as the ledger knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty
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


def seen_between(connection: Connection, cid: int, after: str, up_to: str | None) -> dict[str, tuple[str, int, str]]:
    """(document id, slot, fingerprint) by path of a collection's present documents with ``after < path <= up_to``.

    Paths compare by code points; ``None`` is up to the last one.
    """
    table = schema.objects
    query = select(table.c.path, table.c.document_id, table.c.slot, table.c.fingerprint).where(
        table.c.cid == cid, table.c.end_seq.is_(None), table.c.path > after
    )
    if up_to is not None:
        query = query.where(table.c.path <= up_to)
    return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query).all()}


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
    mark_dirty(connection, partition.key)


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
    mark_dirty(connection, partition.key)


def _end(connection: Connection, document_ids: Sequence[str], n: int) -> None:
    table = schema.objects
    statement = update(table).where(table.c.document_id == bindparam("of"), table.c.end_seq.is_(None)).values(end_seq=n)
    connection.execute(statement, [{"of": document} for document in document_ids])

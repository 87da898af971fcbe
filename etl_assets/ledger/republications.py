"""Publishing again what is published: the same contents of a document under a fresh number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from etl_assets.errors import TransientError
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty
from etl_assets.ledger.database import clock, insert_rows, next_sequence
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.publications import STORES, lock_collection


@dataclass(frozen=True, slots=True)
class Shown:
    """One open publication. ``outputs`` is stage -> output id, ``counts`` store -> rows written."""

    publication: int
    document_id: str
    path: str
    generation_id: int
    outputs: Mapping[str, int]
    record: Mapping[str, Any]
    content_digest: str
    counts: Mapping[str, int]


def shown(connection: Connection, partition: Partition, numbers: Sequence[int] | None = None) -> list[Shown]:
    """Open publications of a partition, those of ``numbers`` or all, ascending."""
    p = schema.publications
    columns = (
        p.c.publication, p.c.document_id, p.c.path, p.c.generation_id, p.c.outputs, p.c.record, p.c.content_digest,
        p.c.counts,
    )  # fmt: skip
    query = select(*columns).where(
        p.c.cid == partition.cid, p.c.slot.between(partition.slot_low, partition.slot_high), p.c.end_seq.is_(None)
    )
    parts = [None] if numbers is None else [*batches(sorted(numbers), 5000)]
    rows = [
        row
        for part in parts
        for row in connection.execute(query if part is None else query.where(p.c.publication.in_(part)))
    ]
    return sorted((Shown(*row) for row in rows), key=lambda one: one.publication)


def renumber(connection: Connection, partition: Partition, numbers: Mapping[int, int]) -> int:
    """Begin each publication anew under its fresh number, which was staged, and end it under the old one, at one new
    sequence number, which is returned. ``numbers`` is old -> fresh.

    Raises:
        TransientError: one of them is not open any more, or a fresh number was given up in between.
    """
    lock_collection(connection, partition.cid)
    b, p = schema.outbox, schema.publications
    rows = [dict(row) for row in connection.execute(select(p).where(_open_of(numbers))).mappings()]
    fresh = delete(b).where(b.c.publication.in_(list(numbers.values())), b.c.state == "staged")
    if len(rows) != len(numbers) or connection.execute(fresh).rowcount != len(numbers):
        raise TransientError(f"partition {partition.key}: documents were published by somebody else; run again")
    n, at = next_sequence(connection), clock(connection)
    connection.execute(update(p).where(_open_of(numbers)).values(end_seq=n))
    collected = [
        {
            "publication": row["publication"], "document_id": row["document_id"], "cid": partition.cid,
            "generation_id": row["generation_id"], "partition": partition.key, "token": 0, "state": "collect",
            "since": at, "stores": list(STORES), "content_digest": "",
        }
        for row in rows
    ]  # fmt: skip
    insert_rows(connection, b, collected)
    insert_rows(connection, p, [{**row, "publication": numbers[row["publication"]], "begin_seq": n} for row in rows])
    mark_dirty(connection, partition.key, [row["document_id"] for row in rows])
    return n


def _open_of(numbers: Mapping[int, int]) -> Any:
    p = schema.publications
    return p.c.publication.in_(list(numbers)) & p.c.end_seq.is_(None)

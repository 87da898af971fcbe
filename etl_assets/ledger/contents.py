"""What a partition holds at each step, as two counts and one digest: equal digests mean equal contents."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import Recipe, wanted_outputs


@dataclass(frozen=True, slots=True)
class Contents:
    """``digest`` (32 hex digits) covers every document and what it has, in the order of document ids."""

    documents: int
    rows: int
    digest: str


def arrived(connection: Connection, partition: Partition) -> Contents:
    """Present documents by their versions; a row is a document."""
    o = schema.objects
    query = (
        select(o.c.document_id, o.c.version)
        .where(o.c.cid == partition.cid, o.c.slot.between(partition.slot_low, partition.slot_high))
        .where(o.c.end_seq.is_(None))
        .order_by(o.c.document_id)
    )
    return _contents((row[0], row[1], 1) for row in connection.execute(query))


def made(connection: Connection, partition: Partition, recipe: Recipe, stage: str) -> Contents:
    """Finished outputs of present documents at a stage; nothing for a stage that is not wanted."""
    if stage not in recipe:
        return _contents(())
    query = wanted_outputs(partition, recipe, stage).order_by(schema.objects.c.document_id)
    return _contents((row.document_id, row.output_digest, row.row_count) for row in connection.execute(query))


def published(connection: Connection, partition: Partition) -> Contents:
    """Open publications of the generation that answers searches; a row is a document."""
    p, reign = schema.publications, schema.reigns
    query = (
        select(p.c.document_id, p.c.content_digest)
        .join(reign, (reign.c.generation_id == p.c.generation_id) & reign.c.end_seq.is_(None))
        .where(p.c.cid == partition.cid, p.c.slot.between(partition.slot_low, partition.slot_high))
        .where(p.c.end_seq.is_(None))
        .order_by(p.c.document_id)
    )
    return _contents((row[0], row[1], 1) for row in connection.execute(query))


def together(parts: Sequence[Contents]) -> Contents:
    """What a step holds that several stages feed: the documents of the first of them, the rows of all."""
    if len(parts) == 1:
        return parts[0]
    digest = hashlib.blake2b("\n".join(one.digest for one in parts).encode(), digest_size=16).hexdigest()
    return Contents(parts[0].documents, sum(one.rows for one in parts), digest)


def held(connection: Connection, partition: Partition, stage: str) -> int:
    """Documents of the partition's collection that are in quarantine at a stage."""
    q = schema.quarantine
    query = select(func.count()).where(q.c.cid == partition.cid, q.c.stage == stage)
    return int(connection.scalar(query) or 0)


def _contents(rows: Iterable[tuple[Any, Any, int]]) -> Contents:
    hasher = hashlib.blake2b(digest_size=16)
    documents, total = 0, 0
    for document, digest, count in rows:
        hasher.update(f"{document} {digest}\n".encode())
        documents += 1
        total += count
    return Contents(documents, total, hasher.hexdigest())

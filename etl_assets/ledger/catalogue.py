"""Collections and their partitions: which exist, and which slots each one holds."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, draw, next_sequence, upsert

SLOTS = 1024
CHANGED, WHOLE, LOOKING = 0, 1, 2
"""What a run has to look at in a partition, see ``schema.partitions``."""
_KEY = re.compile(r"([a-z0-9_-]+)\.([a-z0-9_-]+)\.(\d+)-of-(\d+)")


@dataclass(frozen=True, slots=True)
class Partition:
    """One shard of one collection: the documents whose slot is in ``[slot_low, slot_high]``, both ends in.

    With ``only_changed``, those of them that changed since the partition was last brought up to date.
    """

    key: str
    cid: int
    tenant: str
    collection: str
    slot_low: int
    slot_high: int
    only_changed: bool = False


def partition_key(tenant: str, collection: str, shard: int, shards: int) -> str:
    """For example ``acme.reports.07-of-16``."""
    width = max(2, len(str(shards)))
    return f"{tenant}.{collection}.{shard:0{width}}-of-{shards:0{width}}"


def shard_of(slot: int, shards: int) -> int:
    """Which of ``shards`` equal ranges a slot is in."""
    return slot * shards // SLOTS


def parse_partition_key(key: str) -> tuple[str, str, int, int]:
    """(tenant, collection, shard, shards) of a partition key.

    Raises:
        ConfigError: it has another form.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise ConfigError(
            f"partition key {key!r}: expected TENANT.COLLECTION.SHARD-of-SHARDS, as in acme.reports.00-of-01"
        )
    return match[1], match[2], int(match[3]), int(match[4])


def ensure_collection(ledger: Ledger, tenant: str, collection: str, *, shards: int) -> list[Partition]:
    """The partitions of a collection, which is entered with ``shards`` shards if it is new."""
    found = partitions(ledger, tenant=tenant, collection=collection)
    if found:
        return found
    with ledger.writing() as connection:
        # The counter is held to the commit, so whoever draws second sees what the first one entered.
        cid = draw(connection, "collection")
        if _collection_id(connection, tenant, collection) is None:
            next_sequence(connection)
            row = {"cid": cid, "tenant": tenant, "collection": collection, "shards": shards}
            connection.execute(insert(schema.collections), row | {"layout_revision": 0, "generation_revision": 0})
            width = SLOTS // shards
            rows = [
                {
                    "partition": partition_key(tenant, collection, shard, shards),
                    "cid": cid, "slot_low": shard * width, "slot_high": shard * width + width - 1,
                    "dirty": 0, "revision": 0, "look_at": WHOLE,
                }
                for shard in range(shards)
            ]  # fmt: skip
            connection.execute(insert(schema.partitions), rows)
    return partitions(ledger, tenant=tenant, collection=collection)


def partitions(ledger: Ledger, *, tenant: str | None = None, collection: str | None = None) -> list[Partition]:
    """Every partition, or those of a tenant, or of collections with one name; by key."""
    table, owner = schema.partitions, schema.collections
    query = (
        select(table.c.partition, table.c.cid, owner.c.tenant, owner.c.collection, table.c.slot_low, table.c.slot_high)
        .join(owner, owner.c.cid == table.c.cid)
        .order_by(table.c.partition)
    )
    if tenant is not None:
        query = query.where(owner.c.tenant == tenant)
    if collection is not None:
        query = query.where(owner.c.collection == collection)
    with ledger.reading() as connection:
        return [Partition(*row) for row in connection.execute(query)]


def partition(ledger: Ledger, key: str) -> Partition:
    """One partition by its key.

    Raises:
        ConfigError: there is no such partition.
    """
    tenant, collection, _, _ = parse_partition_key(key)
    for found in partitions(ledger, tenant=tenant, collection=collection):
        if found.key == key:
            return found
    raise ConfigError(f"partition {key}: unknown; `etl-assets status` lists the partitions that exist")


def mark_dirty(connection: Connection, partition_key: str, documents: Collection[str] | None = None) -> None:
    """Note that something of a partition changed, so that what became unwanted is looked for.

    ``documents`` are those for which something new may have to be made, published or withdrawn; ``None``: it may be
    any, so the next run looks at all of them. Give ``()`` where a run only carries out what it found to do.
    """
    table = schema.partitions
    values: dict[str, Any] = {"dirty": 1, "revision": table.c.revision + 1}
    if documents is None:
        values["look_at"] = WHOLE
    connection.execute(update(table).where(table.c.partition == partition_key).values(**values))
    rows = [{"document_id": one, "partition": partition_key} for one in sorted(documents or ())]
    upsert(connection, schema.changed_documents, rows)


def within(table: Any, partition: Partition) -> tuple[ColumnElement[bool], ...]:
    """Which rows of a table that has ``document_id``, ``cid`` and ``slot`` are of a partition's documents."""
    if partition.only_changed:
        changed = schema.changed_documents
        mine = select(changed.c.document_id).where(changed.c.partition == partition.key)
        return (table.c.document_id.in_(mine),)
    return (table.c.cid == partition.cid, table.c.slot.between(partition.slot_low, partition.slot_high))


def _collection_id(connection: Connection, tenant: str, collection: str) -> int | None:
    table = schema.collections
    return connection.scalar(select(table.c.cid).where(table.c.tenant == tenant, table.c.collection == collection))

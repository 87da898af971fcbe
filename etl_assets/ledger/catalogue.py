"""Collections and their partitions: which exist, and which slots each one holds."""

import re
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, draw, next_sequence

SLOTS = 1024
_KEY = re.compile(r"([a-z0-9_-]+)\.([a-z0-9_-]+)\.(\d+)-of-(\d+)")


@dataclass(frozen=True, slots=True)
class Partition:
    """One shard of one collection: the documents whose slot is in ``[slot_low, slot_high]``, both ends in."""

    key: str
    cid: int
    tenant: str
    collection: str
    slot_low: int
    slot_high: int


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
                    "dirty": 0, "revision": 0,
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


def mark_dirty(connection: Connection, partition_key: str) -> None:
    """Note that something of a partition changed, so that what became unwanted is looked for."""
    table = schema.partitions
    connection.execute(
        update(table).where(table.c.partition == partition_key).values(dirty=1, revision=table.c.revision + 1)
    )


def _collection_id(connection: Connection, tenant: str, collection: str) -> int | None:
    table = schema.collections
    return connection.scalar(select(table.c.cid).where(table.c.tenant == tenant, table.c.collection == collection))

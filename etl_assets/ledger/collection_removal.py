"""A collection struck out of the ledger as a whole, after its documents were."""

from sqlalchemy import Connection, delete, select

from etl_assets.ledger import controls, schema


def remove_collection(connection: Connection, tenant: str, collection: str) -> None:
    """Remove every row about a collection and its partitions. Numbers that were drawn are never drawn again.

    The caller has the leases of all of its partitions, or there is nobody left who could want them.
    """
    owner, part = schema.collections, schema.partitions
    cid = connection.scalar(select(owner.c.cid).where(owner.c.tenant == tenant, owner.c.collection == collection))
    q, saved = schema.quarantine, schema.saved_searches
    given = (schema.corrections, schema.given_catalogues)
    others = select(owner.c.cid).where(owner.c.tenant == tenant, owner.c.collection != collection)
    if connection.execute(others.limit(1)).first() is None:
        for table in (saved, *given):
            connection.execute(delete(table).where(table.c.tenant == tenant))
        controls.forget(connection, [tenant])
    for table in given:
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c.collection == collection))
    connection.execute(delete(q).where(q.c.tenant == tenant, q.c.collection == collection))
    if cid is None:
        return
    keys = list(connection.scalars(select(part.c.partition).where(part.c.cid == cid)))
    controls.forget(connection, [*keys, f"{tenant}/{collection}"])
    segments = list(connection.scalars(select(schema.segments.c.segment_id).where(schema.segments.c.cid == cid)))
    for start in range(0, len(segments), 5000):
        connection.execute(delete(schema.memo).where(schema.memo.c.segment_id.in_(segments[start : start + 5000])))
    for table in schema.metadata.sorted_tables:
        if "cid" in table.c:
            connection.execute(delete(table).where(table.c.cid == cid))
        elif "partition" in table.c:
            connection.execute(delete(table).where(table.c.partition.in_(keys)))

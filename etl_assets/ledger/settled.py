"""Under which settings each partition was last brought up to date, and which partitions were left half done."""

from collections.abc import Mapping

from sqlalchemy import Connection, and_, delete, insert, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import now


def settle(connection: Connection, partition: str, recipe: str) -> None:
    """Note that everything wanted under ``recipe``, a digest, is published."""
    table = schema.settled_recipes
    connection.execute(delete(table).where(table.c.partition == partition))
    connection.execute(insert(table), {"partition": partition, "recipe": recipe})


def settled(connection: Connection) -> Mapping[str, str]:
    """Digest of the recipe that each partition was last brought up to date under."""
    table = schema.settled_recipes
    return {row[0]: row[1] for row in connection.execute(select(table.c.partition, table.c.recipe))}


def dirty(connection: Connection) -> frozenset[str]:
    """Partitions in which a run began something and did not end it, or that something else asks to be looked at."""
    table = schema.partitions
    return frozenset(connection.scalars(select(table.c.partition).where(table.c.dirty != 0)))


def expired_runs(connection: Connection) -> frozenset[str]:
    """Ids of runs that took a partition, did not end, and have not renewed their lease for its time: they are dead."""
    run, lease = schema.runs, schema.leases
    alive = and_(lease.c.name == run.c.partition, lease.c.holder == run.c.run_id, lease.c.expires_at > now(connection))
    query = (
        select(run.c.run_id)
        .select_from(run.outerjoin(lease, alive))
        .where(run.c.state == "started", lease.c.name.is_(None))
    )
    return frozenset(connection.scalars(query))


def holding_runs(connection: Connection) -> frozenset[str]:
    """Ids of runs, or what else is named as a holder, whose lease has not expired."""
    lease = schema.leases
    return frozenset(connection.scalars(select(lease.c.holder).where(lease.c.expires_at > now(connection))))

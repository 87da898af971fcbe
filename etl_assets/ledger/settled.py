"""Under which recipe each partition was last brought up to date, and what a run has to look at since then."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, exists, insert, or_, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import CHANGED, LOOKING, WHOLE
from etl_assets.ledger.database import now
from etl_assets.ledger.runs import LOST, STARTED


@dataclass(frozen=True, slots=True)
class Upkeep:
    """``recipe`` is the digest that a partition was last brought up to date under, ``None``: under none yet.

    ``look_at`` is what its next run has to look at, see ``schema.partitions``; ``has_changed`` says whether documents
    are named.
    """

    recipe: str | None
    look_at: int
    has_changed: bool

    def is_kept(self, recipe: str) -> bool:
        """Whether under ``recipe`` only documents that are named can have anything to do."""
        return self.recipe == recipe and self.look_at == CHANGED


def upkeep(connection: Connection, partition: str) -> Upkeep:
    """What is known of a partition."""
    table, part, changed = schema.settled_recipes, schema.partitions, schema.changed_documents
    recipe = connection.scalar(select(table.c.recipe).where(table.c.partition == partition))
    look_at = connection.scalar(select(part.c.look_at).where(part.c.partition == partition))
    named = connection.scalar(select(changed.c.document_id).where(changed.c.partition == partition).limit(1))
    return Upkeep(recipe, WHOLE if look_at is None else int(look_at), named is not None)


def look_at_all(connection: Connection, partition: str) -> None:
    """Note that a run looks at every document of a partition from here on."""
    part = schema.partitions
    connection.execute(update(part).where(part.c.partition == partition).values(look_at=LOOKING))


def settle(connection: Connection, partition: str, recipe: str, begun_under: str) -> None:
    """Note that everything wanted under ``recipe``, a digest, is published.

    ``begun_under`` is the recipe that the run began with: where it is another one, the next run looks at everything.
    What somebody asked for meanwhile stays asked for.
    """
    table, part, changed = schema.settled_recipes, schema.partitions, schema.changed_documents
    connection.execute(delete(table).where(table.c.partition == partition))
    connection.execute(insert(table), {"partition": partition, "recipe": recipe})
    mine = part.c.partition == partition
    if recipe == begun_under:
        connection.execute(update(part).where(mine, part.c.look_at == LOOKING).values(look_at=CHANGED))
    else:
        connection.execute(update(part).where(mine).values(look_at=WHOLE))
    is_clean = exists().where(mine, part.c.dirty == 0)
    connection.execute(delete(changed).where(changed.c.partition == partition, is_clean))


def settled(connection: Connection) -> Mapping[str, str]:
    """Digest of the recipe that each partition was last brought up to date under."""
    table = schema.settled_recipes
    return {row[0]: row[1] for row in connection.execute(select(table.c.partition, table.c.recipe))}


def dirty(connection: Connection) -> frozenset[str]:
    """Partitions in which a run began something and did not end it, or that something else asks to be looked at."""
    table, changed = schema.partitions, schema.changed_documents
    named = exists().where(changed.c.partition == table.c.partition)
    left = or_(table.c.dirty != 0, table.c.look_at != CHANGED, named)
    return frozenset(connection.scalars(select(table.c.partition).where(left)))


def expired_runs(connection: Connection) -> frozenset[str]:
    """Ids of runs that took a partition, did not end, and have not renewed their lease for its time: they are dead."""
    run, lease = schema.runs, schema.leases
    alive = and_(lease.c.name == run.c.partition, lease.c.holder == run.c.run_id, lease.c.expires_at > now(connection))
    query = (
        select(run.c.run_id)
        .select_from(run.outerjoin(lease, alive))
        .where(run.c.state.in_([STARTED, LOST]), lease.c.name.is_(None))
    )
    return frozenset(connection.scalars(query))


def holding_runs(connection: Connection) -> frozenset[str]:
    """Ids of runs, or what else is named as a holder, whose lease has not expired."""
    lease = schema.leases
    return frozenset(connection.scalars(select(lease.c.holder).where(lease.c.expires_at > now(connection))))

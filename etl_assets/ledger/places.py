"""Where the stores of an installation were when they were last written to: in words, without credentials."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import upsert

_FIXED = "place."


def fixed_places(connection: Connection) -> dict[str, str]:
    """Where objects, originals and lake are, by role; a role that was never written to is left out."""
    table = schema.meta
    query = select(table.c.key, table.c.value).where(table.c.key.startswith(_FIXED, autoescape=True))
    return {row[0].removeprefix(_FIXED): row[1] for row in connection.execute(query)}


def note_fixed_places(connection: Connection, places: Mapping[str, str]) -> None:
    """Enter where these roles are."""
    upsert(connection, schema.meta, [{"key": _FIXED + role, "value": place} for role, place in places.items()])


def places_of(connection: Connection, partition: Partition) -> dict[str, str]:
    """Where a partition was published to, by store; none before it was published with this noted."""
    table = schema.store_places
    query = select(table.c.store, table.c.place).where(table.c.partition == partition.key)
    return {row[0]: row[1] for row in connection.execute(query)}


def note_places(connection: Connection, partition: Partition, places: Mapping[str, str]) -> None:
    """Enter where a partition is published to now."""
    rows = [{"partition": partition.key, "store": store, "place": place} for store, place in places.items()]
    upsert(connection, schema.store_places, rows)


def elsewhere(
    connection: Connection, places: Mapping[str, str], cids: Sequence[int] | None = None
) -> dict[str, dict[str, set[str]]]:
    """Partitions that were published to other places than these: store -> that place -> partition keys."""
    table, part = schema.store_places, schema.partitions
    query = select(table.c.store, table.c.place, table.c.partition)
    if cids is not None:
        query = query.join(part, part.c.partition == table.c.partition).where(part.c.cid.in_(cids))
    found: dict[str, dict[str, set[str]]] = {}
    for store, place, key in connection.execute(query):
        if store in places and places[store] != place:
            found.setdefault(store, {}).setdefault(place, set()).add(key)
    return found

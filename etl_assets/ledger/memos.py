"""Which values a segment holds for reuse, and which other segments may hold them too."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from etl_assets.ledger import schema

Producer = tuple[str, int]
"""A tenant, and the number of a producer: values are reused inside one tenant only."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Keys of values that are noted to be in one segment, by producer."""

    keys: Mapping[Producer, list[bytes]]

    @property
    def producers(self) -> Collection[Producer]:
        """Whose values these are."""
        return self.keys.keys()


def keys_in(connection: Connection, segment_id: int) -> Remembered:
    """Every key that is noted to be in a segment."""
    table = schema.memo
    query = select(table.c.tenant, table.c.producer_id, table.c.key).where(table.c.segment_id == segment_id)
    found: dict[Producer, list[bytes]] = {}
    for tenant, producer, key in connection.execute(query):
        found.setdefault((tenant, producer), []).append(bytes(key))
    return Remembered(found)


def segments_with(
    connection: Connection, producers: Collection[Producer], stage: str, *, but: int
) -> dict[Producer, list[int]]:
    """Segments of a stage, newest first, with outputs of these producers, open or ended, in the same tenant."""
    x, owner, file = schema.outputs, schema.collections, schema.segments
    found: dict[Producer, list[int]] = {}
    for tenant, producer in producers:
        query = (
            select(x.c.segment_id)
            .join(owner, owner.c.cid == x.c.cid)
            .join(file, file.c.segment_id == x.c.segment_id)
            .where(
                owner.c.tenant == tenant, x.c.producer_id == producer, file.c.stage == stage, file.c.segment_id != but
            )
            .distinct()
        )  # fmt: skip
        found[tenant, producer] = sorted(connection.scalars(query), reverse=True)
    return found

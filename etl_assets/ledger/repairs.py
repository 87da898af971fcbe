"""Partitions that were found to differ from their stores, and how often a repair has left the very same differences."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import clock, upsert

ATTEMPTS = 3
"""After so many repairs that left the same differences none is started by itself any more."""

FIRST_WAIT_S = 60.0
"""Before the second attempt; before the third one it is twice as long."""


@dataclass(frozen=True, slots=True)
class Differing:
    """One partition. ``digest`` is of its differences; ``problem`` is the first of them, or why no repair ended."""

    partition: str
    digest: str
    attempts: int
    found_at: float
    retry_at: float
    problem: str

    @property
    def is_given_up(self) -> bool:
        """Whether a person has to look."""
        return self.attempts >= ATTEMPTS


def differing(connection: Connection, partition: str | None = None) -> list[Differing]:
    """Partitions that are known to differ, by key."""
    table = schema.repairs
    query = select(table).order_by(table.c.partition)
    if partition is not None:
        query = query.where(table.c.partition == partition)
    return [Differing(*row) for row in connection.execute(query)]


def note_found(connection: Connection, partition: str, digest: str, problem: str) -> None:
    """Enter that a partition differs; differences that are known already keep their attempts."""
    known = differing(connection, partition)
    if not known or known[0].digest != digest:
        at = clock(connection)
        _save(connection, Differing(partition, digest, 0, at, at, problem))


def note_begun(connection: Connection, partition: str, digest: str, problem: str) -> Differing:
    """Enter that a repair of these differences begins: one that is killed counts too. What is known of it now."""
    known = differing(connection, partition)
    same = known[0] if known and known[0].digest == digest else None
    at = clock(connection)
    attempts = 1 if same is None else same.attempts + 1
    row = Differing(
        partition, digest, attempts, at if same is None else same.found_at, at + FIRST_WAIT_S * 2.0 ** (attempts - 1),
        problem,
    )  # fmt: skip
    _save(connection, row)
    return row


def note_left(connection: Connection, partition: str, digest: str, problem: str) -> Differing:
    """Enter what a repair that began has left, or why it ended; other differences are a first attempt at those."""
    known = differing(connection, partition)
    if not known or known[0].digest != digest:
        return note_begun(connection, partition, digest, problem)
    row = replace(known[0], problem=problem)
    _save(connection, row)
    return row


def note_repaired(connection: Connection, partition: str) -> None:
    """Enter that a partition is as it should be."""
    table = schema.repairs
    connection.execute(delete(table).where(table.c.partition == partition))


def due(connection: Connection) -> list[Differing]:
    """Partitions to repair now: the wait is over, and the attempts are not used up."""
    at = clock(connection)
    return [one for one in differing(connection) if not one.is_given_up and one.retry_at <= at]


def _save(connection: Connection, row: Differing) -> None:
    values = {name: getattr(row, name) for name in Differing.__dataclass_fields__}
    upsert(connection, schema.repairs, [values])

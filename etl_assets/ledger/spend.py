"""What was computed by which model, and what it cost: a row per batch, entered with the outputs that it made."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, func, insert, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import clock, draw

Period = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Tariff:
    """By which model a stage computes. ``money`` is for a million tokens, in ``currency``; "" where nothing is paid."""

    model: str = ""
    money: float = 0.0
    currency: str = ""

    @property
    def is_paid(self) -> bool:
        """Whether what this model computes counts towards a budget."""
        return self.currency != ""


FREE = Tariff()
"""Of a stage that uses no model."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one batch took: rows and tokens that were computed, without those that were known, and seconds in all."""

    rows: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What hosted models took of a tenant or a collection. ``money`` is in the currency that was asked for."""

    tokens: int
    money: float


def record_spend(
    connection: Connection, partition: Partition, stage: str, tariff: Tariff, run_id: str, used: Used
) -> None:
    """Enter what a batch took, in the transaction that enters what it made."""
    at = clock(connection)
    row = {
        "spend_id": draw(connection, "spend"), "tenant": partition.tenant, "collection": partition.collection,
        "day": _day(at), "stage": stage, "model": tariff.model[:200], "run_id": run_id, "rows_computed": used.rows,
        "tokens": used.tokens, "money": used.tokens * tariff.money / 1e6, "currency": tariff.currency,
        "seconds": used.seconds, "at": at,
    }  # fmt: skip
    connection.execute(insert(schema.spend), row)


def spent(connection: Connection, tenant: str, collection: str | None, *, per: Period, currency: str) -> Spent:
    """What hosted models took since this day, or month, began in UTC; of a whole tenant where no collection is given.

    Tokens count whatever they were paid in; money only in ``currency``.
    """
    table = schema.spend
    day = _day(clock(connection))
    begin = day if per == "day" else f"{day[:7]}-01"
    mine = [table.c.tenant == tenant, table.c.day >= begin, table.c.currency != ""]
    if collection is not None:
        mine.append(table.c.collection == collection)
    tokens = connection.scalar(select(func.sum(table.c.tokens)).where(*mine))
    money = connection.scalar(select(func.sum(table.c.money)).where(*mine, table.c.currency == currency))
    return Spent(int(tokens or 0), float(money or 0.0))


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")

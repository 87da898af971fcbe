"""Readers' claims on segments: what was alive when a pin was taken is not deleted until it is released or expires."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import delete, insert, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, hold_sequence, now


def take(ledger: Ledger, *, ttl_s: float) -> str:
    """A new pin on every segment that is alive now. It expires ``ttl_s`` from now, by the ledger's clock.

    Take it before looking up which segments to read: what died before the pin is not held.
    """
    pin = uuid4().hex
    with ledger.writing() as connection:
        # What dies in a transaction that has not committed yet must get a later time than this pin.
        hold_sequence(connection)
        at = now(connection)
        connection.execute(insert(schema.pins).values(pin=pin, taken_at=at, expires_at=at + ttl_s))
    return pin


def renew(ledger: Ledger, pin: str, *, ttl_s: float) -> bool:
    """Let a pin expire ``ttl_s`` from now; whether it still stood."""
    table = schema.pins
    with ledger.writing() as connection:
        at = now(connection)
        mine = update(table).where(table.c.pin == pin, table.c.expires_at > at).values(expires_at=at + ttl_s)
        return connection.execute(mine).rowcount == 1


def release(ledger: Ledger, pin: str) -> None:
    """Give a pin up. One that is gone already is no error."""
    with ledger.writing() as connection:
        connection.execute(delete(schema.pins).where(schema.pins.c.pin == pin))


@contextmanager
def pinned(ledger: Ledger, *, ttl_s: float) -> Iterator[str]:
    """A pin for the time of the context, and never longer than ``ttl_s``, so that a killed reader holds nothing up."""
    pin = take(ledger, ttl_s=ttl_s)
    try:
        yield pin
    finally:
        release(ledger, pin)

"""Listings of one collection that take several looks: how far each has come, and which documents it has seen.

What a listing does not show is gone only when the whole of it was seen, and servers list in orders of their own: so
the ids that were seen are kept, 16 bytes each, until the pass ends. A pass that ends in one look leaves no row.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from etl_assets.ledger import schema
from etl_assets.ledger.database import draw

_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class ListingPass:
    """One pass that is not over. ``position`` is the store's; ``parts`` counts the looks so far.

    ``listed`` counts usable keys; ``since`` is the ledger's sequence number when it began.
    """

    cid: int
    number: int
    parts: int
    position: str
    listed: int
    since: int


def begun(connection: Connection, cid: int) -> ListingPass | None:
    """The pass over a collection that goes on, if there is one."""
    table = schema.listing_passes
    row = connection.execute(select(*_columns()).where(table.c.cid == cid)).one_or_none()
    return None if row is None else ListingPass(*row)


def go_on(connection: Connection, last: ListingPass, position: str, listed: int, seen: Collection[bytes]) -> bool:
    """Enter that a look came to ``position`` and saw these ids and ``listed`` more keys.

    ``last`` is what ``begun`` gave, or a pass without parts. ``False`` when another process has gone on from there, or
    ended it: nothing is entered then.
    """
    table = schema.listing_passes
    values = {"position": position, "listed": last.listed + listed, "parts": last.parts + 1}
    if last.parts:
        number = last.number
        if not connection.execute(update(table).where(_is(last)).values(values)).rowcount:
            return False
    else:
        # The counter is held to the commit, so whoever draws second sees what the first one entered.
        number = draw(connection, "listing")
        if begun(connection, last.cid) is not None:
            return False
        connection.execute(insert(table), {"cid": last.cid, "number": number, "since": last.since, **values})
    part = {"cid": last.cid, "number": number, "part": last.parts + 1, "seen": b"".join(seen)}
    connection.execute(insert(schema.listing_parts), part)
    return True


def seen(connection: Connection, last: ListingPass) -> Iterator[bytes]:
    """Every id that the looks of a pass saw, possibly twice.

    Raises:
        LookupError: another process has ended it.
    """
    table = schema.listing_parts
    query = select(table.c.part, table.c.seen).where(table.c.cid == last.cid, table.c.number == last.number)
    parts = {row[0]: bytes(row[1]) for row in connection.execute(query.where(table.c.part <= last.parts))}
    if len(parts) != last.parts:
        raise LookupError(f"pass {last.number} over collection {last.cid} has ended")
    for ids in parts.values():
        yield from (ids[start : start + _ID_BYTES] for start in range(0, len(ids), _ID_BYTES))


def end(connection: Connection, last: ListingPass) -> None:
    """Forget a pass, unless another process has gone on with it."""
    parts = schema.listing_parts
    if last.parts and connection.execute(delete(schema.listing_passes).where(_is(last))).rowcount:
        connection.execute(delete(parts).where(parts.c.cid == last.cid, parts.c.number == last.number))


def _is(last: ListingPass) -> ColumnElement[bool]:
    table = schema.listing_passes
    return and_(table.c.cid == last.cid, table.c.number == last.number, table.c.parts == last.parts)


def _columns() -> list[Any]:
    return [schema.listing_passes.c[name] for name in ListingPass.__dataclass_fields__]

"""Catalogues of names that people brought: which are in force for whom, and what they hold.

What one holds is kept in the ledger itself, so that it is there on every machine, in every backup, and in the same
transaction as the choice of it; it is a megabyte at most where the bundle had forty.
"""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import clock, draw

Mode = Literal["add", "replace"]


@dataclass(frozen=True, slots=True)
class GivenCatalogue:
    """One catalogue without its content. ``tenant`` and ``collection`` are "" for all; times are Unix seconds UTC.

    ``digest`` is of the content, ``entries`` how many things it names.
    """

    catalogue_id: int
    tenant: str
    collection: str
    name: str
    mode: Mode
    digest: str
    entries: int
    given_by: str
    given_at: float
    ended_by: str
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class NewCatalogue:
    """What is brought: ``content`` in a form that is its reader's own."""

    tenant: str
    collection: str
    name: str
    mode: Mode
    digest: str
    entries: int
    content: bytes


def give(connection: Connection, new: NewCatalogue, *, by: str) -> GivenCatalogue:
    """Enter a catalogue. It ends one of its name at its place; one that replaces ends all that were at its place."""
    at = clock(connection)
    earlier = [one for one in in_place(connection, new.tenant, new.collection)
               if new.mode == "replace" or one.name == new.name]  # fmt: skip
    _end(connection, [one.catalogue_id for one in earlier], by=by)
    made = GivenCatalogue(
        draw(connection, "catalogue"), new.tenant, new.collection, new.name, new.mode, new.digest, new.entries, by, at,
        "", None,
    )  # fmt: skip
    row = {name: getattr(made, name) for name in GivenCatalogue.__dataclass_fields__}
    connection.execute(schema.given_catalogues.insert().values(**row, content=new.content))
    return made


def remove(connection: Connection, catalogue_id: int, *, by: str) -> GivenCatalogue | None:
    """End a catalogue that is in force; ``None`` when there is none of this number."""
    found = [one for one in given(connection) if one.catalogue_id == catalogue_id]
    _end(connection, [one.catalogue_id for one in found], by=by)
    return found[0] if found else None


def given(connection: Connection, *, ended: bool = False) -> list[GivenCatalogue]:
    """Catalogues in force, in the order in which they were brought; ``ended``: those that are not any more, too."""
    table = schema.given_catalogues
    query = select(*(table.c[name] for name in GivenCatalogue.__dataclass_fields__)).order_by(table.c.catalogue_id)
    return [
        GivenCatalogue(*row)
        for row in connection.execute(query if ended else query.where(table.c.ended_at.is_(None)))
    ]  # fmt: skip


def in_place(connection: Connection, tenant: str, collection: str) -> list[GivenCatalogue]:
    """Those in force that were brought for exactly this place."""
    return [one for one in given(connection) if (one.tenant, one.collection) == (tenant, collection)]


def in_use(connection: Connection, tenant: str, collection: str) -> list[GivenCatalogue]:
    """What a collection's catalogue is made of, in order: what is for all, for its tenant, for itself.

    Begins with the last one that replaces, if any does; without one, the packaged catalogue comes before.
    """
    wider = [("", ""), (tenant, ""), (tenant, collection)]
    chosen: list[GivenCatalogue] = []
    for one in sorted(given(connection), key=lambda one: (one.tenant != "", one.collection != "", one.catalogue_id)):
        if (one.tenant, one.collection) in wider:
            chosen = [one] if one.mode == "replace" else [*chosen, one]
    return chosen


def content_of(connection: Connection, catalogue_id: int) -> bytes:
    """What a catalogue holds; empty once it is ended."""
    table = schema.given_catalogues
    return bytes(connection.scalar(select(table.c.content).where(table.c.catalogue_id == catalogue_id)) or b"")


def _end(connection: Connection, ids: list[int], *, by: str) -> None:
    table = schema.given_catalogues
    ended = {"ended_at": clock(connection), "ended_by": by, "content": b""}
    connection.execute(update(table).where(table.c.catalogue_id.in_(ids)).values(**ended))

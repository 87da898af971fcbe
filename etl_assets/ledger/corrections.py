"""What people know better than the stages, and since when: labels of documents, what names mean, entities that are one.

A correction is in force until it is ended, by another one of the same thing or by being taken back; ended ones stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import clock, draw

Kind = Literal["label", "link", "merge", "split", "calibration"]
"""``label``: ``subject`` is ``set:label``, value ``{"accepted": bool}``. ``link``: ``subject`` is a text as documents
have it, value ``{"entity": {"entity_id", "entity_type", "name"} | None}``, ``None``: it names nothing. ``merge``: the
entity id ``subject`` is the same thing as ``{"entity": ...}``. ``split``: the text ``{"text": ...}``, taken for the
entity id ``subject``, means ``{"entity": ...}``. ``calibration``, of a collection: scores of
the label ``subject`` are moved by ``{"slope", "level"}``, as was learned from the others."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction. ``collection`` and ``document_id`` are "" for what holds in the whole tenant.

    ``version`` is what the document was when it was made. Times are Unix seconds UTC.
    """

    correction_id: int
    tenant: str
    collection: str
    document_id: str
    path: str
    version: str
    kind: Kind
    subject: str
    value: Mapping[str, Any]
    made_by: str
    made_at: float
    ended_by: str
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class Place:
    """What a correction is about: a document, or (the last three "") all of a tenant's."""

    tenant: str
    collection: str = ""
    document_id: str = ""
    path: str = ""
    version: str = ""


def correct(
    connection: Connection, place: Place, kind: Kind, subject: str, value: Mapping[str, Any], *, by: str
) -> Correction:
    """Enter a correction; one of the same thing that was in force ends."""
    table = schema.corrections
    at = clock(connection)
    same = _read(
        connection, table.c.tenant == place.tenant, table.c.collection == place.collection, table.c.kind == kind,
        table.c.document_id == place.document_id, table.c.subject == subject, table.c.ended_at.is_(None),
    )  # fmt: skip
    # An entity may be split at several texts.
    ending = [one.correction_id for one in same if one.value.get("text") == value.get("text")]
    connection.execute(
        update(table).where(table.c.correction_id.in_(ending)).values(ended_at=at, ended_by=by)
    )  # fmt: skip
    made = Correction(
        draw(connection, "correction"), place.tenant, place.collection, place.document_id, place.path, place.version,
        kind, subject, dict(value), by, at, "", None,
    )  # fmt: skip
    row = {name: getattr(made, name) for name in Correction.__dataclass_fields__}
    connection.execute(table.insert().values(**row))
    return made


def take_back(connection: Connection, correction_id: int, *, by: str) -> Correction | None:
    """End a correction that is in force; ``None`` when there is none of this number."""
    table = schema.corrections
    mine = (table.c.correction_id == correction_id, table.c.ended_at.is_(None))
    found = _read(connection, *mine)
    if not found:
        return None
    connection.execute(update(table).where(*mine).values(ended_at=clock(connection), ended_by=by))
    return found[0]


def corrections(
    connection: Connection, *, tenant: str | None = None, collection: str | None = None,
    document_id: str | None = None, ended: bool = False,
) -> list[Correction]:  # fmt: skip
    """Corrections in force, oldest first; ``ended``: those that are not any more, too."""
    table = schema.corrections
    given = {"tenant": tenant, "collection": collection, "document_id": document_id}
    wanted = [table.c[name] == value for name, value in given.items() if value is not None]
    return _read(connection, *wanted, *([] if ended else [table.c.ended_at.is_(None)]))


def in_force(connection: Connection, tenant: str, collection: str) -> list[Correction]:
    """All that holds for a collection, of its documents and of the tenant, in the order in which it was made."""
    table = schema.corrections
    mine = (table.c.tenant == tenant, table.c.collection.in_(("", collection)))
    return _read(connection, *mine, table.c.ended_at.is_(None))


def _read(connection: Connection, *conditions: Any) -> list[Correction]:
    table = schema.corrections
    query = select(*(table.c[name] for name in Correction.__dataclass_fields__)).where(*conditions)
    return [Correction(*row) for row in connection.execute(query.order_by(table.c.correction_id))]

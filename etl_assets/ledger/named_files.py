"""Every file that the ledger names, as a backup asks for it and a restore needs it."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition


@dataclass(frozen=True, slots=True)
class NamedOriginal:
    """The bytes of one version. ``needed``: it is present or published; those of ended versions may be pruned."""

    tenant: str
    document_id: str
    version: str
    needed: bool


@dataclass(frozen=True, slots=True)
class PresentObject:
    """A document that is to lie under its key ``tenant/collection/path``, with what its store says about it."""

    document_id: str
    path: str
    version: str
    content_type: str | None
    attributes: dict[str, str]


def live_segment_keys(connection: Connection) -> list[str]:
    """Keys of all segments that are alive, in order."""
    file = schema.segments
    return list(connection.scalars(select(file.c.key).where(file.c.dead_at.is_(None)).order_by(file.c.key)))


def named_originals(connection: Connection) -> list[NamedOriginal]:
    """The originals of every version of every document that the ledger knows of."""
    o, p, owner = schema.objects, schema.publications, schema.collections
    arrived = select(owner.c.tenant, o.c.document_id, o.c.version, o.c.end_seq).join(owner, owner.c.cid == o.c.cid)
    shown = (
        select(owner.c.tenant, p.c.document_id, p.c.version, p.c.end_seq)
        .join(owner, owner.c.cid == p.c.cid)
        .where(p.c.end_seq.is_(None))
    )
    needed: dict[tuple[str, str, str], bool] = {}
    for tenant, document, version, ended in connection.execute(arrived.union_all(shown)):
        name = (tenant, document, version)
        needed[name] = needed.get(name, False) or ended is None
    return [NamedOriginal(*name, needed[name]) for name in sorted(needed)]


def masters(connection: Connection) -> tuple[str, ...]:
    """Names of the master keys that wrap some data key."""
    return tuple(sorted(set(connection.scalars(select(schema.data_keys.c.master)))))


def collections(connection: Connection) -> list[tuple[str, str]]:
    """(tenant, collection) of all that are known."""
    owner = schema.collections
    return [(row[0], row[1]) for row in connection.execute(select(owner.c.tenant, owner.c.collection))]


def present_objects(connection: Connection, place: Partition) -> list[PresentObject]:
    """The documents of a partition that are present."""
    o = schema.objects
    query = select(o.c.document_id, o.c.path, o.c.version, o.c.content_type, o.c.attributes).where(
        o.c.cid == place.cid, o.c.slot.between(place.slot_low, place.slot_high), o.c.end_seq.is_(None)
    )
    return [PresentObject(*row) for row in connection.execute(query)]

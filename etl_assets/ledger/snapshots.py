"""What a reader sees: one ledger snapshot of which publications are visible, and the check of each hit against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, or_, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, sequence
from etl_assets.ledger.outputs import batches
from etl_assets.protocols.visibility import Visibility


@dataclass(frozen=True, slots=True)
class CollectionView:
    """One collection at one sequence number: which generation answers, and which publications are visible in it."""

    cid: int
    tenant: str
    collection: str
    generation_id: int
    embedding_model: str
    embedding_digest: str
    dimension: int
    visible: Visibility


@dataclass(frozen=True, slots=True)
class VisibleDocument:
    """What a publication number stands for, when it is visible. ``outputs`` is stage -> output id."""

    publication: int
    document_id: str
    cid: int
    path: str
    version: str
    record: Mapping[str, Any]
    outputs: Mapping[str, int]


def snapshot(ledger: Ledger, *, tenant: str | None, collection: str | None) -> list[CollectionView]:
    """Every collection asked for that has something to show, all at one sequence number."""
    owner, reign, g, p = schema.collections, schema.reigns, schema.generations, schema.publications
    query = (
        select(
            owner.c.cid, owner.c.tenant, owner.c.collection, g.c.generation_id, g.c.embedding_model,
            g.c.embedding_digest, g.c.dimension,
        )
        .join(reign, reign.c.cid == owner.c.cid)
        .join(g, g.c.generation_id == reign.c.generation_id)
        .where(reign.c.end_seq.is_(None))
        .order_by(owner.c.tenant, owner.c.collection)
    )  # fmt: skip
    if tenant is not None:
        query = query.where(owner.c.tenant == tenant)
    if collection is not None:
        query = query.where(owner.c.collection == collection)
    with ledger.reading() as connection:
        s = sequence(connection)
        views = []
        for row in connection.execute(query).all():
            highest = connection.scalar(select(func.max(p.c.publication)).where(p.c.cid == row.cid))
            if highest is not None:
                visible = Visibility(s, int(highest), _hidden(connection, row.cid, row.generation_id, int(highest)))
                views.append(CollectionView(*row, visible=visible))
        return views


def visible_documents(
    ledger: Ledger, generation_id: int, publications: Sequence[int], at: int
) -> dict[int, VisibleDocument]:
    """Those of ``publications`` that a reader at sequence ``at`` sees in a generation, by number."""
    p = schema.publications
    columns = (p.c.publication, p.c.document_id, p.c.cid, p.c.path, p.c.version, p.c.record, p.c.outputs)
    found: dict[int, VisibleDocument] = {}
    with ledger.reading() as connection:
        for part in batches(sorted(set(publications)), 5000):
            query = select(*columns).where(
                p.c.publication.in_(part), p.c.generation_id == generation_id, p.c.begin_seq <= at,
                or_(p.c.end_seq.is_(None), p.c.end_seq > at),
            )  # fmt: skip
            found.update((row[0], VisibleDocument(*row)) for row in connection.execute(query))
    return found


def _hidden(connection: Connection, cid: int, generation_id: int, highest: int) -> tuple[tuple[int, int], ...]:
    """Uncollected numbers up to ``highest`` that this generation does not show now, as ranges."""
    b, p = schema.outbox, schema.publications
    waiting = select(b.c.publication).where(b.c.cid == cid, b.c.publication <= highest)
    others = select(p.c.publication).where(
        p.c.cid == cid, p.c.generation_id != generation_id, p.c.end_seq.is_(None), p.c.publication <= highest
    )
    numbers = sorted({row[0] for row in connection.execute(waiting.union(others))})
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)

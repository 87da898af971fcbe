"""What a reader sees: one ledger snapshot of which publications are visible, and the check of each hit against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, and_, func, literal, or_, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, sequence
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.restoring import refuse_while_restoring
from etl_assets.protocols.visibility import Visibility

_Known = dict[tuple[int, int], tuple[int, list[tuple[int, int]]]]
_OF_OTHERS: WeakKeyDictionary[Ledger, _Known] = WeakKeyDictionary()
"""What other generations showed, by (collection, generation), at the last sequence number that was read: nothing is
begun or ended without a new one.
"""


@dataclass(frozen=True, slots=True)
class CollectionView:
    """One collection at one sequence number: which generation answers, and which publications are visible in it.

    ``settings`` are those that the generation is made by, where they were noted.
    """

    cid: int
    tenant: str
    collection: str
    generation_id: int
    embedding_model: str
    embedding_digest: str
    dimension: int
    visible: Visibility
    settings: Mapping[str, Any] | None = None


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


def snapshot(
    ledger: Ledger, *, tenant: str | None, collection: str | None, generation_id: int | None = None
) -> list[CollectionView]:
    """Every collection asked for that has something to show, all at one sequence number.

    With ``generation_id`` only the collection that has this generation, as it would answer if it were the live one.

    Raises:
        TransientError: this home is being restored: until that is done nothing answers.
    """
    owner, reign, g, p = schema.collections, schema.reigns, schema.generations, schema.publications
    answers = reign.c.generation_id if generation_id is None else literal(generation_id)
    query = (
        select(
            owner.c.cid, owner.c.tenant, owner.c.collection, g.c.generation_id, g.c.embedding_model,
            g.c.embedding_digest, g.c.dimension, g.c.settings,
        )
        .join(reign, reign.c.cid == owner.c.cid)
        .join(g, and_(g.c.generation_id == answers, g.c.cid == owner.c.cid, g.c.state != "retired"))
        .where(reign.c.end_seq.is_(None))
        .order_by(owner.c.tenant, owner.c.collection)
    )  # fmt: skip
    if tenant is not None:
        query = query.where(owner.c.tenant == tenant)
    if collection is not None:
        query = query.where(owner.c.collection == collection)
    with ledger.reading() as connection:
        if generation_id is None:
            refuse_while_restoring(connection)
        s = sequence(connection)
        views = []
        for row in connection.execute(query).all():
            highest = connection.scalar(select(func.max(p.c.publication)).where(p.c.cid == row.cid))
            if highest is not None:
                known = _OF_OTHERS.setdefault(ledger, {})
                hidden = _hidden(connection, row.cid, row.generation_id, int(highest), s, known)
                visible = Visibility(s, int(highest), hidden)
                views.append(CollectionView(*row[:7], visible=visible, settings=row.settings))
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


def visible_documents_named(ledger: Ledger, generation_id: int, document_ids: Sequence[str]) -> set[str]:
    """Those of these documents that a generation shows now, in whatever version."""
    p = schema.publications
    found: set[str] = set()
    with ledger.reading() as connection:
        for part in batches(sorted(set(document_ids)), 5000):
            query = select(p.c.document_id).where(
                p.c.document_id.in_(part), p.c.generation_id == generation_id, p.c.end_seq.is_(None)
            )
            found.update(connection.scalars(query))
    return found


def _hidden(
    connection: Connection, cid: int, generation_id: int, highest: int, at: int, known: _Known
) -> tuple[tuple[int, int], ...]:
    """Uncollected numbers up to ``highest`` that this generation does not show at sequence ``at``, as ranges."""
    b = schema.outbox
    waiting = connection.scalars(select(b.c.publication).where(b.c.cid == cid, b.c.publication <= highest))
    others = known.get((cid, generation_id))
    if others is None or others[0] != at:
        others = known[cid, generation_id] = (at, _of_others(connection, cid, generation_id, highest))
    ranges = [(number, number) for number in waiting] + others[1]
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _of_others(connection: Connection, cid: int, generation_id: int, highest: int) -> list[tuple[int, int]]:
    """Numbers that other generations in use show, as ranges: the graph holds the edges of all generations together.

    Made by the database: fetching one row for each of a large collection's documents would cost more than the search.
    """
    g, p = schema.generations, schema.publications
    others = list(
        connection.scalars(
            select(g.c.generation_id).where(
                g.c.cid == cid, g.c.state != "retired", g.c.generation_id != generation_id
            )
        )
    )  # fmt: skip
    if not others:
        return []
    place = p.c.publication - func.row_number().over(order_by=p.c.publication)
    shown = (
        select(p.c.publication, place.label("island"))
        .where(p.c.generation_id.in_(others), p.c.end_seq.is_(None), p.c.publication <= highest)
        .subquery()
    )
    query = select(func.min(shown.c.publication), func.max(shown.c.publication)).group_by(shown.c.island)
    return [(int(row[0]), int(row[1])) for row in connection.execute(query)]

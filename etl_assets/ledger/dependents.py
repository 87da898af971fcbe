"""Forwards: what rests on a document, on a producer, or on a store. Every question is answered by an index.

A document that rests on a producer at an early stage rests on it at every later one: the rows of later stages are
followed by the digests of their inputs only in collections where several producers make the early stage of a document.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Text, and_, cast, exists, false, func, literal, or_, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.publications import STORES

_IN_LIST = 5000


@dataclass(slots=True)
class Rests:
    """What of one partition rests on something. ``outputs`` and ``rows`` are by stage, ``entries`` by store.

    ``documents`` have an output or a publication among these; ``published`` counts publications, of all generations.
    """

    documents: int = 0
    published: int = 0
    outputs: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    entries: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Producers:
    """The producers asked about, and those of the stages after theirs: stage -> ids, in the order of the stages.

    ``inputs`` is stage -> the stages that it reads.
    """

    roots: frozenset[int]
    later: Mapping[str, frozenset[int]]
    inputs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Extent:
    """Ids of the collections in which something of the roots is kept: ``whole``, they made all that is kept of their
    stages; ``apart``, others made some of it, of other documents; ``mixed``, of some documents both did.
    """

    whole: frozenset[int] = frozenset()
    apart: frozenset[int] = frozenset()
    mixed: frozenset[int] = frozenset()

    def within(self, cids: Collection[int]) -> "Extent":
        """Of these collections only."""
        return Extent(self.whole & set(cids), self.apart & set(cids), self.mixed & set(cids))


def known_producers(connection: Connection) -> dict[int, tuple[str, str]]:
    """(stage, name) of every producer that ever ran, by id."""
    table = schema.producers
    query = select(table.c.producer_id, table.c.stage, table.c.producer)
    return {int(row[0]): (str(row[1]), str(row[2])) for row in connection.execute(query)}


def extent_of(connection: Connection, producers: Producers, stages: Iterable[str]) -> Extent:
    """Where the roots, producers of ``stages``, made something that is kept, and where others did too."""
    x, table = schema.outputs, schema.producers
    mine = set(connection.scalars(_kept(select(x.c.cid).distinct(), producers.roots)))
    known = set(connection.scalars(select(table.c.producer_id).where(table.c.stage.in_(sorted(stages)))))
    others = known - producers.roots
    shared = {
        cid
        for cid in mine
        for other in sorted(others)
        if connection.execute(_kept(select(x.c.output_id), [other]).where(x.c.cid == cid).limit(1)).first()
    }
    ours = x.c.document_id.in_(_documents_of(producers.roots))
    both = {
        cid for cid in shared
        if connection.execute(_kept(select(x.c.output_id), others).where(x.c.cid == cid, ours).limit(1)).first()
    }  # fmt: skip
    return Extent(frozenset(mine - shared), frozenset(shared - both), frozenset(both))


def resting_on_producers(
    connection: Connection, producers: Producers, extent: Extent, partitions: Sequence[Partition]
) -> dict[str, Rests]:
    """By partition key, what rests on the roots."""
    found = _Found(partitions)
    x = schema.outputs
    for stage, ids in producers.later.items():
        columns = (x.c.cid, x.c.slot, func.count(), func.sum(x.c.row_count))
        query = _kept(select(*columns), ids).group_by(x.c.cid, x.c.slot)
        for condition in _resting(x, producers, extent, partial(_rests_on, x, stage, producers)):
            for cid, slot, outputs, rows in connection.execute(query.where(condition)):
                found.add_outputs(cid, slot, stage, outputs, rows)
    for condition in _resting(schema.publications, producers, extent, partial(_publication_rests, producers)):
        _add_publications(connection, found, [condition])
    documents = _kept(select(x.c.cid, x.c.slot, func.count(x.c.document_id.distinct())), producers.roots)
    for cid, slot, count in connection.execute(documents.group_by(x.c.cid, x.c.slot)):
        found.of(cid, slot).documents += count
    return found.rests


def _resting(table: Any, producers: Producers, extent: Extent, exactly: Callable[[], Any]) -> list[Any]:
    """What holds of the rows of a table that rest on the roots, one condition for each kind of collection there is."""
    conditions: list[Any] = []
    if extent.whole:
        conditions.append(table.c.cid.in_(sorted(extent.whole)))
    if extent.apart:
        mine = table.c.document_id.in_(_documents_of(producers.roots))
        conditions.append(and_(table.c.cid.in_(sorted(extent.apart)), mine))
    if extent.mixed:
        conditions.append(and_(table.c.cid.in_(sorted(extent.mixed)), exactly()))
    return conditions


def _documents_of(producer_ids: Iterable[int]) -> Any:
    return _kept(select(schema.outputs.c.document_id), producer_ids)


def resting_on_stores(
    connection: Connection, stores: Collection[str], cids: Collection[int], partitions: Sequence[Partition]
) -> dict[str, Rests]:
    """By partition key, the publications that have rows in any of these stores, and these rows."""
    p = schema.publications
    found = _Found(partitions)
    some = or_(*(p.c.counts[store].as_integer() > 0 for store in sorted(stores)))
    _add_publications(connection, found, [p.c.cid.in_(sorted(cids)), some], stores=stores, documents=True)
    return found.rests


def resting_on_document(connection: Connection, document_id: str, partitions: Sequence[Partition]) -> dict[str, Rests]:
    """By partition key, what is kept and published of one document."""
    x, producer, p = schema.outputs, schema.producers, schema.publications
    found = _Found(partitions)
    query = (
        select(x.c.cid, x.c.slot, producer.c.stage, func.count(), func.sum(x.c.row_count))
        .join(producer, producer.c.producer_id == x.c.producer_id)
        .where(x.c.document_id == document_id, x.c.end_seq.is_(None))
        .group_by(x.c.cid, x.c.slot, producer.c.stage)
    )
    for row in connection.execute(query):
        found.add_outputs(*row)
        found.of(row[0], row[1]).documents = 1
    _add_publications(connection, found, [p.c.document_id == document_id])
    for one in found.rests.values():
        one.documents = 1
    return found.rests


def live_publications(
    connection: Connection, producers: Producers, extent: Extent, *, most: int
) -> dict[int, str] | None:
    """Publication -> document that searches see of what rests on the roots; ``None`` when they are over ``most``."""
    p, reign = schema.publications, schema.reigns
    live = and_(reign.c.cid == p.c.cid, reign.c.generation_id == p.c.generation_id, reign.c.end_seq.is_(None))
    query = select(p.c.publication, p.c.document_id).join(reign, live).where(p.c.end_seq.is_(None))
    conditions = _resting(p, producers, extent, partial(_publication_rests, producers))
    rows = connection.execute(query.where(or_(false(), *conditions)).limit(most + 1)).all()
    return None if len(rows) > most else {int(row[0]): str(row[1]) for row in rows}


def affected_among(
    connection: Connection, document_ids: Iterable[str], producers: Producers, extent: Extent
) -> set[str]:
    """Those of these documents whose live publication rests on the roots."""
    p, reign = schema.publications, schema.reigns
    live = and_(reign.c.cid == p.c.cid, reign.c.generation_id == p.c.generation_id, reign.c.end_seq.is_(None))
    conditions = _resting(p, producers, extent, partial(_publication_rests, producers))
    found: set[str] = set()
    for part in batches(sorted(set(document_ids)), _IN_LIST):
        query = select(p.c.document_id).join(reign, live).where(p.c.document_id.in_(part), p.c.end_seq.is_(None))
        found.update(connection.scalars(query.where(or_(false(), *conditions))))
    return found


NOTHING_MADE = Producers(frozenset(), {}, {})
"""For questions about whole collections."""


class _Found:
    """Sums by partition. Rows know their collection and slot, of which partitions are ranges."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self.rests: dict[str, Rests] = {}
        self._ranges: dict[int, list[Partition]] = {}
        for one in partitions:
            self._ranges.setdefault(one.cid, []).append(one)

    def of(self, cid: int, slot: int) -> Rests:
        key = next(one.key for one in self._ranges[cid] if one.slot_low <= slot <= one.slot_high)
        return self.rests.setdefault(key, Rests())

    def add_outputs(self, cid: int, slot: int, stage: str, outputs: int, rows: int) -> None:
        one = self.of(cid, slot)
        one.outputs[stage] += int(outputs)
        one.rows[stage] += int(rows)


def _add_publications(
    connection: Connection, found: _Found, conditions: Sequence[Any], *, stores: Collection[str] = STORES,
    documents: bool = False,
) -> None:  # fmt: skip
    p = schema.publications
    wanted = [store for store in STORES if store in stores]
    sums = [func.coalesce(func.sum(p.c.counts[store].as_integer()), 0) for store in wanted]
    shown = func.count(p.c.document_id.distinct()) if documents else literal(0)
    columns = (p.c.cid, p.c.slot, func.count(), shown, *sums)
    query = select(*columns).where(p.c.end_seq.is_(None), *conditions).group_by(p.c.cid, p.c.slot)
    for cid, slot, published, of_documents, *counts in connection.execute(query):
        one = found.of(cid, slot)
        one.published += published
        one.documents += of_documents
        one.entries.update({store: int(count) for store, count in zip(wanted, counts, strict=True)})


def _kept(query: Any, producer_ids: Iterable[int]) -> Any:
    x = schema.outputs
    return query.where(x.c.producer_id.in_(sorted(producer_ids)), x.c.end_seq.is_(None))


def _rests_on(made: Any, stage: str, producers: Producers) -> Any:
    """Whether an output at ``stage`` was made by a root, or of an input that rests on one."""
    conditions: list[Any] = [made.c.producer_id.in_(sorted(producers.roots))]
    for name in producers.inputs[stage]:
        if name not in producers.later:
            continue
        before = schema.outputs.alias()
        conditions.append(
            exists().where(
                before.c.document_id == made.c.document_id, before.c.version == made.c.version,
                before.c.producer_id.in_(sorted(producers.later[name])), before.c.end_seq.is_(None),
                ("+" + made.c.input_digest + "+").like("%+" + before.c.output_digest + "+%"),
                _rests_on(before, name, producers),
            )
        )  # fmt: skip
    return or_(*conditions)


def _publication_rests(producers: Producers) -> Any:
    """Whether a publication names an output of a root: it names one of each stage."""
    p, made = schema.publications, schema.outputs.alias()
    return exists().where(
        made.c.document_id == p.c.document_id, made.c.producer_id.in_(sorted(producers.roots)),
        made.c.end_seq.is_(None),
        ("+" + p.c.outputs_key + "+").like("%+" + cast(made.c.output_id, Text) + "+%"),
    )  # fmt: skip

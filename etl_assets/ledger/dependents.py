"""Forwards: what rests on a document, on a producer, or on a store. Every question is answered by an index.

A document that rests on a producer at an early stage rests on it at every later one: the rows of later stages are
followed by the digests of their inputs only in collections where several producers make the early stage.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Text, and_, cast, exists, func, literal, or_, select

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


def known_producers(connection: Connection) -> dict[int, tuple[str, str]]:
    """(stage, name) of every producer that ever ran, by id."""
    table = schema.producers
    query = select(table.c.producer_id, table.c.stage, table.c.producer)
    return {int(row[0]): (str(row[1]), str(row[2])) for row in connection.execute(query)}


def mixed_collections(connection: Connection, producers: Producers, stages: Iterable[str]) -> tuple[set[int], set[int]]:
    """Collections where the roots made all that is kept of their stages, and those where others made some of it."""
    x, table = schema.outputs, schema.producers
    mine = set(connection.scalars(_kept(select(x.c.cid).distinct(), producers.roots)))
    others = set(connection.scalars(select(table.c.producer_id).where(table.c.stage.in_(sorted(stages)))))
    mixed = {
        cid
        for cid in mine
        for other in sorted(others - producers.roots)
        if connection.execute(_kept(select(x.c.output_id), [other]).where(x.c.cid == cid).limit(1)).first()
    }
    return mine - mixed, mixed


def resting_on_producers(
    connection: Connection, producers: Producers, whole: Collection[int], mixed: Collection[int],
    partitions: Sequence[Partition],
) -> dict[str, Rests]:  # fmt: skip
    """By partition key, what rests on the roots. ``whole`` and ``mixed`` are as ``mixed_collections`` tells."""
    found = _Found(partitions)
    x = schema.outputs
    for stage, ids in producers.later.items():
        columns = (x.c.cid, x.c.slot, func.count(), func.sum(x.c.row_count))
        query = _kept(select(*columns), ids).group_by(x.c.cid, x.c.slot)
        for cid, slot, outputs, rows in connection.execute(query.where(x.c.cid.in_(sorted(whole)))):
            found.add_outputs(cid, slot, stage, outputs, rows)
        if mixed:
            exact = query.where(x.c.cid.in_(sorted(mixed)), _rests_on(x, stage, producers))
            for cid, slot, outputs, rows in connection.execute(exact):
                found.add_outputs(cid, slot, stage, outputs, rows)
    p = schema.publications
    _add_publications(connection, found, [p.c.cid.in_(sorted(whole))])
    if mixed:
        _add_publications(connection, found, [p.c.cid.in_(sorted(mixed)), _publication_rests(producers)])
    documents = _kept(select(x.c.cid, x.c.slot, func.count(x.c.document_id.distinct())), producers.roots)
    for cid, slot, count in connection.execute(documents.group_by(x.c.cid, x.c.slot)):
        found.of(cid, slot).documents += count
    return found.rests


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
    connection: Connection, producers: Producers | None, whole: Collection[int], mixed: Collection[int], *, most: int
) -> dict[int, str] | None:
    """Publication -> document that searches see of what rests on the roots; ``None`` when they are over ``most``.

    Without producers, of all of ``whole``.
    """
    p, reign = schema.publications, schema.reigns
    live = and_(reign.c.cid == p.c.cid, reign.c.generation_id == p.c.generation_id, reign.c.end_seq.is_(None))
    query = select(p.c.publication, p.c.document_id).join(reign, live).where(p.c.end_seq.is_(None))
    conditions: list[Any] = [p.c.cid.in_(sorted(whole))]
    if mixed and producers is not None:
        conditions.append(and_(p.c.cid.in_(sorted(mixed)), _publication_rests(producers)))
    rows = connection.execute(query.where(or_(*conditions)).limit(most + 1)).all()
    return None if len(rows) > most else {int(row[0]): str(row[1]) for row in rows}


def affected_among(
    connection: Connection, document_ids: Iterable[str], producers: Producers | None, whole: Collection[int],
    mixed: Collection[int],
) -> set[str]:  # fmt: skip
    """Those of these documents whose live publication rests on the roots, or lies in ``whole``."""
    p, reign = schema.publications, schema.reigns
    live = and_(reign.c.cid == p.c.cid, reign.c.generation_id == p.c.generation_id, reign.c.end_seq.is_(None))
    conditions: list[Any] = [p.c.cid.in_(sorted(whole))]
    if mixed and producers is not None:
        conditions.append(and_(p.c.cid.in_(sorted(mixed)), _publication_rests(producers)))
    found: set[str] = set()
    for part in batches(sorted(set(document_ids)), _IN_LIST):
        query = select(p.c.document_id).join(reign, live).where(p.c.document_id.in_(part), p.c.end_seq.is_(None))
        found.update(connection.scalars(query.where(or_(*conditions))))
    return found


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

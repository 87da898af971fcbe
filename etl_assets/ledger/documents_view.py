"""What the ledger says about documents, for people: present, gone and held ones, and everything about a single one.

Nothing is decided here; what the facts amount to (current, pending, quarantined, removed) is the domain's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty
from etl_assets.ledger.outputs import Recipe, batches, joined_chain
from etl_assets.ledger.quarantine import AWAITS_RETRY, RAW_STAGE


@dataclass(frozen=True, slots=True)
class PresentDocument:
    """A document whose key is there. ``is_finished``: every wanted stage has an output of this version;
    ``is_published``: the live generation shows exactly these outputs.

    ``publication``, ``published_version`` and ``record`` are of the open publication, whatever its version.
    """

    document_id: str
    path: str
    version: str
    size_bytes: int
    content_type: str | None
    arrived_at: float
    publication: int | None
    published_version: str | None
    record: Mapping[str, Any]
    is_finished: bool
    is_published: bool


@dataclass(frozen=True, slots=True)
class GoneDocument:
    """A document whose key is gone, as it last was."""

    document_id: str
    path: str
    version: str
    size_bytes: int
    content_type: str | None
    arrived_at: float


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """One quarantine row. Times are Unix seconds UTC."""

    document_id: str
    stage: str
    tenant: str
    collection: str
    path: str
    version: str
    producer_id: int
    reason: str
    message: str
    attempts: int
    first_at: float
    last_at: float


def present_documents(
    connection: Connection, partition: Partition, recipe: Recipe, *, switches: str
) -> list[PresentDocument]:
    """Every present document of a partition, by path. ``switches`` is the digest of the wanted publications."""
    o, p = schema.objects, schema.publications
    shown = _shown(partition, connection)
    published = _published_under(connection, partition, recipe, switches, shown)
    source = o.outerjoin(p, shown)
    query = (
        select(
            o.c.document_id, o.c.path, o.c.version, o.c.size_bytes, o.c.content_type, o.c.arrived_at,
            p.c.publication, p.c.version, p.c.record,
        )
        .select_from(source)
        .where(*_mine(partition), o.c.end_seq.is_(None))
        .order_by(o.c.path)
    )  # fmt: skip
    return [
        PresentDocument(*row[:8], row[8] or {}, row[0] in published, published.get(row[0], False))
        for row in connection.execute(query).all()
    ]


def gone_documents(connection: Connection, partition: Partition) -> list[GoneDocument]:
    """Documents of a partition that were there once and are not now, by path."""
    o, now = schema.objects, schema.objects.alias("now")
    is_back = select(now.c.document_id).where(
        now.c.cid == o.c.cid, now.c.slot == o.c.slot, now.c.document_id == o.c.document_id, now.c.end_seq.is_(None)
    )
    query = (
        select(o.c.document_id, o.c.path, o.c.version, o.c.size_bytes, o.c.content_type, o.c.arrived_at)
        .where(*_mine(partition), o.c.end_seq.is_not(None), ~is_back.exists())
        .order_by(o.c.begin_seq)
    )
    last = {row[0]: GoneDocument(*row) for row in connection.execute(query)}
    return sorted(last.values(), key=lambda one: one.path)


def held_documents(
    connection: Connection, *, tenant: str | None = None, collection: str | None = None
) -> list[HeldDocument]:
    """Every quarantine row, by tenant, collection, path and stage; files outside any collection have "" for both."""
    q = schema.quarantine
    columns = [q.c[name] for name in HeldDocument.__dataclass_fields__]
    query = select(*columns).order_by(q.c.tenant, q.c.collection, q.c.path, q.c.stage)
    if tenant is not None:
        query = query.where(q.c.tenant == tenant)
    if collection is not None:
        query = query.where(q.c.collection == collection)
    return [HeldDocument(*row) for row in connection.execute(query)]


def holding(connection: Connection, partition: Partition, recipe: Recipe) -> set[tuple[str, str]]:
    """(document, stage) of the quarantine rows that keep present documents of a partition back now.

    Not after a retry was asked for, and not when the version, the producer or its input is another by now.
    """
    o, q = schema.objects, schema.quarantine
    mine = (*_mine(partition), o.c.end_seq.is_(None), q.c.producer_id != AWAITS_RETRY)
    raw = select(q.c.document_id, q.c.stage).join(o, o.c.document_id == q.c.document_id)
    found = {(row[0], row[1]) for row in connection.execute(raw.where(*mine, q.c.stage == RAW_STAGE))}
    for name, step in recipe.items():
        source, made = joined_chain(recipe, step.inputs)
        inputs = [made[one].c.output_digest for one in step.inputs]
        digest = reduce(lambda left, right: left + "+" + right, inputs) if inputs else o.c.input_digest
        same = and_(
            q.c.document_id == o.c.document_id, q.c.stage == name, q.c.version == o.c.version,
            q.c.producer_id == step.producer_id, q.c.input_digest == digest,
        )  # fmt: skip
        query = select(q.c.document_id, q.c.stage).select_from(source.join(q, same)).where(*mine)
        found.update((row[0], row[1]) for row in connection.execute(query))
    return found


def ask_retry(connection: Connection, held: Sequence[HeldDocument], partitions: Mapping[str, str]) -> int:
    """Let the next run try these rows again; how many they are. ``partitions`` is document id -> partition key."""
    q = schema.quarantine
    for part in batches([one.document_id for one in held if one.stage == RAW_STAGE], 5000):
        # Before any stage, a key is looked at again when its fingerprint is not the one that was refused.
        connection.execute(update(q).where(q.c.document_id.in_(part), q.c.stage == RAW_STAGE).values(fingerprint=""))
    for document, stage in sorted({(one.document_id, one.stage) for one in held}):
        _await_retry(connection, document, stage)
    for key in sorted(set(partitions.values())):
        mark_dirty(connection, key, [document for document, mine in partitions.items() if mine == key])
    return len(held)


def _await_retry(connection: Connection, document: str, stage: str) -> None:
    """One row is left of those that several index generations hold: the oldest, since it tells since when."""
    q = schema.quarantine
    mine = (q.c.document_id == document, q.c.stage == stage)
    oldest = select(q.c.producer_id, q.c.input_digest).where(*mine).order_by(q.c.first_at, q.c.producer_id).limit(1)
    producer, digest = connection.execute(oldest).one()
    kept = and_(q.c.producer_id == producer, q.c.input_digest == digest)
    connection.execute(delete(q).where(*mine, ~kept))
    connection.execute(update(q).where(*mine).values(producer_id=AWAITS_RETRY))


def documents_named(
    connection: Connection, *, prefix: str | None = None, ends: str | None = None
) -> list[tuple[str, str, str, str]]:
    """(id, tenant, collection, path) of documents, present or gone or held, by the beginning of their id or by the end
    of their path, in whole parts; by id, each once. At most 50. A beginning is looked up, an end is searched for."""
    o, owner, q = schema.objects, schema.collections, schema.quarantine
    known = select(o.c.document_id, owner.c.tenant, owner.c.collection, o.c.path).join(owner, owner.c.cid == o.c.cid)
    held = select(q.c.document_id, q.c.tenant, q.c.collection, q.c.path)
    if prefix is not None:
        known, held = (query.where(_begins(query.selected_columns[0], prefix)) for query in (known, held))
    if ends is not None:
        known, held = (query.where(_ends(query.selected_columns[3], ends)) for query in (known, held))
    found = {tuple(row) for query in (known, held) for row in connection.execute(query.distinct().limit(50))}
    return sorted((row[0], row[1], row[2], row[3]) for row in found)


def versions_of(connection: Connection, document_id: str) -> list[dict[str, Any]]:
    """Every version of a document, oldest first: version, size, content type, metadata, times, sequence numbers."""
    o = schema.objects
    columns = (
        o.c.version, o.c.path, o.c.size_bytes, o.c.content_type, o.c.attributes, o.c.arrived_at, o.c.begin_seq,
        o.c.end_seq,
    )  # fmt: skip
    query = select(*columns).where(o.c.document_id == document_id).order_by(o.c.begin_seq)
    return [dict(row._mapping) for row in connection.execute(query)]


def outputs_of(connection: Connection, document_id: str) -> list[dict[str, Any]]:
    """Every output ever made of a document, oldest first, with the producer that made it."""
    x, producer = schema.outputs, schema.producers
    columns = (
        producer.c.stage, producer.c.producer, producer.c.parameters, x.c.version, x.c.row_count, x.c.seconds,
        x.c.tokens, x.c.facts, x.c.output_digest, x.c.run_id, x.c.computed_at, x.c.begin_seq, x.c.end_seq,
    )  # fmt: skip
    query = (
        select(*columns)
        .join(producer, producer.c.producer_id == x.c.producer_id)
        .where(x.c.document_id == document_id)
        .order_by(x.c.begin_seq, x.c.output_id)
    )
    return [dict(row._mapping) for row in connection.execute(query)]


def publications_of(connection: Connection, document_id: str) -> list[dict[str, Any]]:
    """Every publication ever committed of a document, oldest first, with its index generation."""
    p, g = schema.publications, schema.generations
    columns = (
        p.c.publication, p.c.version, p.c.counts, p.c.record, p.c.begin_seq, p.c.end_seq, g.c.generation_id,
        g.c.state, g.c.embedding_model,
    )  # fmt: skip
    query = (
        select(*columns)
        .join(g, g.c.generation_id == p.c.generation_id)
        .where(p.c.document_id == document_id)
        .order_by(p.c.begin_seq, p.c.publication)
    )
    return [dict(row._mapping) for row in connection.execute(query)]


def waiting_of(connection: Connection, document_id: str) -> list[dict[str, Any]]:
    """What the outbox holds of a document: numbers being written, and those that stores have still to remove."""
    b = schema.outbox
    query = select(b.c.publication, b.c.state, b.c.stores, b.c.since).where(b.c.document_id == document_id)
    return [dict(row._mapping) for row in connection.execute(query.order_by(b.c.publication))]


def row_counts(connection: Connection, partition: Partition, recipe: Recipe) -> dict[str, tuple[int, int]]:
    """(documents, rows) finished at each stage under ``recipe``, of present documents."""
    o = schema.objects
    counts: dict[str, tuple[int, int]] = {}
    for stage in recipe:
        source, made = joined_chain(recipe, (stage,))
        query = select(made[stage].c.row_count).select_from(source).where(*_mine(partition), o.c.end_seq.is_(None))
        rows = [int(count) for count in connection.scalars(query)]
        counts[stage] = (len(rows), sum(rows))
    return counts


def unpublished_in(
    connection: Connection, partition: Partition, recipe: Recipe, generation_id: int, *, switches: str
) -> set[str]:
    """Present documents that a generation, which need not answer yet, does not show as its recipe makes them."""
    o, p = schema.objects, schema.publications
    shown = and_(p.c.document_id == o.c.document_id, p.c.generation_id == generation_id, p.c.end_seq.is_(None))
    published = _published_under(connection, partition, recipe, switches, shown)
    present = connection.scalars(select(o.c.document_id).where(*_mine(partition), o.c.end_seq.is_(None)))
    return {document for document in present if not published.get(document, False)}


def _published_under(
    connection: Connection, partition: Partition, recipe: Recipe, switches: str, shown: Any
) -> dict[str, bool]:
    """Finished documents, by id: whether the publications joined by ``shown`` rest on their outputs."""
    o, p = schema.objects, schema.publications
    source, made = joined_chain(recipe, recipe)
    source = source.outerjoin(p, shown)
    columns: list[Any] = [o.c.document_id, p.c.outputs, and_(p.c.object_seq == o.c.begin_seq, p.c.switches == switches)]
    columns += [made[name].c.output_id for name in recipe]
    query = select(*columns).select_from(source).where(*_mine(partition), o.c.end_seq.is_(None))
    return {
        row[0]: bool(row[2]) and dict(row[1] or {}) == dict(zip(recipe, row[3:], strict=True))
        for row in connection.execute(query).all()
    }


def _shown(partition: Partition, connection: Connection) -> Any:
    """The open publication of a document in the generation that answers searches."""
    o, p, reign = schema.objects, schema.publications, schema.reigns
    live = connection.scalar(
        select(reign.c.generation_id).where(reign.c.cid == partition.cid, reign.c.end_seq.is_(None))
    )
    return and_(
        p.c.document_id == o.c.document_id, p.c.generation_id == (-1 if live is None else live), p.c.end_seq.is_(None)
    )


def _mine(partition: Partition) -> tuple[Any, ...]:
    o = schema.objects
    return (o.c.cid == partition.cid, o.c.slot.between(partition.slot_low, partition.slot_high))


def _begins(column: Any, prefix: str) -> Any:
    """Ids are hex, so the last one with a prefix is followed by the prefix and a "g"."""
    return or_(column == prefix, and_(column >= prefix, column < prefix + "g"))


def _ends(path: Any, name: str) -> Any:
    """Not LIKE: SQLite's takes capitals for small letters."""
    return or_(path == name, func.substr(path, func.length(path) - len(name)) == "/" + name)

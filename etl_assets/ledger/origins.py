"""Backwards: what a publication rests on, and who made that, when and of what. An index answers every question."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, select

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import batches

_IN_LIST = 5000


@dataclass(frozen=True, slots=True)
class MadeOutput:
    """One output and its producer. Times are Unix seconds UTC; ``segment`` is the key of the file with its rows now."""

    output_id: int
    document_id: str
    version: str
    stage: str
    producer: str
    parameters: Mapping[str, Any]
    input_digest: str
    output_digest: str
    row_count: int
    seconds: float
    tokens: int
    run_id: str
    computed_at: float
    begin_seq: int
    end_seq: int | None
    segment: str | None
    segment_sha256: str | None


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """One publication: which version of which document, in which index generation, of which outputs."""

    publication: int
    document_id: str
    tenant: str
    collection: str
    path: str
    version: str
    generation_id: int
    generation_state: str
    embedding_model: str
    object_seq: int
    outputs: Mapping[str, int]
    counts: Mapping[str, int]
    begin_seq: int
    end_seq: int | None


def made_outputs(connection: Connection, output_ids: Collection[int]) -> dict[int, MadeOutput]:
    """These outputs, open or ended, by id; those that were pruned are absent."""
    found: dict[int, MadeOutput] = {}
    for part in batches(sorted(output_ids), _IN_LIST):
        query = _outputs().where(schema.outputs.c.output_id.in_(part))
        found.update((row[0], MadeOutput(*row)) for row in connection.execute(query))
    return found


def open_outputs(connection: Connection, document_id: str, version: str) -> list[MadeOutput]:
    """What is kept of a version at every stage, in the order in which it was made."""
    x = schema.outputs
    mine = (x.c.document_id == document_id, x.c.version == version, x.c.end_seq.is_(None))
    return [MadeOutput(*row) for row in connection.execute(_outputs().where(*mine).order_by(x.c.output_id))]


def _outputs() -> Any:
    x, producer, file = schema.outputs, schema.producers, schema.segments
    return (
        select(
            x.c.output_id, x.c.document_id, x.c.version, producer.c.stage, producer.c.producer, producer.c.parameters,
            x.c.input_digest, x.c.output_digest, x.c.row_count, x.c.seconds, x.c.tokens, x.c.run_id, x.c.computed_at,
            x.c.begin_seq, x.c.end_seq, file.c.key, file.c.sha256,
        )
        .join(producer, producer.c.producer_id == x.c.producer_id)
        .outerjoin(file, file.c.segment_id == x.c.segment_id)
    )  # fmt: skip


def shown_under(connection: Connection, publication: int) -> ShownDocument | None:
    """What a publication number stands for, or stood for; ``None`` for one that was never committed, or was pruned."""
    row = connection.execute(_shown().where(schema.publications.c.publication == publication)).first()
    return None if row is None else ShownDocument(*row)


def shown_documents(connection: Connection, document_ids: Sequence[str]) -> dict[str, ShownDocument]:
    """What searches answer from now of these documents, by id."""
    p, reign = schema.publications, schema.reigns
    live = and_(reign.c.cid == p.c.cid, reign.c.generation_id == p.c.generation_id, reign.c.end_seq.is_(None))
    found: dict[str, ShownDocument] = {}
    for part in batches(sorted(set(document_ids)), _IN_LIST):
        query = _shown().join(reign, live).where(p.c.document_id.in_(part), p.c.end_seq.is_(None))
        found.update((row[1], ShownDocument(*row)) for row in connection.execute(query))
    return found


def _shown() -> Any:
    p, owner, g = schema.publications, schema.collections, schema.generations
    return (
        select(
            p.c.publication, p.c.document_id, owner.c.tenant, owner.c.collection, p.c.path, p.c.version,
            p.c.generation_id, g.c.state, g.c.embedding_model, p.c.object_seq, p.c.outputs, p.c.counts, p.c.begin_seq,
            p.c.end_seq,
        )
        .join(owner, owner.c.cid == p.c.cid)
        .join(g, g.c.generation_id == p.c.generation_id)
    )  # fmt: skip


def arrived(connection: Connection, document_id: str, version: str) -> dict[str, Any] | None:
    """The newest row of a version of a document: path, size, content type, arrival; ``None`` when it was pruned."""
    o = schema.objects
    columns = (o.c.path, o.c.version, o.c.size_bytes, o.c.content_type, o.c.arrived_at, o.c.begin_seq, o.c.end_seq)
    mine = (o.c.document_id == document_id, o.c.version == version)
    row = connection.execute(select(*columns).where(*mine).order_by(o.c.begin_seq.desc()).limit(1)).first()
    return None if row is None else dict(row._mapping)


def newest_version(connection: Connection, document_id: str) -> str | None:
    """The version that a document has, or had last; ``None`` when the ledger knows no row of it."""
    o = schema.objects
    query = select(o.c.version).where(o.c.document_id == document_id).order_by(o.c.begin_seq.desc()).limit(1)
    return connection.scalar(query)


def run_states(connection: Connection, run_ids: Collection[str], partition: str) -> dict[str, dict[str, Any]]:
    """State, start and end of these runs of a partition, by run id; those that were pruned are absent."""
    table = schema.runs
    columns = (table.c.run_id, table.c.state, table.c.started_at, table.c.ended_at)
    query = select(*columns).where(table.c.partition == partition, table.c.run_id.in_(sorted(run_ids)))
    return {row.run_id: dict(row._mapping) for row in connection.execute(query)}


def segments_of_stage(connection: Connection, stage: str, tenant: str | None) -> dict[int, str]:
    """Segments with living rows of a stage, of one tenant or of all: id -> key."""
    file, owner = schema.segments, schema.collections
    query = select(file.c.segment_id, file.c.key).where(file.c.stage == stage, file.c.dead_at.is_(None))
    if tenant is not None:
        query = query.join(owner, owner.c.cid == file.c.cid).where(owner.c.tenant == tenant)
    return {int(row[0]): str(row[1]) for row in connection.execute(query)}


def documents_in(connection: Connection, partition: Partition) -> list[tuple[str, str, str, int | None]]:
    """(document, path, version, publication that searches see) of a partition's present documents, by path."""
    o, p, reign = schema.objects, schema.publications, schema.reigns
    live = connection.scalar(
        select(reign.c.generation_id).where(reign.c.cid == partition.cid, reign.c.end_seq.is_(None))
    )
    shown = and_(
        p.c.document_id == o.c.document_id, p.c.generation_id == (-1 if live is None else live), p.c.end_seq.is_(None)
    )
    query = (
        select(o.c.document_id, o.c.path, o.c.version, p.c.publication)
        .outerjoin(p, shown)
        .where(
            o.c.cid == partition.cid, o.c.slot.between(partition.slot_low, partition.slot_high), o.c.end_seq.is_(None)
        )
        .order_by(o.c.path)
    )  # fmt: skip
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]


def made_in(connection: Connection, partition: Partition) -> list[dict[str, Any]]:
    """What is kept of a partition by producer: stage, producer, parameters, documents and rows; by stage."""
    x, producer = schema.outputs, schema.producers
    sums = (
        select(x.c.producer_id, func.count(x.c.document_id.distinct()).label("documents"),
               func.sum(x.c.row_count).label("rows"))
        .where(
            x.c.producer_id.in_(select(producer.c.producer_id)), x.c.cid == partition.cid,
            x.c.slot.between(partition.slot_low, partition.slot_high), x.c.end_seq.is_(None),
        )
        .group_by(x.c.producer_id)
        .subquery()
    )  # fmt: skip
    query = (
        select(producer.c.stage, producer.c.producer, producer.c.parameters, sums.c.documents, sums.c.rows)
        .join(sums, sums.c.producer_id == producer.c.producer_id)
        .order_by(producer.c.producer_id)
    )
    return [dict(row._mapping) | {"rows": int(row.rows)} for row in connection.execute(query)]

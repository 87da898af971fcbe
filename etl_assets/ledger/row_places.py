"""For readers: which outputs are current or published, and which segments hold their rows."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, or_, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.segments import SegmentFile

_IN_LIST = 5000


@dataclass(frozen=True, slots=True)
class CurrentOutput:
    """One document's newest output at a stage, and the segment that holds its rows (``None``: it has none)."""

    output_id: int
    document_id: str
    tenant: str
    collection: str
    path: str
    version: str
    segment_id: int | None


def output_files(ledger: Ledger, output_ids: Iterable[int]) -> dict[int, SegmentFile]:
    """The segment that holds each output's rows now. Outputs without rows, or whose segment is struck out, are absent.

    Compaction moves rows: who finds a file gone asks again.
    """
    x, file = schema.outputs, schema.segments
    columns = (x.c.output_id, file.c.segment_id, file.c.key, file.c.sha256)
    found: dict[int, SegmentFile] = {}
    with ledger.reading() as connection:
        for part in batches(sorted(set(output_ids)), _IN_LIST):
            query = select(*columns).join(file, file.c.segment_id == x.c.segment_id).where(x.c.output_id.in_(part))
            found.update((int(row[0]), SegmentFile(*row[1:])) for row in connection.execute(query))
    return found


def current_outputs(connection: Connection, stage: str) -> list[CurrentOutput]:
    """The newest open output at ``stage`` of every present document's current version, by segment, then output.

    A version that waits or failed at the stage has none, whatever an earlier version of the document had. Where a
    collection has several index generations, it is the output that the one that answers shows, if it shows any.
    """
    x, o, owner, producer = schema.outputs, schema.objects, schema.collections, schema.producers
    query = (
        select(
            x.c.output_id, x.c.document_id, owner.c.tenant, owner.c.collection, o.c.path, x.c.version, x.c.segment_id
        )
        .join(producer, producer.c.producer_id == x.c.producer_id)
        .join(o, and_(o.c.document_id == x.c.document_id, o.c.version == x.c.version, o.c.end_seq.is_(None)))
        .join(owner, owner.c.cid == o.c.cid)
        .where(producer.c.stage == stage, x.c.end_seq.is_(None))
        .order_by(x.c.segment_id, x.c.output_id)
    )
    found = [CurrentOutput(*row) for row in connection.execute(query)]
    shown = _shown_by_live(connection, stage)
    made: dict[str, list[int]] = {}
    for one in found:
        made.setdefault(one.document_id, []).append(one.output_id)
    chosen = {document: shown[document] if shown.get(document) in ids else max(ids) for document, ids in made.items()}
    return [one for one in found if chosen[one.document_id] == one.output_id]


def _shown_by_live(connection: Connection, stage: str) -> dict[str, int]:
    """Which output the live generation shows of each document, in collections that have others beside it."""
    g, p, reign = schema.generations, schema.publications, schema.reigns
    several = select(g.c.cid).where(g.c.state != "retired").group_by(g.c.cid).having(func.count() > 1)
    query = (
        select(p.c.document_id, p.c.outputs)
        .join(reign, and_(reign.c.generation_id == p.c.generation_id, reign.c.end_seq.is_(None)))
        .where(p.c.end_seq.is_(None), p.c.cid.in_(several))
    )
    return {row[0]: row[1][stage] for row in connection.execute(query) if stage in row[1]}


def published_numbers(ledger: Ledger, generation_id: int, at: int) -> list[int]:
    """Every publication that a reader at sequence ``at`` sees in a generation, ascending."""
    p = schema.publications
    query = (
        select(p.c.publication)
        .where(p.c.generation_id == generation_id, p.c.begin_seq <= at, or_(p.c.end_seq.is_(None), p.c.end_seq > at))
        .order_by(p.c.publication)
    )
    with ledger.reading() as connection:
        return list(connection.scalars(query))

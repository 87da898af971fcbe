"""What one index generation shows and what making it took, summed from its open publications and their outputs."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from etl_assets.ledger import schema
from etl_assets.ledger.outputs import batches

_IN_LIST = 5000


@dataclass(slots=True)
class StageCost:
    """Outputs of one stage: rows, seconds and tokens they took when they were made, and bytes in the lake."""

    outputs: int = 0
    rows: int = 0
    seconds: float = 0.0
    tokens: int = 0
    size_bytes: int = 0

    def add(self, rows: int, seconds: float, tokens: int, size_bytes: int) -> None:
        """Count one output in."""
        self.outputs += 1
        self.rows += rows
        self.seconds += seconds
        self.tokens += tokens
        self.size_bytes += size_bytes


@dataclass(slots=True)
class GenerationCounts:
    """``rows`` is by store. ``stages`` counts every output that the generation rests on, shared ones too."""

    documents: int = 0
    quarantined: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    stages: dict[str, StageCost] = field(default_factory=dict)


def count_generation(
    connection: Connection, cid: int, generation_id: int, producers: Collection[int]
) -> GenerationCounts:
    """The figures of one generation now; ``producers`` are those of its recipe."""
    p = schema.publications
    found = GenerationCounts(quarantined=_held(connection, cid, producers))
    stage_of: dict[int, str] = {}
    query = select(p.c.counts, p.c.outputs).where(p.c.generation_id == generation_id, p.c.end_seq.is_(None))
    for counts, outputs in connection.execute(query):
        found.documents += 1
        for store, rows in counts.items():
            found.rows[store] = found.rows.get(store, 0) + rows
        stage_of.update((number, stage) for stage, number in outputs.items())
    _add_outputs(connection, stage_of, found)
    return found


def _held(connection: Connection, cid: int, producers: Collection[int]) -> int:
    """Present documents whose current version is in quarantine under one of these producers."""
    q, o = schema.quarantine, schema.objects
    query = (
        select(func.count(q.c.document_id.distinct()))
        .join(o, (o.c.document_id == q.c.document_id) & (o.c.version == q.c.version) & o.c.end_seq.is_(None))
        .where(q.c.cid == cid, q.c.producer_id.in_(sorted(producers)))
    )
    return int(connection.scalar(query) or 0)


def _add_outputs(connection: Connection, stage_of: dict[int, str], found: GenerationCounts) -> None:
    """Bytes are an output's share of its segment, by rows."""
    x, file = schema.outputs, schema.segments
    columns = (x.c.output_id, x.c.row_count, x.c.seconds, x.c.tokens, file.c.size_bytes, file.c.row_count)
    for part in batches(sorted(stage_of), _IN_LIST):
        source = x.outerjoin(file, file.c.segment_id == x.c.segment_id)
        query = select(*columns).select_from(source).where(x.c.output_id.in_(part))
        for number, rows, seconds, tokens, size, of_rows in connection.execute(query):
            share = round(size * rows / of_rows) if size and of_rows else 0
            found.stages.setdefault(stage_of[number], StageCost()).add(rows, seconds, tokens, share)

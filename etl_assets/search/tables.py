"""What people's SQL can see: the current rows of every stage and the ledger, as Arrow that opens when it is asked for.

All tables of one opening show one moment of the ledger, and the segments behind it are pinned while they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from etl_assets.errors import ConfigError
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.export import table_names, table_schema
from etl_assets.ledger.moments import Moment
from etl_assets.ledger.row_places import CurrentOutput
from etl_assets.ledger.segments import SegmentFile
from etl_assets.search.sql import TableSource
from etl_assets.stages.lake import Lake
from etl_assets.stages.spec import Stage

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_BATCH = 4096
_PIN_MARGIN_S = 60.0
_OWN_COLUMNS = ("document_id", "tenant", "collection", "path", "version")


@contextmanager
def opened_tables(
    ledger: Ledger, lake: Lake, stages: Sequence[Stage], *, time_limit_s: float = 60.0
) -> Iterator[Mapping[str, TableSource]]:
    """A source for each stage, under the stage's name, and for each table of the ledger, for ``sql.run_select``.

    A stage's table holds the rows of the newest output of every present document's current version, whether it is
    published yet or not: ``document_id, tenant, collection, path, version``, then the stage's columns. A version that
    waits or is quarantined at a stage has no rows there. The ledger's tables have their own names; ``documents``
    has one row for each present document. Rows are read segment by segment, so memory does not grow with them.

    The first table that is opened pins the segments, for ``time_limit_s`` and a minute at most, and begins the
    ledger snapshot; both end with the context, before which every reader must be done.

    Raises:
        ConfigError: a stage has the name of a table of the ledger.
        SegmentLost: while reading, a segment is gone or altered.
    """
    clash = {stage.name for stage in stages} & set(table_names())
    if clash:
        raise ConfigError(f"stage {min(clash)} has the name of a table of the ledger; give it another one")
    with Moment(ledger, pin_s=time_limit_s + _PIN_MARGIN_S) as moment:
        sources: dict[str, TableSource] = {name: partial(_ledger_reader, moment, name) for name in table_names()}
        for stage in stages:
            sources[stage.name] = partial(_stage_reader, moment, lake, stage)
        yield sources


def _ledger_reader(moment: Moment, name: str) -> pa.RecordBatchReader:
    import pyarrow as pa

    return pa.RecordBatchReader.from_batches(table_schema(name), moment.table(name))


@dataclass(frozen=True, slots=True)
class _Owners:
    """The outputs of one segment, and what each one's rows begin with."""

    output_ids: pa.Array
    columns: tuple[pa.Array, ...]


def _stage_reader(moment: Moment, lake: Lake, stage: Stage) -> pa.RecordBatchReader:
    import pyarrow as pa

    schema = _stage_schema(stage)
    segments = moment.stage_rows(stage.name)

    def batches() -> Iterator[pa.RecordBatch]:
        for file, outputs in segments:
            yield from _segment_batches(lake, file, _owners(outputs), schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _stage_schema(stage: Stage) -> pa.Schema:
    import polars as pl
    import pyarrow as pa

    columns = pl.DataFrame(schema=stage.columns()).to_arrow().schema
    return pa.schema([*(pa.field(name, pa.string()) for name in _OWN_COLUMNS), *columns])


def _owners(outputs: Sequence[CurrentOutput]) -> _Owners:
    import pyarrow as pa

    columns = tuple(pa.array([getattr(one, name) for one in outputs], pa.string()) for name in _OWN_COLUMNS)
    return _Owners(pa.array([one.output_id for one in outputs], pa.int64()), columns)


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    """A column of rows; nulls where they were written before their stage had it."""
    import pyarrow as pa

    if field.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, field.type)
    return batch.column(field.name).cast(field.type)


def _segment_batches(lake: Lake, file: SegmentFile, owners: _Owners, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows of the owners' outputs in one segment; what is dead in it is left out."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    own = len(_OWN_COLUMNS)
    columns = ["output_id", *schema.names[own:]]
    parquet = pq.ParquetFile(pa.BufferReader(lake.verified_bytes(file)))
    for batch in parquet.iter_batches(batch_size=ROWS_PER_BATCH, columns=columns):
        owner = pc.index_in(batch.column("output_id"), value_set=owners.output_ids)
        alive = pc.is_valid(owner)
        kept, owner = batch.filter(alive), owner.filter(alive)
        if kept.num_rows:
            before = [column.take(owner) for column in owners.columns]
            after = [_column(kept, field) for field in list(schema)[own:]]
            yield pa.record_batch([*before, *after], schema=schema)

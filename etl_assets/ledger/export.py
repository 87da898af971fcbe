"""The ledger's tables as Arrow, for people's own questions. Names of collections stand beside their numbers.

JSON comes as text; columns whose name ends in ``_at`` come as UTC timestamps.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Column, Connection, Float, Integer, LargeBinary, Select, Text, and_, cast, func, select

from etl_assets.ledger import schema

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENTS = "documents"
"""Present documents: their objects, what of them is published, and the published record."""

_ROWS_PER_BATCH = 8192


def table_names() -> tuple[str, ...]:
    """``documents``, and every table of the ledger, sorted. None of them holds a secret."""
    return tuple(sorted([DOCUMENTS, *schema.metadata.tables]))


def table_schema(name: str) -> "pa.Schema":
    """Columns of one table of ``table_names``."""
    import pyarrow as pa

    return pa.schema([pa.field(column.name, _arrow_type(column)) for column in _columns(name)])


def table_batches(connection: Connection, name: str) -> "Iterator[pa.RecordBatch]":
    """All rows of one table of ``table_names``, streamed; the connection is in use until the last batch is taken."""
    import pyarrow as pa

    columns = table_schema(name)
    rows = connection.execution_options(yield_per=_ROWS_PER_BATCH).execute(_query(name))
    for part in rows.partitions():
        values = zip(*part, strict=True)
        yield pa.record_batch([_array(of, field) for of, field in zip(values, columns, strict=True)], schema=columns)


def _query(name: str) -> Select[Any]:
    if name == DOCUMENTS:
        return _documents()
    table, owner = schema.metadata.tables[name], schema.collections
    plain = [_plain(column) for column in table.columns]
    if _wants_names(name):
        return select(*plain, owner.c.tenant, owner.c.collection).outerjoin(owner, owner.c.cid == table.c.cid)
    return select(*plain)


def _documents() -> Select[Any]:
    o, owner, reign, p = schema.objects, schema.collections, schema.reigns, schema.publications
    plain = [_plain(column) for column in _columns(DOCUMENTS)]
    return (
        select(*plain)
        .select_from(o)
        .join(owner, owner.c.cid == o.c.cid)
        .outerjoin(reign, and_(reign.c.cid == o.c.cid, reign.c.end_seq.is_(None)))
        .outerjoin(
            p,
            and_(
                p.c.document_id == o.c.document_id, p.c.generation_id == reign.c.generation_id, p.c.end_seq.is_(None)
            ),
        )
        .where(o.c.end_seq.is_(None))
        .order_by(owner.c.tenant, owner.c.collection, o.c.path)
    )  # fmt: skip


def _columns(name: str) -> list[Column[Any]]:
    o, owner, p = schema.objects, schema.collections, schema.publications
    if name == DOCUMENTS:
        return [
            o.c.document_id, owner.c.tenant, owner.c.collection, o.c.path, o.c.version, o.c.size_bytes,
            o.c.content_type, o.c.attributes, o.c.arrived_at, p.c.publication,
            p.c.version.label("published_version"), p.c.record,  # type: ignore[list-item]  # a label has a name and a type
        ]  # fmt: skip
    names = [owner.c.tenant, owner.c.collection] if _wants_names(name) else []
    return [*schema.metadata.tables[name].columns, *names]


def _wants_names(name: str) -> bool:
    columns = schema.metadata.tables[name].columns
    return "cid" in columns and "tenant" not in columns


def _plain(column: Column[Any]) -> Any:
    """JSON as the text that is stored, and its null as SQL's."""
    if isinstance(column.type, JSON):
        return func.nullif(cast(column, Text), "null").label(column.name)
    return column


def _arrow_type(column: Column[Any]) -> "pa.DataType":
    import pyarrow as pa

    if isinstance(column.type, Float):
        return pa.timestamp("us", tz="UTC") if column.name.endswith("_at") else pa.float64()
    if isinstance(column.type, Integer):
        return pa.int64()
    return pa.binary() if isinstance(column.type, LargeBinary) else pa.string()


def _array(values: tuple[Any, ...], field: "pa.Field") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_timestamp(field.type):
        return pa.array([None if value is None else round(value * 1e6) for value in values], pa.int64()).cast(
            field.type
        )
    return pa.array(values, field.type)

"""From stage rows to what the indexes and the graph are given."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from etl_assets.documents.model import CHUNKS, EMBEDDINGS, MENTIONS, RELATIONS
from etl_assets.ledger.catalogue import Partition
from etl_assets.protocols.graph import Entity, MentionEdge, RelationEdge
from etl_assets.protocols.indexes import keyword_rows, vector_rows

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

SOURCES: Mapping[str, tuple[str, ...]] = {
    "vector": (EMBEDDINGS.name,), "keyword": (CHUNKS.name,), "graph": (MENTIONS.name, RELATIONS.name),
}  # fmt: skip
"""The stages that each store is fed from."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    EMBEDDINGS.name: ("chunk_id", "vector"),
    CHUNKS.name: ("chunk_id", "text"),
    MENTIONS.name: ("page", "start", "end", "entity_id", "entity_type", "name", "chunk_id", "confidence"),
    RELATIONS.name: (
        "kind", "subject_id", "subject_type", "subject_name", "object_id", "object_type", "object_name",
        "page", "start", "end", "sentence", "negated", "certainty", "confidence",
    ),
}  # fmt: skip
"""What is read of each of these stages."""

RELATION_KEY = ("page", "start", "end", "kind", "subject_id", "object_id")
"""What tells one relation of a document from the others."""


def vector_table(
    rows: "pl.DataFrame", numbers: Mapping[str, int], records: Mapping[str, Mapping[str, Any]]
) -> "pa.Table":
    """Rows of the vector index from rows of ``embeddings``; ``numbers`` is document id -> publication."""
    dimension = int(rows["vector"].list.len().max() or 0)  # type: ignore[arg-type]  # a whole number of floats
    return _table(rows, numbers, records, "vector", vector_rows(dimension))


def keyword_table(
    rows: "pl.DataFrame", numbers: Mapping[str, int], records: Mapping[str, Mapping[str, Any]]
) -> "pa.Table":
    """Rows of the keyword index from rows of ``chunks``."""
    return _table(rows, numbers, records, "text", keyword_rows())


def mention_edges(rows: "pl.DataFrame", partition: Partition, numbers: Mapping[str, int]) -> list[MentionEdge]:
    """One edge per document and entity from rows of ``mentions``: the count, the best confidence, the first place."""
    import polars as pl

    first = (
        rows.sort("document_id", "entity_id", "page", "start", maintain_order=True)
        .group_by("document_id", "entity_id", maintain_order=True)
        .agg(
            pl.first("entity_type", "name", "chunk_id", "page", "start", "end"),
            pl.len().alias("count"),
            pl.max("confidence"),
        )
    )
    return [
        MentionEdge(
            partition.tenant, partition.collection, document, numbers[document], Entity(entity, kind, name),
            count, confidence, chunk or "", page, start, end,
        )
        for document, entity, kind, name, chunk, page, start, end, count, confidence in first.rows()
    ]  # fmt: skip


def relation_edges(rows: "pl.DataFrame", partition: Partition, numbers: Mapping[str, int]) -> list[RelationEdge]:
    """One edge per row of ``relations``; of rows that say one thing at one place, the first."""
    told = rows.unique(("document_id", *RELATION_KEY), keep="first", maintain_order=True).select(
        "document_id", *COLUMNS[RELATIONS.name]
    )
    return [
        RelationEdge(
            partition.tenant, partition.collection, document, numbers[document], kind, Entity(*ends[:3]),
            Entity(*ends[3:6]), *ends[6:],
        )
        for document, kind, *ends in told.rows()
    ]  # fmt: skip


def graph_edges(
    read: Callable[[str], "pl.DataFrame | None"], partition: Partition, numbers: Mapping[str, int]
) -> tuple[list[MentionEdge], list[RelationEdge]]:
    """What the graph is given of these documents. ``read`` has their rows at a stage, or ``None`` for none."""
    mentions, relations = (read(stage) for stage in SOURCES["graph"])
    return (
        [] if mentions is None else mention_edges(mentions, partition, numbers),
        [] if relations is None else relation_edges(relations, partition, numbers),
    )


def _table(
    rows: "pl.DataFrame", numbers: Mapping[str, int], records: Mapping[str, Mapping[str, Any]], value: str,
    schema: "pa.Schema",
) -> "pa.Table":  # fmt: skip
    import polars as pl

    documents = list(numbers)
    attributes = pl.DataFrame(
        {
            "document_id": documents,
            "publication": [numbers[document] for document in documents],
            "document_type": [records[document].get("document_type") for document in documents],
            "document_date": [_date(records[document].get("date")) for document in documents],
            "labels": [label_names(records[document]) for document in documents],
        },
        schema={
            "document_id": pl.String,
            "publication": pl.Int64,
            "document_type": pl.String,
            "document_date": pl.Date,
            "labels": pl.List(pl.String),
        },
    )
    joined = rows.join(attributes, on="document_id", how="inner", maintain_order="left")
    return joined.select(schema.names).to_arrow().cast(schema)


def label_names(record: Mapping[str, Any]) -> list[str]:
    """What a published record says its document is about, each as ``set:label``, in order."""
    return sorted(f"{kind}:{label}" for kind, labels in (record.get("labels") or {}).items() for label in labels)


def _date(value: object) -> date | None:
    return date.fromisoformat(value[:10]) if isinstance(value, str) and value else None

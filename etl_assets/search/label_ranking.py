"""Which labels a collection bears: how many documents, by sentences of their own.

A banner that every page of a site shows gives every document the same label. Each sentence counts as one over the
number of documents in which it gave the label, and a document gives a label its best sentence; one that has no
sentence to show counts whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class RankedLabel:
    """``documents`` bear it; ``own`` counts them as the module says."""

    label: str
    documents: int
    own: float


def evidence_of(labels: pl.DataFrame) -> pl.DataFrame:
    """Each sentence behind a label, as a hash of its words; ``labels`` are rows of the stage with ``document_id``."""
    import polars as pl

    said = labels.explode("evidence", empty_as_null=True).with_columns(pl.col("evidence").struct.field("text"))
    words = pl.col("text").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    told = pl.when(words.is_not_null()).then(words.hash(seed=1))
    return said.select("document_id", "kind", "label", said=told).unique(maintain_order=True)


def ranked_labels(said: pl.DataFrame) -> dict[str, list[RankedLabel]]:
    """By kind, the labels of ``evidence_of`` of a whole collection: most own documents first, equals by name."""
    import polars as pl

    repeats = pl.col("document_id").n_unique().over("kind", "label", "said")
    totals = (
        said.with_columns(own=pl.when(pl.col("said").is_null()).then(1.0).otherwise(1 / repeats))
        .group_by("kind", "label", "document_id")
        .agg(pl.col("own").max())
        .sort("kind", "label", "document_id")
        .group_by("kind", "label", maintain_order=True)
        .agg(pl.len().alias("documents"), pl.col("own").sum().round(6))
        .sort("kind", "own", "documents", "label", descending=[False, True, True, False])
    )
    found: dict[str, list[RankedLabel]] = {}
    for one in totals.iter_rows(named=True):
        found.setdefault(one["kind"], []).append(RankedLabel(one["label"], one["documents"], one["own"]))
    return found

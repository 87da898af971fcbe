"""What is exported of a collection: its tables in Parquet, and its findings as a STIX 2.1 bundle. Files only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl_assets.documents.classification.find import classifications_columns
from etl_assets.documents.model import mentions_columns
from etl_assets.documents.relations.statement import relations_columns
from etl_assets.documents.stix.bundle import ReportOf
from etl_assets.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    import polars as pl

EXPORTED: Mapping[str, tuple[str, Callable[[], pl.Schema]]] = {
    "mentions": ("mentions", mentions_columns),
    "relations": ("relations", relations_columns),
    "labels": ("classifications", classifications_columns),
}
"""File name -> the stage whose rows it has, and their columns."""


@dataclass(frozen=True, slots=True)
class Described:
    """One document, as its record says. ``day`` is ISO 8601, None where it has no date."""

    document_id: str
    title: str
    day: str | None
    arrived_at: float


def report_of(one: Described, labels: Sequence[str]) -> ReportOf:
    """What a bundle says of a document: its date, else when it arrived."""
    at = datetime.fromtimestamp(one.arrived_at, UTC)
    if one.day is not None:
        with suppress(ValueError):  # a date of another form is not guessed at
            at = datetime.fromisoformat(one.day)
    return ReportOf(one.document_id, one.title, at if at.tzinfo else at.replace(tzinfo=UTC), tuple(labels))


def accepted_labels(labels: pl.DataFrame) -> dict[str, list[str]]:
    """By document, ``set:label`` of every label that was accepted, in order; techniques left out."""
    import polars as pl

    chosen = labels.filter(pl.col("accepted") & (pl.col("kind") != "technique"))
    found: dict[str, list[str]] = {}
    for document, kind, label in chosen.select("document_id", "kind", "label").unique().sort(pl.all()).iter_rows():
        found.setdefault(document, []).append(f"{kind}:{label}")
    return found


def entities_of(mentions: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each entity: ``entity_id, entity_type, name, document_count, mention_count``, by id.

    ``name`` is the one that most mentions have.
    """
    import polars as pl

    named = mentions.group_by("entity_id", "entity_type", "name").len().sort(["len", "name"], descending=[True, False])
    names = named.group_by("entity_id", maintain_order=True).first().select("entity_id", "entity_type", "name")
    counts = mentions.group_by("entity_id").agg(
        pl.col("document_id").n_unique().cast(pl.Int64).alias("document_count"),
        pl.len().cast(pl.Int64).alias("mention_count"),
    )
    return names.join(counts, on="entity_id").sort("entity_id")


def write_tables(folder: Path, tables: Mapping[str, Callable[[], Iterable[pl.DataFrame]]]) -> dict[str, int]:
    """Write ``NAME.parquet`` for each table, and ``entities.parquet`` made of ``mentions``; rows by name.

    A file appears whole or not at all; one that is there is replaced.

    Raises:
        ConfigError: ``folder`` is a file, or cannot be made.
        PermanentError: no space or no right to write.
    """
    import polars as pl

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigError(f"export to {folder}: {e.strerror}; name a folder that can be made") from e
    counts = {name: _write_parquet(folder / f"{name}.parquet", batches()) for name, batches in tables.items()}
    if "mentions" in tables:
        made = entities_of(pl.scan_parquet(folder / "mentions.parquet")).collect()
        counts["entities"] = _write_parquet(folder / "entities.parquet", [made])
    return counts


def write_bundle(file: Path, bundle: Mapping[str, Any]) -> None:
    """Write a bundle as indented JSON, whole or not at all.

    Raises:
        PermanentError: no space or no right to write.
    """
    text = json.dumps(bundle, ensure_ascii=False, indent=1, sort_keys=True)
    _replaced(file, lambda scratch: scratch.write_bytes(text.encode("utf-8", "backslashreplace") + b"\n"))


def _write_parquet(file: Path, batches: Iterable[pl.DataFrame]) -> int:
    import pyarrow.parquet as pq

    count = 0

    def write(scratch: Path) -> None:
        nonlocal count
        writer: pq.ParquetWriter | None = None
        for batch in batches:
            rows = batch.to_arrow()
            writer = writer or pq.ParquetWriter(scratch, rows.schema, compression="zstd")
            writer.write_table(rows.cast(writer.schema))
            count += batch.height
        if writer is not None:
            writer.close()

    _replaced(file, write)
    return count


def _replaced(file: Path, write: Callable[[Path], object]) -> None:
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        write(scratch)
        scratch.replace(file)
    except OSError as e:
        raise PermanentError(f"writing {file}: {e.strerror or e}; make room or choose another place") from e
    finally:
        scratch.unlink(missing_ok=True)

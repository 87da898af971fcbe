"""What the published documents of a collection say, as tables: one row for each mention, relation and label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from etl_assets.ledger.row_places import published_numbers
from etl_assets.ledger.snapshots import CollectionView, VisibleDocument, snapshot, visible_documents
from etl_assets.search.model import SearchPlaces
from etl_assets.search.published_rows import published_rows

if TYPE_CHECKING:
    import polars as pl

Shown = tuple[CollectionView, VisibleDocument]

DOCUMENTS_PER_BATCH = 512


def visible_of(places: SearchPlaces, tenant: str, collection: str | None = None) -> list[Shown]:
    """Every visible document of a tenant or of one of its collections, by collection and path, at one moment."""
    found: list[Shown] = []
    for view in snapshot(places.ledger, tenant=tenant, collection=collection):
        numbers = published_numbers(places.ledger, view.generation_id, view.visible.sequence)
        shown = visible_documents(places.ledger, view.generation_id, numbers, view.visible.sequence)
        found += [(view, document) for document in shown.values()]
    return sorted(found, key=lambda pair: (pair[0].collection, pair[1].path))


def table_batches(
    places: SearchPlaces, shown: Sequence[Shown], stage: str, columns: pl.Schema
) -> Iterator[pl.DataFrame]:
    """Rows of ``stage`` with ``document_id``, ``tenant``, ``collection``, ``path`` and ``version`` before ``columns``.

    One frame for each 512 documents, so memory does not grow with the collection; at least one, perhaps empty.

    Raises:
        TransientError: the lake does not hold the rows any more.
    """
    import polars as pl

    own = {name: pl.String() for name in ("document_id", "tenant", "collection", "path", "version")}
    schema = pl.Schema({**own, **columns})
    for start in range(0, max(len(shown), 1), DOCUMENTS_PER_BATCH):
        batch = shown[start : start + DOCUMENTS_PER_BATCH]
        found = published_rows(places, [document for _, document in batch], stage, list(columns))
        rows = [
            {"document_id": one.document_id, "tenant": view.tenant, "collection": view.collection, "path": one.path,
             "version": one.version, **row}
            for view, one in batch
            for row in found.get(one.publication, ())
        ]  # fmt: skip
        yield pl.DataFrame(rows, schema=schema)


def whole_table(places: SearchPlaces, shown: Sequence[Shown], stage: str, columns: pl.Schema) -> pl.DataFrame:
    """The rows of ``table_batches`` in one frame."""
    import polars as pl

    return pl.concat(table_batches(places, shown, stage, columns))

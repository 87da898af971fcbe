"""What the LanceDB indexes share: one table per index space in a folder or a bucket, its writes, read-back and upkeep.

Any number of processes may read and write the same place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from etl_assets.backends.lancedb_filters import condition, in_numbers, in_texts
from etl_assets.backends.lancedb_folder import LABELS, TableFolder, TablePlace
from etl_assets.errors import PermanentError
from etl_assets.protocols.indexes import Filters, IndexHit, IndexSpace, SpaceStats, StoredRow
from etl_assets.protocols.row_digests import row_digests
from etl_assets.protocols.visibility import Visibility

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.index import FTS, BTree, HnswSq
    from lancedb.table import Table

FRAGMENTS = 100
"""Past this many small fragments a table is compacted: every write leaves one."""

UNINDEXED_ROWS = 5_000
"""Past this many rows that no index covers yet, they are indexed: until then every query scans them."""

KEPT_VERSIONS = timedelta(minutes=10)
"""How long a table version stays readable: longer than any query, so a reader never loses the files it reads."""

IDS_PER_STATEMENT = 10_000
ROWS_PER_BATCH = 8_192
TIES = 16
"""How many rows beyond ``k`` are asked for, so that rows of one score are cut in a fixed order."""


class LanceTables(ABC):
    """RowIndex over the tables in ``place``, made by the first write. Instances may be shared by threads."""

    kind: str
    """``vector`` or ``keyword``: how messages name the index."""

    def __init__(self, place: TablePlace | Path) -> None:
        self._tables = TableFolder(place, self.kind)

    def write(self, space: IndexSpace, rows: pa.Table) -> None:
        """See ``RowIndex.write``.

        Raises:
            PermanentError: columns, nulls or the vector width do not fit the table, or the place refuses.
        """
        if not rows.num_rows:
            return
        fitting = _last_of_each(self._fitting(space, rows))

        def replace(table: Table) -> None:
            self._add_indexes(table)
            if clash := _clash(table, fitting):
                # Two commits: nobody may see these rows yet, since the ledger has not published them.
                table.delete(clash)
            table.add(fitting)

        self._tables.retried(space, lambda: replace(self._tables.made(space, fitting.schema)))

    def counts(self, space: IndexSpace, publications: Sequence[int]) -> Mapping[int, int]:
        """See ``RowIndex.counts``."""

        def count(table: Table) -> dict[int, int]:
            found: Counter[int] = Counter()
            for batch in _batches(sorted(set(publications))):
                held = table.search().where(in_numbers("publication", batch)).select(["publication"]).limit(None)
                found.update(held.to_arrow()["publication"].to_pylist())
            return dict(found)

        return self._tables.read(space, count, missing={})

    def remove(self, space: IndexSpace, publications: Sequence[int]) -> None:
        """See ``RowIndex.remove``."""

        def delete(table: Table) -> None:
            for batch in _batches(sorted(set(publications))):
                rows = in_numbers("publication", batch)
                # A delete that finds nothing would still leave a version behind.
                if table.count_rows(rows):
                    table.delete(rows)

        self._tables.read(space, delete, missing=None)

    def rows(self, space: IndexSpace, *, publications: Sequence[int] | None = None) -> Iterator[StoredRow]:
        """See ``RowIndex.rows``: one table version, streamed in batches."""
        if publications is None:
            yield from self._rows_where(space, None)
            return
        for part in _batches(sorted(set(publications))):
            yield from self._rows_where(space, in_numbers("publication", part))

    def _rows_where(self, space: IndexSpace, where: str | None) -> Iterator[StoredRow]:
        def batches(table: Table) -> pa.RecordBatchReader:
            found = table.search() if where is None else table.search().where(where)
            return found.select(table.schema.names).limit(None).to_batches(batch_size=ROWS_PER_BATCH)

        reader = self._tables.read(space, batches, missing=None)
        while reader is not None and (batch := self._next(space, reader)) is not None:
            ids = (batch.column(name).to_pylist() for name in ("publication", "document_id", "chunk_id"))
            for publication, document, chunk, digest in zip(*ids, row_digests(batch), strict=True):
                yield StoredRow(publication, document, chunk, digest)

    def spaces(self) -> Sequence[IndexSpace]:
        """See ``RowIndex.spaces``; by name."""
        return self._tables.spaces()

    def drop(self, space: IndexSpace) -> None:
        """See ``RowIndex.drop``."""
        self._tables.drop(space)

    def stats(self, space: IndexSpace) -> SpaceStats:
        """See ``RowIndex.stats``. Old versions of a table, which are kept for a while, are not in its size."""

        def counted(table: Table) -> SpaceStats:
            # Declared as a class of its own, it is a dictionary.
            told = cast("Mapping[str, Any]", table.stats())
            waiting = max((index.num_unindexed_rows or 0 for index in table.list_indices()), default=0)
            return SpaceStats(
                table.count_rows(), int(told["total_bytes"]), int(told["fragment_stats"]["num_fragments"]), waiting
            )

        return self._tables.read(space, counted, missing=SpaceStats(0))

    def optimise(self, space: IndexSpace, *, now: bool = False) -> None:
        """See ``RowIndex.optimise``. Due past FRAGMENTS or ``_unindexed_limit`` rows.

        Raises:
            TransientError: other processes kept committing; nothing is lost, and the next call tries again.
        """

        def tidy(table: Table) -> None:
            self._add_indexes(table)
            if now or self._is_due(table):
                table.optimize(cleanup_older_than=KEPT_VERSIONS)

        self._tables.read(space, tidy, missing=None)

    def erase(self, space: IndexSpace) -> None:
        """See ``ErasableRows.erase``: every row is written anew, every index made anew, and no old version is kept.

        A fragment is only rewritten by LanceDB when over a tenth of it was deleted, and a text index keeps the words
        of rows that are gone.
        """

        def rewrite(table: Table) -> bool:
            if not table.count_rows():
                return False
            table.update(values_sql={"publication": "publication"})
            wanted = self._missing_indexes(table, set())
            for index in table.list_indices():
                if not wanted.keys() & set(index.columns):
                    table.drop_index(index.name)
            for column, config in wanted.items():
                table.create_index(column, config=config, replace=True)
            for _ in range(2):  # the first may make a version itself, which the second does away with
                table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)
            return True

        if not self._tables.read(space, rewrite, missing=False):
            self._tables.drop(space)

    @abstractmethod
    def _schema(self, rows: pa.Table) -> pa.Schema:
        """The schema these rows must have."""

    @abstractmethod
    def _missing_indexes(self, table: Table, present: set[str]) -> Mapping[str, BTree | FTS | HnswSq]:
        """LanceDB index configuration by column, for those the table should have beside ``present``."""

    def _unindexed_limit(self, indexed: int) -> int:
        return UNINDEXED_ROWS

    def _hits(
        self,
        space: IndexSpace,
        k: int,
        visible: Visibility,
        filters: Filters,
        ranked: Callable[[Table, str, int], list[IndexHit]],
    ) -> list[IndexHit]:
        """The best ``k``, equal scores by document, then chunk. ``ranked(table, condition, limit)`` asks LanceDB."""
        if k <= 0 or filters.publications == ():
            return []

        def best(table: Table) -> list[IndexHit]:
            where = condition(visible, filters, lambda: _held(table))
            # A table of before labels gets their column at its next write: until then no row of it has one.
            if where is None or (filters.labels and LABELS not in table.schema.names):
                return []
            extra = TIES
            while True:
                hits = sorted(ranked(table, where, k + extra), key=lambda h: (-h.score, h.document_id, h.chunk_id))
                # All of the rows that share the last score must be here before they can be cut in order.
                if len(hits) < k + extra or hits[-1].score < hits[k - 1].score or extra > 256 * TIES:
                    return hits[:k]
                extra *= 8

        return self._tables.read(space, best, missing=[])

    def _fitting(self, space: IndexSpace, rows: pa.Table) -> pa.Table:
        from pyarrow import ArrowException

        try:
            schema = self._schema(rows)
            fitting = rows.select(schema.names).cast(schema)
        except (KeyError, ValueError, ArrowException) as e:
            raise PermanentError(f"{self._tables.name(space)}: rows do not have its columns: {e}") from e
        nulls = [field.name for field in schema if not field.nullable and fitting[field.name].null_count]
        if nulls:
            raise PermanentError(f"{self._tables.name(space)}: rows have no value for {', '.join(nulls)}")
        return fitting

    def _is_due(self, table: Table) -> bool:
        # Declared as a class of its own, it is a dictionary.
        stats = cast("Mapping[str, Mapping[str, int]]", table.stats())
        if stats["fragment_stats"]["num_small_fragments"] > FRAGMENTS:
            return True
        return any(
            (index.num_unindexed_rows or 0) > self._unindexed_limit(index.num_indexed_rows or 0)
            for index in table.list_indices()
        )

    def _add_indexes(self, table: Table) -> None:
        """Give the table the indexes it lacks. Processes that meet here agree: one wins, the others find it there."""
        present = {column for index in table.list_indices() for column in index.columns}
        for column, config in self._missing_indexes(table, present).items():
            try:
                table.create_index(column, config=config, replace=False)
            except RuntimeError as e:
                if "already exists" not in str(e):
                    raise

    def _next(self, space: IndexSpace, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        try:
            return reader.read_next_batch()
        except StopIteration:
            return None
        except (RuntimeError, ValueError, OSError) as e:
            raise self._tables.failure(space, e) from e


def _last_of_each(rows: pa.Table) -> pa.Table:
    """The rows without those that a later one of the same (publication, chunk_id) replaces."""
    keys = zip(rows["publication"].to_pylist(), rows["chunk_id"].to_pylist(), strict=True)
    last = {key: index for index, key in enumerate(keys)}
    return rows if len(last) == rows.num_rows else rows.take(sorted(last.values()))


def _clash(table: Table, rows: pa.Table) -> str | None:
    """The condition that names the stored rows which these replace, or None when there are none."""
    publications = in_numbers("publication", rows["publication"].unique().to_pylist())
    found = table.search().where(publications).select(["publication", "chunk_id"]).limit(None).to_arrow()
    if not found.num_rows:
        return None
    held, written = (
        set(zip(part["publication"].to_pylist(), part["chunk_id"].to_pylist(), strict=True)) for part in (found, rows)
    )
    if held <= written:
        return publications
    chunks: dict[int, list[str]] = {}
    for publication, chunk in sorted(held & written):
        chunks.setdefault(publication, []).append(chunk)
    parts = (f"(publication = {number} AND {in_texts('chunk_id', ids)})" for number, ids in chunks.items())
    return " OR ".join(parts) or None


def _held(table: Table) -> list[int]:
    found: list[int] = table.search().select(["publication"]).limit(None).to_arrow()["publication"].unique().to_pylist()
    return found


def _batches(publications: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(publications), IDS_PER_STATEMENT):
        yield publications[start : start + IDS_PER_STATEMENT]

"""A RowIndex in memory, for tests that take hundreds of runs: it passes for either index and keeps what it is given."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from etl_assets.protocols.indexes import Filters, IndexHit, IndexSpace, StoredRow
from etl_assets.protocols.row_digests import row_digests
from etl_assets.protocols.visibility import Visibility


class MemoryRows:
    """Rows by space and (publication, chunk_id). ``column`` is ``vector`` or ``text``."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._spaces: dict[IndexSpace, dict[tuple[int, str], StoredRow]] = {}

    def write(self, space: IndexSpace, rows: pa.Table) -> None:
        assert self._column in rows.schema.names
        held = self._spaces.setdefault(space, {})
        ids = (rows[name].to_pylist() for name in ("publication", "document_id", "chunk_id"))
        for row in zip(*ids, row_digests(rows), strict=True):
            stored = StoredRow(*row)
            held[stored.publication, stored.chunk_id] = stored

    def counts(self, space: IndexSpace, publications: Sequence[int]) -> Mapping[int, int]:
        wanted = set(publications)
        return Counter(number for number, _ in self._spaces.get(space, {}) if number in wanted)

    def remove(self, space: IndexSpace, publications: Sequence[int]) -> None:
        gone = set(publications)
        if space in self._spaces:
            self._spaces[space] = {key: row for key, row in self._spaces[space].items() if key[0] not in gone}

    def rows(self, space: IndexSpace) -> Iterator[StoredRow]:
        return iter(list(self._spaces.get(space, {}).values()))

    def spaces(self) -> Sequence[IndexSpace]:
        return list(self._spaces)

    def drop(self, space: IndexSpace) -> None:
        self._spaces.pop(space, None)

    def optimise(self, space: IndexSpace, *, now: bool = False) -> None:
        """Nothing to tidy."""

    def query(
        self, space: IndexSpace, _: str | NDArray[np.float32], *, k: int, visible: Visibility, filters: Filters
    ) -> list[IndexHit]:
        """Every visible row: the ranking is not what these tests are about."""
        return [
            IndexHit(row.publication, row.document_id, row.chunk_id, 1.0)
            for row in self.rows(space)
            if visible.admits(row.publication)
        ][:k]

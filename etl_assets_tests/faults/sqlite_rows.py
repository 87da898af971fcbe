"""A RowIndex in one SQLite file, for tests with real processes: durable like the real ones, and imported in no time."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa

from etl_assets.protocols.indexes import IndexSpace, StoredRow
from etl_assets.protocols.row_digests import row_digests

_TABLE = """
CREATE TABLE IF NOT EXISTS held (tenant, collection, generation, publication, document_id, chunk_id, digest,
    PRIMARY KEY (tenant, collection, generation, publication, chunk_id))
"""
_SPACE = "tenant = ? AND collection = ? AND generation = ?"


class SqliteRows:
    """Every write is one transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=60)) as db, db:
            db.execute(_TABLE)
            yield db

    def write(self, space: IndexSpace, rows: pa.Table) -> None:
        ids = (rows[name].to_pylist() for name in ("publication", "document_id", "chunk_id"))
        values = [(*_of(space), *row) for row in zip(*ids, row_digests(rows), strict=True)]
        with self._open() as db:
            db.executemany("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def counts(self, space: IndexSpace, publications: Sequence[int]) -> Mapping[int, int]:
        statement = f"SELECT publication, count(*) FROM held WHERE {_SPACE} GROUP BY publication"
        with self._open() as db:
            return {number: n for number, n in db.execute(statement, _of(space)) if number in set(publications)}

    def remove(self, space: IndexSpace, publications: Sequence[int]) -> None:
        with self._open() as db:
            rows = [(*_of(space), number) for number in publications]
            db.executemany(f"DELETE FROM held WHERE {_SPACE} AND publication = ?", rows)

    def rows(self, space: IndexSpace) -> Iterator[StoredRow]:
        statement = f"SELECT publication, document_id, chunk_id, digest FROM held WHERE {_SPACE}"
        with self._open() as db:
            return iter([StoredRow(*row) for row in db.execute(statement, _of(space))])

    def spaces(self) -> Sequence[IndexSpace]:
        with self._open() as db:
            return [IndexSpace(*row) for row in db.execute("SELECT DISTINCT tenant, collection, generation FROM held")]

    def drop(self, space: IndexSpace) -> None:
        with self._open() as db:
            db.execute(f"DELETE FROM held WHERE {_SPACE}", _of(space))

    def optimise(self, space: IndexSpace, *, now: bool = False) -> None:
        """Nothing to tidy."""


def _of(space: IndexSpace) -> tuple[str, str, int]:
    return space.tenant, space.collection, space.generation

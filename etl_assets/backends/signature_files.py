"""Signatures of texts in one SQLite file for each tenant, below the home's cache. A file that is gone is made again."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from etl_assets.errors import TransientError
from etl_assets.protocols.signatures import OutputSignatures

_SCHEMA = """
CREATE TABLE IF NOT EXISTS signatures (
    output_id INTEGER PRIMARY KEY, document BLOB NOT NULL, size INTEGER NOT NULL, content TEXT NOT NULL,
    contents TEXT NOT NULL, sizes TEXT NOT NULL, chunks BLOB NOT NULL
)
"""
_VERSION = 1
"""Files of another version are read as empty, and written anew."""

_PATIENCE_S = 30.0


class SignatureFiles:
    """SignatureStore in ``folder``, which is made when something is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self, tenant: str) -> set[int]:
        """See ``SignatureStore.known``."""
        with self._open(tenant) as db:
            return {int(row[0]) for row in db.execute("SELECT output_id FROM signatures")}

    def put(self, tenant: str, rows: Sequence[OutputSignatures]) -> None:
        """See ``SignatureStore.put``: one transaction."""
        values = [
            (
                one.output_id,
                one.document,
                one.size,
                one.content,
                json.dumps(one.contents),
                json.dumps(one.sizes),
                one.chunks,
            )
            for one in rows
        ]
        with self._open(tenant) as db, db:
            db.executemany("INSERT OR REPLACE INTO signatures VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def drop(self, tenant: str, output_ids: Iterable[int]) -> None:
        """See ``SignatureStore.drop``."""
        with self._open(tenant) as db, db:
            db.executemany("DELETE FROM signatures WHERE output_id = ?", [(one,) for one in output_ids])

    def read(self, tenant: str, output_ids: Sequence[int], *, chunks: bool) -> list[OutputSignatures]:
        """See ``SignatureStore.read``."""
        of_chunks = "s.contents, s.sizes, s.chunks" if chunks else "'[]', '[]', x''"
        query = f"""
            SELECT s.output_id, s.document, s.size, s.content, {of_chunks}
            FROM json_each(?) x JOIN signatures s ON s.output_id = x.value ORDER BY s.output_id
        """
        with self._open(tenant) as db:
            found = db.execute(query, (json.dumps(sorted(set(output_ids))),)).fetchall()
        return [
            OutputSignatures(
                number, document, size, content, tuple(json.loads(contents)), tuple(json.loads(sizes)), signatures
            )
            for number, document, size, content, contents, sizes, signatures in found
        ]

    @contextmanager
    def _open(self, tenant: str) -> Iterator[sqlite3.Connection]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{tenant}.sqlite"
        try:
            with closing(sqlite3.connect(path, timeout=_PATIENCE_S)) as db:
                if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                    with db:
                        db.execute("DROP TABLE IF EXISTS signatures")
                        db.execute(_SCHEMA)
                        db.execute(f"PRAGMA user_version = {_VERSION}")
                yield db
        except sqlite3.DatabaseError as e:
            raise TransientError(f"signatures of {tenant}: {e}; try again, or delete {path.name} in the cache") from e

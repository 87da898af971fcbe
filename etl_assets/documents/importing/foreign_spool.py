"""Rows of another index, put on disk and handed back document by document: an index may be larger than memory."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from etl_assets.documents.importing.foreign_rows import UsableRow
from etl_assets.documents.parsing.chunk_file import ChunkFile, GivenChunk
from etl_assets.errors import DataError
from etl_assets.protocols.declared_models import GivenModel

_TABLE = """
CREATE TABLE rows (
    seq INTEGER PRIMARY KEY, id TEXT UNIQUE, document TEXT, page INTEGER, place, text TEXT, vector BLOB,
    title TEXT, date TEXT, metadata TEXT, digest BLOB
)
"""
_MOST_NAME_BYTES = 180
_MOST_PATH_BYTES = 700


class RowSpool:
    """Rows in a throw-away file; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(_TABLE)
        self._database.execute("BEGIN")
        self.rows = 0
        self.repeated = 0

    def __enter__(self) -> RowSpool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, row: UsableRow) -> None:
        """Keep a row. The very same row again is counted in ``repeated``.

        Raises:
            DataError: ``duplicate-id``: another row has its id; the first one is kept.
        """
        metadata = json.dumps(row.metadata, sort_keys=True)
        digest = hashlib.blake2b(repr((row.document, row.text, row.vector, metadata)).encode(), digest_size=16).digest()
        found = self._database.execute("SELECT digest FROM rows WHERE id = ?", (row.id,)).fetchone()
        if found is not None:
            if found[0] != digest:
                raise DataError("has the id of another row, which is kept", reason="duplicate-id")
            self.repeated += 1
            return
        values = (
            row.id, row.document or row.id, row.page, row.order, row.text, row.vector, row.title, row.date, metadata,
            digest,
        )  # fmt: skip
        self._database.execute(
            "INSERT INTO rows (id, document, page, place, text, vector, title, date, metadata, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values,
        )  # fmt: skip
        self.rows += 1

    def names(self) -> list[str]:
        """The names of the documents, sorted."""
        return [row[0] for row in self._database.execute("SELECT DISTINCT document FROM rows ORDER BY document")]

    def sample(self, count: int) -> list[tuple[str, bytes]]:
        """(text, vector) of at most ``count`` rows, spread evenly, the same ones whenever the rows are the same."""
        step = max(self.rows // count, 1)
        query = "SELECT text, vector FROM rows WHERE seq % ? = 0 OR ? = 1 ORDER BY seq LIMIT ?"
        return list(self._database.execute(query, (step, step, count)))

    def documents(self, model: GivenModel, *, embed: bool, origin: str) -> Iterator[tuple[str, ChunkFile]]:
        """Each document's name and what it becomes, sorted by name."""
        self._database.execute("CREATE INDEX IF NOT EXISTS by_document ON rows (document, page, place, seq)")
        query = "SELECT document, id, page, text, vector, title, date, metadata FROM rows ORDER BY 1, page, place, seq"
        chunks: list[GivenChunk] = []
        name, title, when = "", None, None
        for document, identity, page, text, vector, row_title, row_date, metadata in self._database.execute(query):
            if document != name and chunks:
                yield name, _file(model, embed, origin, title, when, chunks)
                chunks, title, when = [], None, None
            name, title, when = document, title or row_title, when or row_date
            chunks.append(GivenChunk(identity, page, text, vector, json.loads(metadata)))
        if chunks:
            yield name, _file(model, embed, origin, title, when, chunks)


def planned_paths(names: list[str]) -> dict[str, str]:
    """A path for each document of an import: its own name where that can be one, no two alike or inside each other."""
    paths: dict[str, str] = {}
    taken: set[str] = set()
    folders = {folder for name in names for folder in folders_of(_path(name))}
    for name in names:
        path = _path(name)
        if path in taken or path in folders:
            path = f"{path}~{_short(name)}"
        taken.add(path)
        paths[name] = path
    return paths


def folders_of(path: str) -> Iterator[str]:
    """Every folder that a path is in."""
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)


def _path(name: str) -> str:
    parts = [_part(part) for part in name.split("/") if part not in ("", ".", "..")]
    path = "/".join(parts) or "document"
    if path != name.strip("/") and any(part in (".", "..") for part in name.split("/")):
        path = f"{path}~{_short(name)}"
    return path if len(path.encode()) <= _MOST_PATH_BYTES else f"long/{_short(name)}"


def _part(part: str) -> str:
    kept = "".join(c if c.isprintable() and c not in "%\\" else quote(c, safe="") for c in part)
    if kept.startswith("."):
        kept = f"%2E{kept[1:]}"
    data = kept.encode()
    if len(data) <= _MOST_NAME_BYTES:
        return kept
    return f"{data[: _MOST_NAME_BYTES - 20].decode(errors='ignore')}~{_short(part)}"


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _file(
    model: GivenModel, embed: bool, origin: str, title: str | None, when: str | None, chunks: list[GivenChunk]
) -> ChunkFile:
    return ChunkFile(model, embed, {"title": title, "date": when, "imported_from": origin}, chunks)

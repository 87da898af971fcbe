"""What the processes of pytest leave out: waiting for the disk, and doing for every home what one has done already.

Tests kill processes, and never the machine: what was written is there, whether or not a disk has it. A statement is
compiled once in a process, not once by each of hundreds of ledgers, and a new ledger is a copy of one with empty
tables. Processes that tests start as a person would do as the product does.
"""

import os
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import Dialect
from sqlalchemy.util import LRUCache

from etl_assets.backends import local_blobs
from etl_assets.backends.sqlite_graph_file import GraphFile
from etl_assets.ledger import database
from etl_assets.ledger.database import Ledger


class Compiled(LRUCache[Any, Any]):
    """Compiled statements, by what decides how one is compiled: an engine alone goes by the identity of its dialect."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get((_kind(key[0]), *key[1:]), default)

    def __setitem__(self, key: tuple[Any, ...], value: Any) -> None:
        super().__setitem__((_kind(key[0]), *key[1:]), value)


def _kind(dialect: Dialect) -> object:
    if dialect.name != "sqlite":
        return dialect
    return type(dialect), getattr(dialect, "_json_serializer", None)


def lean() -> None:
    """Let this process work so."""
    compiled = Compiled(3_000)
    Engine._execution_options = Engine._execution_options.union({"compiled_cache": compiled})
    os.fsync = lambda fd: None
    local_blobs.sync_volume = lambda folder: None
    configure, opened = database._configure_sqlite, GraphFile._opened

    def configured(raw: Any, record: object) -> None:
        configure(raw, record)
        raw.execute("PRAGMA synchronous = OFF").close()

    def unsynced(file: GraphFile) -> sqlite3.Connection:
        db = opened(file)
        db.execute("PRAGMA synchronous = OFF")
        return db

    database._configure_sqlite = configured
    GraphFile._opened = unsynced  # type: ignore[method-assign]


@cache
def _empty_ledger() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        Ledger.sqlite(path).close()
        return path.read_bytes()


def new_ledger(path: Path) -> None:
    """Put an empty ledger at a path where there is none yet."""
    if not path.exists():
        path.write_bytes(_empty_ledger())

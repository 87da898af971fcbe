"""The SQLite file that holds a knowledge graph: its tables, its pooled connections, and its failures as our errors."""

import os
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from etl_assets.backends.sqlite_relations import SCHEMA as RELATIONS_SCHEMA
from etl_assets.errors import PermanentError, TransientError
from etl_assets.ledger.erasing import rewrite_sqlite
from etl_assets.protocols.damage import DamagedError
from etl_assets.protocols.graph import Scope
from etl_assets.protocols.visibility import Visibility

SCHEMA_VERSION = 2
"""1 had no relations: such a file gets their table, and the next run publishes what goes into it."""

BUSY_TIMEOUT_S = 30.0
"""How long a call waits for another process's write transaction before it raises TransientError."""

# A name belongs to the edge that stated it, not to the entity: two index generations may name one entity differently,
# and neither may change the other's digests. ``labels`` keeps each such name once.
SCHEMA = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE entities (
    entity_key INTEGER PRIMARY KEY, tenant TEXT NOT NULL, entity_id TEXT NOT NULL, folded TEXT NOT NULL,
    UNIQUE (tenant, entity_id)
);
CREATE INDEX entities_folded ON entities (tenant, folded);
CREATE TABLE labels (
    label_key INTEGER PRIMARY KEY, entity_key INTEGER NOT NULL, entity_type TEXT NOT NULL, name TEXT NOT NULL,
    folded TEXT NOT NULL, UNIQUE (entity_key, entity_type, name)
);
CREATE INDEX labels_folded ON labels (folded);
CREATE TABLE documents (
    document_key INTEGER PRIMARY KEY, publication INTEGER NOT NULL, document_id TEXT NOT NULL, tenant TEXT NOT NULL,
    collection TEXT NOT NULL, UNIQUE (publication, document_id, tenant, collection)
);
CREATE INDEX documents_of_collection ON documents (tenant, collection);
CREATE TABLE edges (
    document_key INTEGER NOT NULL, entity_key INTEGER NOT NULL, publication INTEGER NOT NULL,
    label_key INTEGER NOT NULL, count INTEGER NOT NULL, confidence REAL NOT NULL, chunk_id TEXT NOT NULL,
    page INTEGER NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, PRIMARY KEY (document_key, entity_key)
) WITHOUT ROWID;
CREATE INDEX edges_of_entity ON edges (entity_key, publication, document_key);
"""


class GraphFile:
    """Transactions on the file ``path``, made by the first write.

    Connections are pooled, so an instance may be shared by threads; a forked child opens its own.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._file: tuple[int, int] | None = None
        self._owner = os.getpid()

    def close(self) -> None:
        """Close the idle connections. The file may be used again afterwards."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def remove(self) -> None:
        """Remove the file and its journal, readable or not. Idempotent.

        Raises:
            PermanentError: no right to.
        """
        self.close()
        for suffix in ("", "-wal", "-shm"):
            try:
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            except OSError as e:
                raise PermanentError(f"knowledge graph {self._path.name}: {e.strerror}; check its folder") from e

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return self._path.exists()

    @contextmanager
    def reading(self, scope: Scope | None = None) -> Iterator[sqlite3.Connection | None]:
        """One snapshot, or None while there is no file. Inside, SQL's ``admits`` is the visibility of ``scope``."""
        if not self._path.exists():
            yield None
            return
        with self._connection() as db:
            if scope is not None:
                db.create_function("admits", 2, _admission(scope), deterministic=True)
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.rollback()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction: all of it is committed at the end of the block, or none."""
        with self._connection() as db:
            # IMMEDIATE: a transaction that reads first and writes later fails at once beside another writer.
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.commit()
            except BaseException:
                db.rollback()
                raise

    def erase(self) -> None:
        """Rewrite the file without what was deleted from it, and empty its journal.

        Raises:
            TransientError: others kept it in use.
            PermanentError: no space for the copy.
        """
        if self._path.exists():
            with self._connection() as db:
                rewrite_sqlite(db, f"knowledge graph {self._path.name}")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._sqlite_errors():
            connection = self._borrowed() or self._opened()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                is_current = self._file == _identity(self._path)
                if is_current:
                    self._idle.append(connection)
            if not is_current:
                connection.close()

    def _borrowed(self) -> sqlite3.Connection | None:
        with self._lock:
            if self._owner != os.getpid():
                # A connection carried across a fork corrupts the file; closing it here would drop the parent's locks.
                _INHERITED.extend(self._idle)
                self._idle, self._owner = [], os.getpid()
            if self._idle and self._file != _identity(self._path):
                # The file was removed or replaced: what these connections write nobody would ever read.
                for connection in self._idle:
                    connection.close()
                self._idle = []
            return self._idle.pop() if self._idle else None

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            # FULL, not NORMAL: the ledger commits a publication on the strength of this write, and NORMAL may lose
            # the last transactions at a power cut. One fsync a batch costs about a millisecond.
            db.execute("PRAGMA synchronous=FULL")
            self._prepare_schema(db)
        except BaseException:
            db.close()
            raise
        with self._lock:
            self._file = _identity(self._path)
        return db

    def _prepare_schema(self, db: sqlite3.Connection) -> None:
        version = _schema_version(db)
        if version is None or version < SCHEMA_VERSION:
            db.execute("BEGIN IMMEDIATE")
            try:
                # Another process may have made the tables while this one waited for the lock.
                version = _schema_version(db)
                if version is None or version < SCHEMA_VERSION:
                    version = _made_schema(db, version)
                db.commit()
            except BaseException:
                db.rollback()
                raise
        if version > SCHEMA_VERSION:
            raise PermanentError(
                f"knowledge graph {self._path.name} has schema version {version}, and this release knows versions up "
                f"to {SCHEMA_VERSION}: install the newer etl-assets, or remove the file and publish again"
            )

    @contextmanager
    def _sqlite_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise TransientError(
                    f"knowledge graph {self._path.name}: held by another process for {self._busy_timeout_s:g} s ({e})"
                ) from e
            raise PermanentError(
                f"knowledge graph {self._path.name}: {e}; check free space and rights of its folder"
            ) from e
        except sqlite3.DatabaseError as e:
            raise DamagedError(
                f"knowledge graph {self._path.name}: {e}; rebuild the graph from the lake: `etl-assets repair`"
            ) from e
        except OSError as e:
            raise PermanentError(f"knowledge graph {self._path.name}: {e.strerror}; check its folder") from e


_INHERITED: list[sqlite3.Connection] = []
"""Connections a forked child must neither use nor close."""


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at ``path``: device and inode, ``None`` for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _schema_version(db: sqlite3.Connection) -> int | None:
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone() is None:
        return None
    return int(db.execute("SELECT version FROM schema_version").fetchone()[0])


def _made_schema(db: sqlite3.Connection, version: int | None) -> int:
    missing = [SCHEMA, RELATIONS_SCHEMA] if version is None else [RELATIONS_SCHEMA]
    for statement in ";\n".join(one.strip().removesuffix(";") for one in missing).split(";\n"):
        db.execute(statement)
    db.execute("DELETE FROM schema_version")
    db.execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))
    return SCHEMA_VERSION


def _admission(scope: Scope) -> Callable[[str, int], bool]:
    """``admits(collection, publication)`` of a scope, by bisection: hidden ranges may number thousands."""
    lows = {name: [low for low, _ in visible.hidden] for name, visible in scope.visible.items()}

    def admits(collection: str, publication: int) -> bool:
        visible: Visibility | None = scope.visible.get(collection)
        if visible is None or publication > visible.highest:
            return False
        before = bisect_right(lows[collection], publication)
        return not before or visible.hidden[before - 1][1] < publication

    return admits

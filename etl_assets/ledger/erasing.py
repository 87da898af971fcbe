"""Databases without a trace of what was deleted from them: free pages, slack inside pages and journals included."""

import sqlite3
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from etl_assets.errors import PermanentError, TransientError
from etl_assets.ledger import schema

if TYPE_CHECKING:
    from etl_assets.ledger.database import Ledger

PATIENCE_S = 60.0
"""How long to wait for readers that keep a journal in use."""

_POLL_S = 0.05

_IS_OLDEST = """
SELECT pg_snapshot_xmin(pg_current_snapshot()) > %(newest)s::xid8 AND NOT EXISTS (
  SELECT FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND age(backend_xmin) >= age(%(newest)s::xid8::xid)
)
"""
"""Whether every transaction that is at work began after ``newest`` ended. VACUUM (FULL) keeps what an older one of any
database might see, for it takes a snapshot itself (PostgreSQL, src/backend/storage/ipc/procarray.c)."""


def erase_deleted(ledger: "Ledger") -> None:
    """Rewrite the ledger's tables, so that its files hold no row that was deleted.

    On PostgreSQL each table is locked while it is rewritten; its write-ahead log, replicas and backups are the
    server's own.

    Raises:
        TransientError: readers or writers kept it in use for over ``PATIENCE_S``.
        PermanentError: no space for the copy, or no right.
    """
    with ledger.maintaining() as raw:
        if ledger.dialect == "sqlite":
            rewrite_sqlite(raw.driver_connection, "ledger")
            return
        try:
            connection: Any = raw.driver_connection
            connection.autocommit = True
            rewrite_postgresql(connection, [table.name for table in schema.metadata.sorted_tables], "ledger")
        except raw.dialect.dbapi.Error as e:
            raise PermanentError(f"ledger: its tables cannot be rewritten: {e}; run again") from e
        finally:
            raw.invalidate()  # nobody else is to get a connection that commits by itself


def rewrite_postgresql(connection: Any, tables: Sequence[str], name: str) -> None:
    """Rewrite tables of a PostgreSQL database from their rows alone, when nobody can see older ones any more.

    A transaction that is older than a deletion keeps the rows for itself, in whichever database of the server it
    writes. ``connection`` commits by itself; ``name`` is how messages call the database.

    Raises:
        TransientError: an older transaction went on for over ``PATIENCE_S``.
    """
    deadline = time.monotonic() + PATIENCE_S
    newest = connection.execute("SELECT pg_current_xact_id()::text").fetchone()[0]
    while not connection.execute(_IS_OLDEST, {"newest": newest}).fetchone()[0]:
        if time.monotonic() > deadline:
            raise TransientError(f"{name}: an older transaction has gone on for {PATIENCE_S:g} s; run again")
        time.sleep(_POLL_S)
    for table in tables:
        connection.execute(f'VACUUM (FULL) "{table}"')


def rewrite_sqlite(connection: Any, name: str, *, only_journal: bool = False) -> None:
    """Rewrite a SQLite database (WAL) from its rows alone and empty its journal, or with ``only_journal`` that alone.

    ``connection`` is in no transaction; ``name`` is how messages call the database.

    Raises:
        TransientError: others kept it in use for over ``PATIENCE_S``.
        PermanentError: no space for the copy.
    """
    deadline = time.monotonic() + PATIENCE_S
    try:
        connection.execute("PRAGMA secure_delete = ON")
        if not only_journal:
            connection.execute("VACUUM")
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise TransientError(f"{name}: a reader kept its journal in use for {PATIENCE_S:g} s; run again")
            time.sleep(_POLL_S)
    except sqlite3.OperationalError as e:
        if e.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise TransientError(f"{name}: in use by others ({e}); run again") from e
        raise PermanentError(f"{name}: it cannot be rewritten: {e}; free some space and run again") from e

"""Trying the databases of ledger and Dagster. Nothing is made or upgraded; a row that is written is removed again."""

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from sqlalchemy import delete, insert, text

from etl_assets.errors import PermanentError
from etl_assets.ledger import postgresql, schema
from etl_assets.ledger.database import Ledger, newer_schema, schema_version
from etl_assets.ledger.installation import known_installation
from etl_assets.protocols.probes import PROBE, Finding


def probe_sqlite_ledger(found: Finding, path: Path) -> None:
    """The ledger in the home, which is neither made nor upgraded here."""
    found.version = f"SQLite {sqlite3.sqlite_version}"
    if not path.exists():
        found.notes.append("no ledger yet: the first command makes it")
        return

    found.time(lambda: sqlite_schema(path))
    _judge_schema(found, sqlite_schema(path) or 0)


def sqlite_schema(path: Path) -> int | None:
    """The version of the ledger in the file, which is not changed; ``None`` where there is no ledger.

    Raises:
        PermanentError: the file is none.
    """
    if not path.exists():
        return None
    stated = _stated(path, "schema")
    if stated is None or not stated.isdigit():
        raise PermanentError(f"{path} cannot be read as a ledger: it states no schema; restore it from a backup")
    return int(stated)


def sqlite_installation(path: Path) -> str:
    """The id of the installation whose ledger is this file, "" while it has none; raises as ``sqlite_schema``."""
    return (_stated(path, "installation") or "") if path.exists() else ""


def _stated(path: Path, key: str) -> str | None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
    except sqlite3.Error as e:
        raise PermanentError(f"{path} cannot be read as a ledger ({e}); restore it from a backup") from e
    return None if row is None else str(row[0])


def postgres_installation(url: str, *, transaction_pooling: bool) -> str:
    """The id of the installation whose ledger is in this database, "" while it has none.

    Raises:
        PermanentError, TransientError: as ``Ledger.postgresql``.
    """
    store = Ledger(postgresql.open_engine(url, transaction_pooling=transaction_pooling), lock_folder=None)
    try:
        with store.reading() as connection:
            is_there = schema_version(connection) is not None
        return (known_installation(store) or "") if is_there else ""
    finally:
        store.close()


def migrate_postgres(url: str, *, transaction_pooling: bool) -> int:
    """Bring the ledger of a database up to date, and return the version it had before; 0 where there was none.

    Raises:
        ConfigError: the server is too old, or a newer program has written the ledger.
        PermanentError, TransientError: as ``Ledger.postgresql``.
    """
    from etl_assets.ledger.migrations import upgrade

    store = Ledger(postgresql.open_engine(url, transaction_pooling=transaction_pooling), lock_folder=None)
    try:
        with store.reading() as connection:
            postgresql.check_version(connection)
            stated = schema_version(connection) or 0
        return stated if stated == schema.SCHEMA_VERSION else upgrade(store)
    finally:
        store.close()


def probe_postgres(found: Finding, url: str, *, transaction_pooling: bool, is_ledger: bool) -> None:
    """A database: version, schema, and a row that is written and removed in one transaction."""
    store = Ledger(postgresql.open_engine(url, transaction_pooling=transaction_pooling), lock_folder=None)
    try:
        with store.reading() as connection:
            numbers = connection.dialect.server_version_info or ()
            found.version = f"PostgreSQL {'.'.join(map(str, numbers))}"
            found.limits["oldest version"] = str(postgresql.OLDEST_VERSION)
            found.limits["connections of the server"] = str(connection.scalar(text("SHOW max_connections")))
            found.limits["connections of one process"] = str(postgresql.POOL_SIZE + postgresql.POOL_OVERFLOW)
            stated = schema_version(connection) if is_ledger else None
            may_create = bool(connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")))
        found.time(lambda: _ask(store))
        with store.reading() as connection:
            postgresql.check_version(connection)
        found.rights["create tables"] = may_create
        if not may_create:
            found.problems.append("the user may not make tables: GRANT CREATE ON its SCHEMA, or take another user")
        if not is_ledger:
            return
        if stated is None:
            found.notes.append("no tables yet: `etl-assets migrate` makes them, and so does the first command")
        else:
            _judge_schema(found, stated)
            found.attempt("write and delete", lambda: _write_and_remove(store))
    finally:
        store.close()


def _ask(store: Ledger) -> None:
    with store.reading() as connection:
        connection.execute(text("SELECT 1"))


def _write_and_remove(store: Ledger) -> None:
    name = f"{PROBE}-{uuid4().hex}"
    with store.writing() as connection:
        connection.execute(insert(schema.counters), {"name": name, "value": 0})
        connection.execute(delete(schema.counters).where(schema.counters.c.name == name))


def _judge_schema(found: Finding, stated: int) -> None:
    if stated > schema.SCHEMA_VERSION:
        found.problems.append(str(newer_schema(stated)))
    elif stated < schema.SCHEMA_VERSION:
        found.problems.append(
            f"the ledger has schema {stated}, this program needs {schema.SCHEMA_VERSION}: run `etl-assets migrate`"
        )
    else:
        found.notes.append(f"schema {stated}")

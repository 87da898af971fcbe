"""Opening the ledger of a test's folder: on SQLite, or where a file in a folder above it says so, on PostgreSQL.

The file reaches the processes that a test starts, which a patched function would not.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from etl_assets.ledger.database import Ledger
from etl_assets_tests.lean_stores import new_ledger

SERVER_FILE = "ledger-server.json"
_open_sqlite = Ledger.sqlite
_opened: list[Ledger] = []


def open_ledger(path: Path, *, copied: bool = False) -> Ledger:
    """The ledger at a path: a SQLite file, or a database that is named after it.

    ``copied``: a file that is not there yet is a copy of an empty one, not made anew.
    """
    server = server_of(path)
    if server is None:
        if copied:
            new_ledger(path)
        return _open_sqlite(path)
    return open_on(json.loads(server.read_text()), path)


def server_of(path: Path) -> Path | None:
    """The file that says on which server a ledger at this path is; ``None``: it is on SQLite."""
    return next((folder / SERVER_FILE for folder in path.parents if (folder / SERVER_FILE).exists()), None)


def open_on(server: dict[str, str], path: Path) -> Ledger:
    """The ledger in the database of this path.

    ``server``: ``admin`` makes the database as a copy of ``template``, ``url`` reaches it, its name begins with
    ``prefix``; ``pooled`` is "1" when ``url`` is a pooler's.
    """
    import psycopg
    from sqlalchemy.engine import make_url

    name = server["prefix"] + hashlib.blake2b(str(path).encode(), digest_size=8).hexdigest()
    with psycopg.connect(server["admin"], autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            # Another process may make it in this instant.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{server["template"]}"')  # type: ignore[call-overload]
    url = make_url(server["url"]).set(database=name).render_as_string(hide_password=False)
    ledger = Ledger.postgresql(url, transaction_pooling=server["pooled"] == "1")
    _opened.append(ledger)
    return ledger


def close_all() -> None:
    """Close every ledger that this process has opened on PostgreSQL."""
    while _opened:
        _opened.pop().close()

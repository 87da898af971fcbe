"""What programs leave of documents in a home beside the stores: logs, Dagster's databases, caches, abandoned files.

Whatever was said of a document is blanked in place, letter by letter, so that the rest stays readable.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from etl_assets.backends.blanking import Blanking
from etl_assets.backends.local_files import Scratch, refuse
from etl_assets.errors import TransientError
from etl_assets.ledger.erasing import PATIENCE_S, rewrite_sqlite

_SQLITE = b"SQLite format 3\0"


class HomeTraces:
    """Traces (see ``protocols.erasure``) below the folders ``told``; ``caches`` are emptied, ``scratch`` swept."""

    def __init__(self, told: Sequence[Path], caches: Sequence[Path], scratch: Sequence[Path]) -> None:
        self._told = told
        self._caches = caches
        self._scratch = scratch

    def erase(self, names: Collection[str], texts: Collection[str]) -> Mapping[str, int]:
        """See ``Traces.erase``."""
        found: Counter[str] = Counter()
        blank = Blanking(names, texts)
        for path in _files(self._told):
            try:
                if _is_sqlite(path):
                    found["database rows"] += _in_database(path, blank)
                else:
                    found["log passages"] += _in_text(path, blank)
            except FileNotFoundError:
                continue
            except OSError as e:
                refuse(e, f"clearing {path.name}")
        for path in _files(self._caches):
            path.unlink(missing_ok=True)
            found["cached results"] += 1
        for folder in self._scratch:
            if folder.is_dir():
                with Scratch(folder).folder():
                    pass
        return {kind: count for kind, count in sorted(found.items()) if count}


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _in_text(path: Path, blank: Blanking) -> int:
    if path.name.endswith(("-wal", "-shm", "-journal")):
        return 0  # of a database, which rewrites it
    with path.open("r+b") as file:
        before = file.read()
        after, found = blank(before.decode("utf-8", "surrogateescape"))
        if found:
            file.seek(0)
            file.write(after.encode("utf-8", "surrogateescape"))
    return found


def _in_database(path: Path, blank: Blanking) -> int:
    found = 0
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)) as db:
            db.execute("PRAGMA secure_delete = ON")  # what is overwritten is gone even if this process dies next
            db.execute("BEGIN IMMEDIATE")
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                found += _in_table(db, table, blank)
            db.execute("COMMIT")
            # A process that blanked all of it may have died before it emptied the journal.
            rewrite_sqlite(db, path.name, only_journal=not found)
    except sqlite3.OperationalError as e:
        raise TransientError(f"clearing {path.name}: {e}; run again") from e
    return found


def _in_table(db: sqlite3.Connection, table: str, blank: Blanking) -> int:
    name = '"' + table.replace('"', '""') + '"'
    columns = ['"' + row[1].replace('"', '""') + '"' for row in db.execute(f"PRAGMA table_info({name})")]
    found = 0
    for row in db.execute(f"SELECT rowid, {', '.join(columns)} FROM {name}").fetchall():
        for column, value in zip(columns, row[1:], strict=True):
            if isinstance(value, str):
                after, count = blank(value)
                if count:
                    db.execute(f"UPDATE {name} SET {column} = ? WHERE rowid = ?", (after, row[0]))
                    found += count
    return found

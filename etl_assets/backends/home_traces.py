"""What programs leave of documents in a home beside the stores: logs, Dagster's databases, caches, abandoned files.

Whatever was said of a document is blanked in place, letter by letter, so that the rest stays readable.
"""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from etl_assets.backends.local_files import Scratch, refuse
from etl_assets.errors import TransientError
from etl_assets.ledger.erasing import PATIENCE_S, rewrite_sqlite

QUOTED_WORDS = 5
"""So many consecutive words of a document are a quotation of it."""

_WORD = re.compile(r"(?:\w\x00*)+")
_SPACE = re.compile(r"\\[ntrbf]")
_LETTER = re.compile(r"\\u([0-9a-fA-F]{4})")
_CROSSED = re.compile(r"\\u[0-9a-fA-F]{4}|\\[ntrbf]|\w+?(?=\\u|\W|$)")
_SQLITE = b"SQLite format 3\0"
_PLAIN = frozenset({"true", "false", "null", "none"})


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


class Blanking:
    """Finds ``names`` and quotations of ``texts``, and writes an x over each of their letters."""

    def __init__(self, names: Collection[str], texts: Collection[str]) -> None:
        spelled = {
            one for name in names for one in (name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1])
        }
        longest = sorted((one for one in spelled if one), key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, longest))) if longest else None
        self._quotes = {quote for text in texts for quote, _, _ in _quotes(text)}

    def __call__(self, text: str) -> tuple[str, int]:
        """``text`` with as many bytes as before, and how many passages were blanked."""
        spans = [(m.start(), m.end()) for m in self._names.finditer(text)] if self._names else []
        if self._quotes:
            spans += [(start, end) for quote, start, end in _quotes(text) if quote in self._quotes]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        parts, at = [], 0
        for start, end in merged:
            parts += [text[at:start], _CROSSED.sub(_crossed, text[start:end])]
            at = end
        return "".join([*parts, text[at:]]), len(merged)


def _crossed(word: re.Match[str]) -> str:
    text = word[0]
    if text.startswith("\\"):
        return "\\u0078" if text[1] == "u" else text
    if text.isdecimal() or text.lower() in _PLAIN:
        return text  # a number or a constant of JSON: a record must stay readable
    return "x" * len(text.encode("utf-8", "surrogateescape"))


def _quotes(text: str) -> Iterator[tuple[int, int, int]]:
    """(digest, start, end) of each run of ``QUOTED_WORDS`` words of which three at least are words and differ."""
    # Escapes of JSON become what they stand for, filled up so that every place stays where it is.
    plain = _LETTER.sub(lambda escape: chr(int(escape[1], 16)) + "\0" * 5, _SPACE.sub("  ", text))
    words = list(_WORD.finditer(plain))
    folded = [word[0].replace("\0", "").casefold() for word in words]
    counts = [len(word) > 2 and word.isalpha() and word not in _PLAIN for word in folded]
    for at in range(len(words) - QUOTED_WORDS + 1):
        part = folded[at : at + QUOTED_WORDS]
        if len({word for word, counted in zip(part, counts[at:], strict=False) if counted}) >= 3:
            yield hash(tuple(part)), words[at].start(), words[at + QUOTED_WORDS - 1].end()


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
            db.execute("BEGIN IMMEDIATE")
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                found += _in_table(db, table, blank)
            db.execute("COMMIT")
            if found:
                rewrite_sqlite(db, path.name)
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

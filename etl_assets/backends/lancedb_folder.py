"""A local folder of LanceDB tables, one per index space: names, opening, lost races, and failures as our errors.

LanceDB costs a second of CPU to import, so it is imported by the first call that meets a table, never by a call on a
space that does not exist.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from etl_assets.errors import PermanentError, TransientError
from etl_assets.protocols.indexes import IndexSpace

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.db import DBConnection
    from lancedb.table import Table

Answer = TypeVar("Answer")

ATTEMPTS = 10
ATTEMPTS_WITHOUT_FILES = 4
FIRST_WAIT_S, LONGEST_WAIT_S = 0.02, 1.0
"""A commit that met another one is tried again after a random wait of up to 0.02 s, doubling up to 1 s: 5 s in all."""

SUFFIX = ".lance"
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_ESCAPE = re.compile("Z([0-9a-f]{2})")
_SOURCE_LINE = re.compile(r",\s+/?[\w./@-]+\.rs:\d+:\d+")


class TableFolder:
    """The tables of one ``kind`` of index (``vector`` or ``keyword``) in ``root``. Shared by threads and processes."""

    def __init__(self, root: Path, kind: str) -> None:
        self._root = root
        self._kind = kind
        self._lock = threading.Lock()
        self._connection: DBConnection | None = None

    def name(self, space: IndexSpace) -> str:
        """How messages name the index of a space."""
        return f"{self._kind} index {space.name}"

    def spaces(self) -> Sequence[IndexSpace]:
        """See ``RowIndex.spaces``; by name. Folders that are no table of ours are passed over."""
        if not self._root.is_dir():
            return []
        names = sorted(entry.name for entry in self._root.iterdir() if entry.name.endswith(SUFFIX))
        found = (space_of(name.removesuffix(SUFFIX)) for name in names)
        return [space for space in found if space is not None and self._exists(space)]

    def drop(self, space: IndexSpace) -> None:
        """See ``RowIndex.drop``."""
        folder = self._folder(space)
        # The manifests go first: a reader then finds the space missing, never half of it.
        for part in (folder / "_versions", folder):
            try:
                shutil.rmtree(part)
            except FileNotFoundError:
                continue
            except OSError as e:
                raise PermanentError(
                    f"{self.name(space)} cannot be removed: {e}; check the rights of its folder"
                ) from e

    def made(self, space: IndexSpace, schema: pa.Schema) -> Table:
        """The table of a space, created where it is missing. To be called inside ``retried``.

        Raises:
            PermanentError: it is there with other columns than ``schema``.
        """
        connection = self._connected()
        if not self._exists(space):
            return connection.create_table(table_name(space), schema=schema)
        table = connection.open_table(table_name(space))
        if table.schema.types != schema.types:
            held, given = (", ".join(map(str, part.types)) for part in (table.schema, schema))
            raise PermanentError(
                f"{self.name(space)} has columns of {held}, and the rows {given}: "
                "another embedding model needs a new index generation"
            )
        return table

    def read(self, space: IndexSpace, call: Callable[[Table], Answer], *, missing: Answer) -> Answer:
        """``call`` on the newest version of the table, or ``missing`` when there is none."""

        def opened() -> Answer:
            if not self._exists(space):
                return missing
            return call(self._connected().open_table(table_name(space)))

        return self.retried(space, opened)

    def retried(self, space: IndexSpace, call: Callable[[], Answer]) -> Answer:
        """``call`` until it loses no race any more.

        Raises:
            TransientError: it lost ATTEMPTS of them.
            PermanentError: the table or the disk refuses.
        """
        attempt = 0
        while True:
            try:
                return call()
            except (RuntimeError, ValueError, OSError) as e:
                attempt += 1
                if attempt >= _attempts(e):
                    raise self.failure(space, e) from e
                time.sleep(random.uniform(0, min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)))

    def failure(self, space: IndexSpace, error: Exception) -> PermanentError | TransientError:
        """Our error for one of LanceDB's or the file system's, without its source lines."""
        what = _SOURCE_LINE.sub("", str(error)).replace("lance error: ", "")
        if _is_conflict(error):
            return TransientError(f"{self.name(space)}: other processes kept writing, {ATTEMPTS} attempts: {what}")
        if "No space left" in what:
            return PermanentError(f"{self.name(space)}: the disk is full: {what}; free space and run again")
        if "Permission denied" in what or isinstance(error, OSError):
            return PermanentError(f"{self.name(space)}: {what}; check the folder {self._root.name} and its rights")
        return PermanentError(f"{self.name(space)} cannot be used: {what}; rebuild this index from the lake")

    def _connected(self) -> DBConnection:
        with self._lock:
            if self._connection is None:
                # Otherwise asking for index statistics reads every centroid, and warns about that on stderr.
                os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
                import lancedb

                self._connection = lancedb.connect(self._root, read_consistency_interval=timedelta(0))
            return self._connection

    def _exists(self, space: IndexSpace) -> bool:
        # A folder without a manifest is a table whose making was cut short: nothing was ever in it.
        versions = self._folder(space) / "_versions"
        return versions.is_dir() and any(versions.iterdir())

    def _folder(self, space: IndexSpace) -> Path:
        return self._root / (table_name(space) + SUFFIX)


def table_name(space: IndexSpace) -> str:
    """``space.name`` with each byte of a name outside ``a-z0-9_-`` written as ``Z`` and two hex digits."""
    return f"{_escaped(space.tenant)}.{_escaped(space.collection)}.{space.generation}"


def space_of(name: str) -> IndexSpace | None:
    """The space whose ``table_name`` this is, if it is one."""
    parts = name.split(".")
    if len(parts) != 3 or not re.fullmatch(r"0|[1-9][0-9]*", parts[2]):
        return None
    space = IndexSpace(_unescaped(parts[0]), _unescaped(parts[1]), int(parts[2]))
    return space if table_name(space) == name else None


def _escaped(name: str) -> str:
    return "".join(chr(byte) if byte in _SAFE else f"Z{byte:02x}" for byte in name.encode("utf-8", "surrogateescape"))


def _unescaped(name: str) -> str:
    data = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), name).encode("latin-1", "replace")
    return data.decode("utf-8", "surrogateescape")


def _is_conflict(error: Exception) -> bool:
    message = str(error).lower()
    return "conflict" in message or "too many concurrent writers" in message


def _attempts(error: Exception) -> int:
    """How often to try: a lost race for a commit always passes; files that are gone were dropped or cleaned up by
    another process since the table was opened, or are lost."""
    message = str(error).lower()
    gone = "not found" in message or "already exists" in message
    return ATTEMPTS if _is_conflict(error) else ATTEMPTS_WITHOUT_FILES if gone else 1

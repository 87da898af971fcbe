"""The tables of one kind of LanceDB index, one per index space: names, opening, lost races, and failures as our errors.

They stand in a ``TablePlace``: a local folder (here), or a bucket (``lancedb_s3``). LanceDB costs half a second of CPU
to import, so it is imported by the first call that meets a table, never by a call on a space that does not exist.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from etl_assets.backends.lancedb_import import CLIENT, leave_unopened
from etl_assets.errors import EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.damage import DamagedError
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

LABELS = "labels"
"""The column that tables of earlier releases lack."""

SUFFIX = ".lance"
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_ESCAPE = re.compile("Z([0-9a-f]{2})")
_SOURCE_LINE = re.compile(r",\s+/?[\w./@-]+\.rs:\d+:\d+")


class TablePlace(Protocol):
    """Where tables stand, by name. Its methods raise our errors, LanceDB's, or the file system's."""

    def names(self) -> Sequence[str]:
        """The names of what may be tables."""
        ...

    def holds(self, name: str) -> bool:
        """Whether this table is there: something without a manifest is one whose making was cut short."""
        ...

    def opened(self, name: str) -> Table | None:
        """The newest version of a table; ``None`` when there is none."""
        ...

    def created(self, name: str, schema: pa.Schema) -> Table:
        """A new, empty table; it is an error when it is there."""
        ...

    def remove(self, name: str, shown: str) -> None:
        """Remove a table, its manifests first: a reader then finds it missing, never half of it."""
        ...

    def attempts(self, error: Exception) -> int:
        """How often what ended in this error is attempted in all."""
        ...

    def failure(self, error: Exception, shown: str) -> EtlAssetsError:
        """Our error for one that the place itself caused; ``shown`` is how messages name the index."""
        ...


class LocalTables:
    """TablePlace in the folder ``root``, for any number of processes of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._connection: DBConnection | None = None

    def names(self) -> Sequence[str]:
        """See ``TablePlace.names``."""
        if not self._root.is_dir():
            return []
        return [entry.name.removesuffix(SUFFIX) for entry in self._root.iterdir() if entry.name.endswith(SUFFIX)]

    def holds(self, name: str) -> bool:
        """See ``TablePlace.holds``."""
        versions = self._folder(name) / "_versions"
        return versions.is_dir() and any(versions.iterdir())

    def opened(self, name: str) -> Table | None:
        """See ``TablePlace.opened``."""
        return self._connected().open_table(name) if self.holds(name) else None

    def created(self, name: str, schema: pa.Schema) -> Table:
        """See ``TablePlace.created``."""
        return self._connected().create_table(name, schema=schema)

    def remove(self, name: str, shown: str) -> None:
        """See ``TablePlace.remove``."""
        for part in (self._folder(name) / "_versions", self._folder(name)):
            try:
                shutil.rmtree(part)
            except FileNotFoundError:
                continue
            except OSError as e:
                raise PermanentError(f"{shown} cannot be removed: {e}; check the rights of its folder") from e

    def attempts(self, error: Exception) -> int:
        """See ``TablePlace.attempts``."""
        return attempts(error)

    def failure(self, error: Exception, shown: str) -> EtlAssetsError:
        """See ``TablePlace.failure``."""
        what = plain(error)
        if "No space left" in what:
            return PermanentError(f"{shown}: the disk is full: {what}; free space and run again")
        if "Permission denied" in what or isinstance(error, OSError):
            return PermanentError(f"{shown}: {what}; check the folder {self._root.name} and its rights")
        return unusable(what, shown)

    def _connected(self) -> DBConnection:
        with self._lock:
            if self._connection is None:
                self._connection = connect(self._root, timedelta(0))
            return self._connection

    def _folder(self, name: str) -> Path:
        return self._root / (name + SUFFIX)


class TableFolder:
    """The tables of one ``kind`` of index (``vector`` or ``keyword``). Shared by threads and processes."""

    def __init__(self, place: TablePlace | Path, kind: str) -> None:
        self._place: TablePlace = LocalTables(place) if isinstance(place, Path) else place
        self._kind = kind

    def name(self, space: IndexSpace) -> str:
        """How messages name the index of a space."""
        return f"{self._kind} index {space.name}"

    def spaces(self) -> Sequence[IndexSpace]:
        """See ``RowIndex.spaces``; by name. What is no table of ours is passed over."""
        found = (space_of(name) for name in sorted(self._place.names()))
        return [space for space in found if space is not None and self._place.holds(table_name(space))]

    def drop(self, space: IndexSpace) -> None:
        """See ``RowIndex.drop``."""
        self._place.remove(table_name(space), self.name(space))

    def made(self, space: IndexSpace, schema: pa.Schema) -> Table:
        """The table of a space, created where it is missing. To be called inside ``retried``.

        One of before documents had labels is given their column, empty.

        Raises:
            PermanentError: it is there with other columns than ``schema``.
        """
        from pyarrow import schema as pa_schema

        table = self._place.opened(table_name(space))
        if table is None:
            return self._place.created(table_name(space), schema)
        if LABELS in schema.names and LABELS not in table.schema.names:
            table.add_columns(pa_schema([schema.field(LABELS)]))
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
            table = self._place.opened(table_name(space))
            return missing if table is None else call(table)

        return self.retried(space, opened)

    def retried(self, space: IndexSpace, call: Callable[[], Answer]) -> Answer:
        """``call`` until it loses no race any more.

        Raises:
            TransientError: it lost ATTEMPTS of them, or the place is not available.
            PermanentError: the table or the place refuses.
            DamagedError: the table's files cannot be read.
        """
        attempt = 0
        while True:
            try:
                return call()
            except (RuntimeError, ValueError, OSError) as e:
                attempt += 1
                if attempt >= self._place.attempts(e):
                    raise self.failure(space, e) from e
                time.sleep(random.uniform(0, min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)))
            except BaseException as e:
                # What Rust's panics become is no Exception. LanceDB panics over some files with bytes changed.
                if type(e).__name__ != "PanicException":
                    raise
                raise unusable(plain(e), self.name(space)) from e

    def failure(self, space: IndexSpace, error: Exception) -> EtlAssetsError:
        """Our error for one of LanceDB's or the place's, without its source lines."""
        if is_conflict(error):
            shown = self.name(space)
            return TransientError(f"{shown}: other processes kept writing, {ATTEMPTS} attempts: {plain(error)}")
        return self._place.failure(error, self.name(space))


def connect(root: Path | str, consistency: timedelta | None, options: Mapping[str, str] | None = None) -> DBConnection:
    """LanceDB over ``root``; an open table follows other writers after ``consistency`` (``None``: never)."""
    # Otherwise asking for index statistics reads every centroid, and warns about that on stderr.
    os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
    leave_unopened(CLIENT)
    import lancedb

    given = None if options is None else dict(options)
    return lancedb.connect(root, read_consistency_interval=consistency, storage_options=given)


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


def plain(error: BaseException) -> str:
    """What LanceDB says, without its source lines."""
    return _SOURCE_LINE.sub("", str(error)).replace("lance error: ", "")


def unusable(what: str, shown: str) -> DamagedError:
    """The error for a table that is damaged or lost in part."""
    return DamagedError(f"{shown} cannot be used: {what}; rebuild this index from the lake: `etl-assets repair`")


def is_conflict(error: Exception) -> bool:
    """Whether a commit lost against another one."""
    message = str(error).lower()
    return "conflict" in message or "too many concurrent writers" in message


def attempts(error: Exception) -> int:
    """How often to try: a lost race for a commit always passes; files that are gone were dropped or cleaned up by
    another process since the table was opened, or are lost."""
    message = str(error).lower()
    gone = "not found" in message or "already exists" in message
    return ATTEMPTS if is_conflict(error) else ATTEMPTS_WITHOUT_FILES if gone else 1

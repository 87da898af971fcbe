"""Making a backup: the ledger's rows at one sequence number, and every file that they name, while work goes on."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from etl_assets.documents.backups.target import Manifest, Piece, SavedFile, SavedTable, Shelf, Target, file_line
from etl_assets.documents.original_keys import original_key
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.ledger import dump, named_files, pins, restoring, schema
from etl_assets.ledger.database import Ledger, clock, digest_of, sequence
from etl_assets.ledger.installation import installation_id
from etl_assets.ledger.leases import acquire
from etl_assets.protocols.objects import Blobs

PIN_S = 600.0
"""A backup that was killed holds dead segments back for so long."""
_RENEW_S = 60.0
_ATTEMPTS = 3
"""A purge beside a backup may delete a file that the backup's moment names: then it begins again."""


@dataclass(frozen=True, slots=True)
class Places:
    """What a backup reads and a restore writes: blobs as they are stored, encrypted ones stay encrypted.

    ``endings`` are what keys in these stores may end with beside what the ledger calls them, the likeliest first.
    """

    ledger: Ledger
    lake: Blobs
    originals: Blobs
    collections_file: Path
    endings: tuple[str, ...] = ("",)

    def store(self, name: str) -> Blobs:
        """``lake`` or ``originals``."""
        return self.lake if name == "lake" else self.originals


@dataclass(slots=True)
class BackupReport:
    """What one backup holds, and what of it had to be written; sizes in bytes."""

    target: str
    backup: str = ""
    sequence: int = 0
    files: int = 0
    file_bytes: int = 0
    rows: int = 0
    pieces_written: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    pruned: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "seconds": round(self.seconds, 3), "pruned": list(self.pruned)}


@dataclass(frozen=True, slots=True)
class _Wanted:
    store: str
    key: str
    needed: bool


class BackupTargets(Protocol):
    """Where backups are made to by themselves."""

    def names(self) -> Sequence[str]:
        """Folders and buckets; none when nothing is set."""
        ...

    def back_up(self, name: str) -> BackupReport:
        """A backup to one of them, then the old ones pruned.

        Raises:
            ConfigError, TransientError, PermanentError: none was made; the others are not touched by it.
        """
        ...


class _Gone(Exception):
    """A file that the ledger named is not there (any more), or the pin on it has expired."""


def make_backup(places: Places, target: Target) -> BackupReport:
    """Write one backup to a target. What an interrupted one left there is used, and the rest of it swept.

    Raises:
        TransientError: another backup is being written there, the home is being restored, or a store does not answer.
        PermanentError: a file that the ledger names is lost, or there is no room.
    """
    started = time.monotonic()
    with alone(places.ledger, target):
        installation = installation_id(places.ledger)
        _refuse_anothers(target, installation)
        for attempt in range(_ATTEMPTS):
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
            interrupted = target.begin(name)
            try:
                manifest, report = _attempt(places, target, name, installation)
                break
            except _Gone as e:
                if attempt == _ATTEMPTS - 1:
                    raise PermanentError(
                        f"backup to {target.name}: {e} is gone, although the ledger names it; `etl-assets check` tells "
                        "what is lost, `etl-assets sync` makes segments again"
                    ) from e
        target.finish(manifest)
        if interrupted:
            target.sweep()
    report.seconds = time.monotonic() - started
    return report


def prune(ledger: Ledger, target: Target, *, keep_days: float) -> tuple[list[str], int]:
    """Forget backups older than ``keep_days``, never the newest, and what only they named: (names, bytes freed).

    Raises:
        Damaged: a manifest that stays cannot be read: it is told first.
        TransientError: a backup is being written there.
    """
    with alone(ledger, target), ledger.reading() as connection:
        oldest = clock(connection) - keep_days * 86_400
        known = target.manifests()
        gone = [one.backup for one in known[:-1] if one.taken_at < oldest]
        for name in gone:
            target.forget(name)
        return gone, target.sweep()[1] if gone else 0


@contextmanager
def alone(ledger: Ledger, target: Target) -> Iterator[None]:
    """Nobody else of this home writes to the target: what is swept is what no backup names, nor will.

    Raises:
        TransientError: somebody does.
    """
    lease = acquire(ledger, f"backup/{digest_of(target.name)}", holder=f"backup-{uuid4().hex}")
    try:
        yield
    finally:
        lease.release()


def _attempt(places: Places, target: Target, name: str, installation: str) -> tuple[Manifest, BackupReport]:
    report = BackupReport(target.name)
    known = _known(target)
    with pins.pinned(places.ledger, ttl_s=PIN_S) as pin, Shelf(target) as shelf:
        with places.ledger.reading() as connection:
            restoring.refuse_while_restoring(connection)
            n, at = sequence(connection), clock(connection)
            tables = tuple(_saved_table(connection, shelf, table) for table in dump.dumped_tables())
            wanted = _wanted(connection)
            masters = named_files.masters(connection)
        files = list(_saved_files(places, shelf, wanted, known, pin))
        lists = tuple(shelf.add(part.content) for part in dump.parts(file_line(one) for one in files))
        settings = places.collections_file
        collections = shelf.add(settings.read_bytes()) if settings.exists() else None
    report.backup = f"{name}-{n:012d}"
    report.sequence, report.files, report.file_bytes = n, len(files), sum(one.piece.size_bytes for one in files)
    report.rows = sum(table.rows for table in tables)
    report.pieces_written, report.bytes_written = shelf.written, shelf.bytes_written
    manifest = Manifest(
        report.backup, installation, version("etl-assets"), schema.SCHEMA_VERSION, n, at, tables, lists, report.files,
        report.file_bytes, collections, masters,
    )  # fmt: skip
    return manifest, report


def _refuse_anothers(target: Target, installation: str) -> None:
    """Numbers of two ledgers have nothing to do with each other."""
    for one in target.manifests():
        if one.installation != installation:
            raise ConfigError(
                f"{target.name} holds backups of another installation ({one.backup}): back up to another place"
            )


def _known(target: Target) -> dict[tuple[str, str], SavedFile]:
    """Files of the newest backup that lie there still: files of the lake and of the originals never change."""
    made = target.manifests()
    return {(one.store, one.key): one for one in target.files(made[-1]) if target.holds(one.piece)} if made else {}


def _saved_table(connection: Any, shelf: Shelf, table: Any) -> SavedTable:
    pieces: list[Piece] = []
    rows = 0
    for part in dump.parts(dump.table_lines(connection, table)):
        pieces.append(shelf.add(part.content))
        rows += part.lines
    return SavedTable(table.name, tuple(column.name for column in table.columns), rows, tuple(pieces))


def _wanted(connection: Any) -> list[_Wanted]:
    originals = [
        _Wanted("originals", original_key(one.tenant, one.document_id, one.version), one.needed)
        for one in named_files.named_originals(connection)
    ]
    return [_Wanted("lake", key, True) for key in named_files.live_segment_keys(connection)] + originals


def _saved_files(
    places: Places, shelf: Shelf, wanted: list[_Wanted], known: dict[tuple[str, str], SavedFile], pin: str
) -> Iterator[SavedFile]:
    renewed = time.monotonic()
    for one in wanted:
        if time.monotonic() - renewed > _RENEW_S:
            if not pins.renew(places.ledger, pin, ttl_s=PIN_S):
                raise _Gone("the pin of this backup")
            renewed = time.monotonic()
        found = known.get((one.store, one.key + places.endings[0])) or _saved(places, shelf, one)
        if found is not None:
            yield found


def _saved(places: Places, shelf: Shelf, one: _Wanted) -> SavedFile | None:
    for ending in places.endings:
        try:
            with places.store(one.store).local(one.key + ending) as path:
                # Segments are compressed, and what is encrypted cannot be.
                piece = shelf.add_file(path, packed=not ending and one.store == "originals")
                return SavedFile(one.store, one.key + ending, piece)
        except FileNotFoundError:
            continue
    if one.needed:
        raise _Gone(f"{one.store}/{one.key}")
    return None

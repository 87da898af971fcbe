"""A place that holds backups: pieces of bytes named by their digest, and one manifest for each backup.

A piece is written once and shared by every backup that names it. A manifest is written last, so what was interrupted
is no backup. Opening a target, a folder or a bucket, is elsewhere.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from etl_assets.errors import ConfigError, PermanentError
from etl_assets.protocols.objects import Blobs

FORMAT = 1
_MANIFESTS = "backups/"
_BEGUN = "begun/"
_BLOCK = 1 << 20


class Damaged(PermanentError):
    """A file of a backup is gone, or its bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes. ``sha256`` and ``size_bytes`` are of what they say; ``stored_bytes`` is what they take up."""

    sha256: str
    size_bytes: int
    stored_bytes: int
    packed: bool

    @property
    def key(self) -> str:
        """Where it lies; compressed with zstd where the name says so."""
        return f"pieces/{self.sha256[:2]}/{self.sha256}{'.zst' if self.packed else ''}"


@dataclass(frozen=True, slots=True)
class SavedFile:
    """One file of the home: ``store`` is ``lake`` or ``originals``, ``key`` its key there."""

    store: str
    key: str
    piece: Piece


@dataclass(frozen=True, slots=True)
class SavedTable:
    """The rows of one table of the ledger: lines of JSON, a value for each of ``columns``."""

    name: str
    columns: tuple[str, ...]
    rows: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup. ``sequence`` is the ledger's number that it was taken at, ``taken_at`` Unix seconds UTC.

    ``files`` are pieces that list the files. ``masters`` are the names of the keys that what is encrypted needs.
    """

    backup: str
    installation: str
    program: str
    schema: int
    sequence: int
    taken_at: float
    tables: tuple[SavedTable, ...]
    files: tuple[Piece, ...]
    file_count: int
    file_bytes: int
    collections: Piece | None = None
    masters: tuple[str, ...] = ()
    format: int = FORMAT

    def lists(self) -> list[Piece]:
        """Every piece but those of the files."""
        found = [piece for table in self.tables for piece in table.pieces] + list(self.files)
        return found + ([self.collections] if self.collections else [])


@dataclass(slots=True)
class Target:
    """One place, as its owner calls it. ``present`` is what lies there: key -> bytes, asked once."""

    name: str
    blobs: Blobs
    _present: dict[str, int] | None = field(default=None)

    @property
    def present(self) -> dict[str, int]:
        """Every piece that lies there."""
        if self._present is None:
            self._present = {key: size for key, size, _ in self.blobs.keys("pieces/")}
        return self._present

    def holds(self, piece: Piece) -> bool:
        """Whether it lies there, whole by its size."""
        return self.present.get(piece.key) == piece.stored_bytes

    def manifests(self) -> list[Manifest]:
        """Every finished backup, the oldest first.

        Raises:
            Damaged: a manifest cannot be read.
        """
        found = [self.manifest(key.removeprefix(_MANIFESTS)) for key in sorted(self._names(_MANIFESTS))]
        return sorted(found, key=lambda one: (one.sequence, one.taken_at))

    def manifest(self, name: str) -> Manifest:
        """One finished backup; raises as ``manifests``."""
        backup = name.removesuffix(".json")
        try:
            with self.blobs.local(f"{_MANIFESTS}{backup}.json") as path:
                record = json.loads(path.read_bytes())
            digest, body = record["sha256"], record["manifest"]
        except FileNotFoundError as e:
            raise ConfigError(f"{self.name}: there is no backup {backup}; `etl-assets backup list` shows them") from e
        except (ValueError, KeyError, TypeError) as e:
            raise Damaged(f"{self.name}: the manifest of backup {backup} cannot be read") from e
        if hashlib.sha256(_canonical(body)).hexdigest() != digest:
            raise Damaged(f"{self.name}: the manifest of backup {backup} was altered")
        if body["format"] > FORMAT:
            raise ConfigError(f"{self.name}: backup {backup} was made by a newer etl-assets: use that one")
        return _manifest(body)

    def names(self) -> list[str]:
        """Names of the finished backups, readable or not, the oldest first."""
        return sorted(key.removeprefix(_MANIFESTS).removesuffix(".json") for key in self._names(_MANIFESTS))

    def _names(self, prefix: str) -> list[str]:
        return [key for key, _, _ in self.blobs.keys(prefix)]

    def begin(self, backup: str) -> bool:
        """Note that a backup is being made; whether an earlier one was interrupted."""
        interrupted = bool(self._names(_BEGUN))
        self._put(f"{_BEGUN}{backup}", b"{}")
        return interrupted

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: from here on it is a backup."""
        body = asdict(manifest)
        record = {"sha256": hashlib.sha256(_canonical(body)).hexdigest(), "manifest": body}
        self._put(f"{_MANIFESTS}{manifest.backup}.json", json.dumps(record, indent=1).encode())
        for key in self._names(_BEGUN):
            self.blobs.delete(key)

    def forget(self, backup: str) -> None:
        """Let a backup be none any more. Its pieces stay until they are swept."""
        self.blobs.delete(f"{_MANIFESTS}{backup}.json")

    def sweep(self) -> tuple[int, int]:
        """Delete every piece that no backup names; (how many, bytes). Nobody may be writing a backup meanwhile.

        Raises:
            Damaged: a backup's list cannot be read, so nobody can tell what it names.
        """
        named = {piece.key for manifest in self.manifests() for piece in manifest.lists()}
        named |= {one.piece.key for manifest in self.manifests() for one in self.files(manifest)}
        strays = {key: size for key, size, _ in list(self.blobs.keys("pieces/")) if key not in named}
        for key in strays:
            self.blobs.delete(key)
        self._present = None
        return len(strays), sum(strays.values())

    def files(self, manifest: Manifest) -> Iterator[SavedFile]:
        """The files of a backup; raises as ``content``."""
        for piece in manifest.files:
            for line in self.content(piece).splitlines():
                store, key, *about = json.loads(line)
                yield SavedFile(store, key, Piece(*about))

    def content(self, piece: Piece) -> bytes:
        """The bytes of a piece, which are those that were written.

        Raises:
            Damaged: they are not there, or differ.
        """
        with self.opened(piece) as path:
            return path.read_bytes()

    @contextmanager
    def opened(self, piece: Piece) -> Iterator[Path]:
        """A file with the bytes of a piece, which may be moved away; raises as ``content``."""
        with self.blobs.scratch() as folder:
            path = folder / "piece"
            try:
                with self.blobs.local(piece.key) as stored, open(path, "wb") as plain:
                    digest = _unpack(stored, plain, packed=piece.packed)
            except FileNotFoundError as e:
                raise Damaged(f"{self.name}: {piece.key} is gone") from e
            except _Unreadable as e:
                raise Damaged(f"{self.name}: {piece.key} was altered or cut short") from e
            if digest != piece.sha256:
                raise Damaged(f"{self.name}: {piece.key} was altered")
            yield path

    def _put(self, key: str, content: bytes) -> None:
        with self.blobs.scratch() as folder:
            (folder / "content").write_bytes(content)
            self.blobs.put(key, folder / "content")


class Shelf:
    """Writes pieces to a target, several together. What lies there already is not written again.

    Use it as a context: the pieces are durable after it. ``written`` and ``bytes_written`` count what was not there.
    """

    _AT_ONCE = 64
    _BYTES_AT_ONCE = 64 << 20

    def __init__(self, target: Target) -> None:
        self._target = target
        self._waiting: list[tuple[str, Path]] = []
        self._waiting_bytes = 0
        self.written = 0
        self.bytes_written = 0

    def __enter__(self) -> "Shelf":
        self._scratch = self._target.blobs.scratch()
        self._folder = self._scratch.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self._scratch.__exit__(kind, error, trace)

    def add(self, content: bytes) -> Piece:
        """Put bytes there, compressed."""
        path = self._folder / "adding"
        path.write_bytes(content)
        return self.add_file(path, packed=True)

    def add_file(self, source: Path, *, packed: bool) -> Piece:
        """Put the bytes of a file there; the file stays.

        Raises:
            FileNotFoundError: there is none.
        """
        digest, size = _digest_of(source)
        new = Piece(digest, size, 0, packed)
        known = self._target.present.get(new.key)
        if known is not None and (packed or known == size):
            return Piece(digest, size, known, packed)
        path = self._folder / f"{digest}.stored"
        with open(source, "rb") as plain, open(path, "wb") as stored:
            _pack(plain, stored, packed=packed)
        self._waiting.append((new.key, path))
        stored_bytes = path.stat().st_size
        self._target.present[new.key] = stored_bytes
        self._waiting_bytes += stored_bytes
        if len(self._waiting) >= self._AT_ONCE or self._waiting_bytes >= self._BYTES_AT_ONCE:
            self.flush()
        return Piece(digest, size, stored_bytes, packed)

    def flush(self) -> None:
        """Make what waits durable."""
        self._target.blobs.put_all(self._waiting)
        self.written += len(self._waiting)
        self.bytes_written += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0


def file_line(one: SavedFile) -> tuple[bytes, bytes]:
    """(key, line) of one file in the list of files."""
    piece = one.piece
    values = [one.store, one.key, piece.sha256, piece.size_bytes, piece.stored_bytes, piece.packed]
    return f"{one.store}/{one.key}".encode(), (json.dumps(values, separators=(",", ":")) + "\n").encode()


def _manifest(body: Mapping[str, Any]) -> Manifest:
    tables = tuple(
        SavedTable(one["name"], tuple(one["columns"]), one["rows"], _pieces(one["pieces"])) for one in body["tables"]
    )
    collections = Piece(**body["collections"]) if body["collections"] else None
    parts = {"tables": tables, "files": _pieces(body["files"]), "collections": collections}
    return Manifest(**{**body, **parts, "masters": tuple(body["masters"])})


def _pieces(records: Sequence[Mapping[str, Any]]) -> tuple[Piece, ...]:
    return tuple(Piece(**one) for one in records)


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _digest_of(path: Path) -> tuple[str, int]:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def _pack(plain: BinaryIO, stored: BinaryIO, *, packed: bool) -> None:
    if not packed:
        while block := plain.read(_BLOCK):
            stored.write(block)
        return
    import pyarrow as pa

    with pa.CompressedOutputStream(pa.PythonFile(stored, mode="w"), "zstd") as out:
        while block := plain.read(_BLOCK):
            out.write(block)
        # Closing it closes the file below too.


class _Unreadable(Exception):
    """Bytes that cannot be unpacked."""


def _unpack(stored: Path, plain: BinaryIO, *, packed: bool) -> str:
    """Write what the stored bytes say; its SHA-256. FileNotFoundError and _Unreadable are told of ``stored`` alone."""
    digest = hashlib.sha256()
    for block in _unpacked_blocks(stored) if packed else _blocks(stored):
        digest.update(block)
        plain.write(block)
    return digest.hexdigest()


def _blocks(stored: Path) -> Iterator[bytes]:
    with open(stored, "rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _unpacked_blocks(stored: Path) -> Iterator[bytes]:
    import pyarrow as pa

    with pa.OSFile(str(stored)) as file, pa.CompressedInputStream(file, "zstd") as unpacked:
        while True:
            try:
                block = unpacked.read(_BLOCK)
            except OSError as e:
                raise _Unreadable from e
            if not block:
                return
            yield block

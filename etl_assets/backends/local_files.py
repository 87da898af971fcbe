"""What the local stores share: durable renames, scratch folders that a kill leaves to the next process, disk errors."""

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

from etl_assets.errors import PermanentError

BLOCK_BYTES = 1 << 20
"""How much of a file is in memory while it is copied."""

RACES = 1000
"""How often a put makes its folder again when deletes keep removing it as empty; to lose once takes a whole delete."""

_SCRATCH_NAME = re.compile(r"scratch-[0-9]+-[0-9a-f]{16}")
_NO_ROOM = {errno.ENOSPC: "no space left on the disk", errno.EDQUOT: "the disk quota is used up"}


def refuse(error: OSError, doing: str) -> NoReturn:
    """Raise the PermanentError that says what the disk refused and what to do about it.

    Args:
        doing: what was being done and to which file, such as ``writing reports/7``.

    Raises:
        PermanentError: always.
    """
    problem = _NO_ROOM.get(error.errno or 0)
    if problem is not None:
        raise PermanentError(f"{doing}: {problem}; make room, then run again") from error
    if isinstance(error, PermissionError):
        raise PermanentError(f"{doing}: permission denied; give this user the right to it, then run again") from error
    raise PermanentError(f"{doing}: {error.strerror or error}") from error


def sync_folder(folder: Path | int) -> None:
    """Make the names in ``folder`` (a path or an open descriptor) durable: new, renamed and removed files alike."""
    if isinstance(folder, int):
        os.fsync(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_volume(folder: Path) -> None:
    """Make everything written to the volume that holds ``folder`` durable, with one system call (syncfs, Linux).

    Raises:
        OSError: the volume reports that something could not be written.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc().syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its missing parents, private to this user and durable. One that exists is left alone."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    sync_folder(folder.parent)


def write_all(descriptor: int, block: bytes) -> None:
    """Write the whole of ``block``: one ``os.write`` may take only part of it when the disk fills up."""
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def copy_durably(source: Path, target: Path, *, mode: int) -> None:
    """Copy the bytes of ``source`` to the new file ``target`` and sync it; on failure ``target`` is removed.

    Raises:
        OSError: as the file system says, ``FileExistsError`` included.
    """
    writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(source, "rb", buffering=0) as reading:
            while block := reading.read(BLOCK_BYTES):
                write_all(writing, block)
        os.fsync(writing)
    except BaseException:
        with suppress(OSError):
            os.unlink(target)
        raise
    finally:
        os.close(writing)


class Scratch:
    """Temporary folders under one folder, each locked by the process that uses it.

    A folder is named by process id and a random part, and its owner holds ``flock`` on it, which the kernel drops
    with the process. So whatever a killed process left is recognised without asking how old it is, and is removed
    the next time anybody takes a scratch folder here. A process id alone would not do: numbers come back.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new empty folder, removed with the context.

        Raises:
            PermanentError: no space left, or no right to write here.
        """
        try:
            make_folder(self._folder)
            self._sweep()
            path, lock = self._take()
        except OSError as e:
            refuse(e, f"making a scratch folder in {self._folder}")
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)  # what stays is swept by the next process
            os.close(lock)

    def _take(self) -> tuple[Path, int]:
        while True:
            path = self._folder / f"scratch-{os.getpid()}-{secrets.token_hex(8)}"
            os.mkdir(path, 0o700)
            lock = _locked(path)
            # A sweeper may have come between the two lines above; then the lock is on a folder without a name.
            if lock is not None and path.exists():
                return path, lock
            if lock is not None:
                os.close(lock)

    def _sweep(self) -> None:
        with os.scandir(self._folder) as entries:
            # Others may keep folders here too: only what bears our form of name is ours to remove.
            folders = [Path(entry.path) for entry in entries if _SCRATCH_NAME.fullmatch(entry.name)]
        for path in folders:
            lock = _locked(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor holding the exclusive lock of ``folder``; nothing when another holds it or the folder is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor

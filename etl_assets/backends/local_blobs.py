"""Blobs in a folder: originals and lake segments of a home without S3. Keys are file paths below the folder."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from etl_assets.backends.local_files import RACES, Scratch, copy_durably, make_folder, refuse, sync_folder, sync_volume
from etl_assets.errors import ConfigError, PermanentError

_SCRATCH = ".scratch"
_WORTH_A_VOLUME_SYNC = 8
"""From so many files on, one sync of the volume costs less than one of each file and folder."""


class LocalBlobs:
    """Blobs (see ``protocols.objects``) under ``folder``, which is made when first written to.

    Files are readable by their owner only. A key appears by a rename after its bytes were synced, so it is there
    whole or not at all, whatever is killed. ``folder/.scratch`` holds unfinished files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = Scratch(folder / _SCRATCH)

    def put(self, key: str, source: Path) -> int:
        """Move ``source`` in under ``key``, durably and atomically, and return its size in bytes.

        A source on another volume is copied first, and removed once ``key`` stands.

        Raises:
            PermanentError: no space left, no right to write, or part of ``key`` is itself a key; nothing is left
                behind under ``key``.
            ConfigError: ``key`` is empty, absolute, or leaves the folder.
            FileNotFoundError: there is no ``source``.
        """
        target = self._path(key)
        size = _sealed(source, key)
        try:
            self._move(source, target)
        except OSError as e:
            if e.errno != errno.EXDEV:
                refuse(e, f"storing {key}")
            self._copy_in(source, target, key)
        return size

    def put_all(self, items: Sequence[tuple[str, Path]]) -> None:
        """``put`` each (key, source), then sync the volume once.

        (Measured: syncing each file and each new folder was most of the CPU time of taking in small documents.) A
        crash of the machine before the sync may leave a key torn; nobody was told of it yet, and putting it again
        replaces it.

        Raises:
            PermanentError, ConfigError, FileNotFoundError: as for ``put``.
        """
        if len(items) < _WORTH_A_VOLUME_SYNC:
            for key, source in items:
                self.put(key, source)
            return
        for key, source in items:
            target = self._path(key)
            os.chmod(source, 0o600)
            try:
                self._rename(source, target, make=lambda folder: folder.mkdir(0o700, parents=True, exist_ok=True))
            except OSError as e:
                if e.errno != errno.EXDEV:
                    refuse(e, f"storing {key}")
                self._copy_in(source, target, key)
        try:
            sync_volume(self._folder)
        except OSError as e:
            refuse(e, f"storing {len(items)} files")

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """The file of ``key`` itself; it must not be written.

        Raises:
            FileNotFoundError: there is no such key.
        """
        path = self._path(key)
        if not self._is_file(path):
            raise FileNotFoundError(errno.ENOENT, "no such blob", str(path))
        yield path

    def exists(self, key: str) -> bool:
        """Whether ``key`` is there.

        Raises:
            PermanentError: the folder may not be read, so nobody can tell.
        """
        try:
            return self._is_file(self._path(key))
        except OSError as e:
            refuse(e, f"looking for {key}")

    def delete(self, key: str) -> None:
        """Remove ``key``, and the folders above it that are empty then. A missing one is no error.

        Raises:
            PermanentError: no right to remove it.
        """
        path = self._path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as e:
            refuse(e, f"removing {key}")
        for parent in path.parents:
            if parent == self._folder:
                return
            try:
                parent.rmdir()
            except OSError:  # not empty, or gone already: either way there is nothing more to tidy
                return

    def keys(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """(key, size in bytes, last modified as Unix seconds) of every key that starts with ``prefix``, in no order.

        A file that goes away meanwhile is left out.

        Raises:
            PermanentError: part of the folder cannot be listed.
        """
        base, _, _ = prefix.rpartition("/")
        folder = self._path(base) if base else self._folder
        return self._walk(str(folder), f"{base}/" if base else "", prefix)

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder on the same volume, from which ``put`` is a rename; removed with the context.

        What processes that were killed left behind is removed on the way.
        """
        return self._scratch.folder()

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if "\x00" in key or any(part in ("", ".", "..") for part in parts) or parts[0] == _SCRATCH:
            raise ConfigError(f"blob key {key!r}: use names joined by single slashes, none of them '.' or '..'")
        return self._folder.joinpath(*parts)

    def _is_file(self, path: Path) -> bool:
        return path.is_file() and not path.is_symlink()

    def _move(self, source: Path, target: Path) -> None:
        self._rename(source, target, make=make_folder)
        try:
            sync_folder(target.parent)
        except OSError:
            with suppress(OSError):
                target.unlink()
            raise

    def _rename(self, source: Path, target: Path, *, make: Callable[[Path], None]) -> None:
        for attempt in range(RACES):
            try:
                make(target.parent)
                os.rename(source, target)
                break
            except FileNotFoundError:
                # A delete removed the folder as empty after it was made. The source is still there, or never was.
                if attempt == RACES - 1 or not source.exists():
                    raise

    def _copy_in(self, source: Path, target: Path, key: str) -> None:
        with self.scratch() as folder:
            try:
                copy_durably(source, folder / "copy", mode=0o600)
                self._move(folder / "copy", target)
                source.unlink(missing_ok=True)
            except OSError as e:
                refuse(e, f"storing {key}")

    def _walk(self, folder: str, above: str, prefix: str) -> Iterator[tuple[str, int, float]]:
        for entry in _entries(folder):
            key = above + entry.name
            if key == _SCRATCH:
                continue
            if entry.is_dir(follow_symlinks=False):
                if f"{key}/".startswith(prefix) or prefix.startswith(f"{key}/"):
                    yield from self._walk(entry.path, f"{key}/", prefix)
            elif key.startswith(prefix):
                with suppress(FileNotFoundError):
                    stat = entry.stat(follow_symlinks=False)
                    yield key, stat.st_size, stat.st_mtime


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as e:
        raise PermanentError(f"listing {folder}: {e.strerror}; give this user the right to read it") from e


def _sealed(source: Path, key: str) -> int:
    """Size in bytes of ``source`` after its bytes reached the disk; from here on only its owner may read it."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    except OSError as e:
        refuse(e, f"storing {key}")
    finally:
        os.close(descriptor)

"""Local copies of immutable blobs that are kept elsewhere: a folder of bounded size that processes share.

A copy is ``folder/ab/{digest of the name}-{sha256}``. It is there whole or not at all. Whoever uses it holds a shared
``flock`` on it, which the kernel drops with the process; what is held is not evicted. The least recently used goes
first, by access time, which is set by hand, since most volumes are mounted not to keep it.
"""

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from etl_assets.backends.local_files import BLOCK_BYTES, Scratch, make_folder, refuse
from etl_assets.errors import ConfigError, PermanentError, TransientError

_SCRATCH = ".scratch"
_RACES = 100
_REMEMBERED = 100_000
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class BlobCache:
    """At most about ``limit_bytes`` of copies below ``folder``; each further process may add a sixteenth to it.

    What is in use at the moment stays, even beyond the limit. Copies are readable by their owner only.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise ConfigError(f"blob cache {folder}: the limit must be at least 0 bytes")
        self._folder = folder
        self._limit = limit_bytes
        self._scratch = Scratch(folder / _SCRATCH)
        self._evicting = threading.Lock()
        # So that the first copy looks at what earlier processes left.
        self._added = limit_bytes
        self._verified: dict[int, tuple[int, int]] = {}

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder on the volume of the cache; removed with the context."""
        return self._scratch.folder()

    @contextmanager
    def opened(self, name: str, bring: Callable[[Path], str]) -> Iterator[Path]:
        """A file with the bytes of ``name`` for the time of the context; it must not be written.

        Args:
            bring: writes the bytes to a new file and returns their SHA-256, in hex; called when there is no copy.

        Raises:
            PermanentError: no room for the copy, even without the others, or no right to write.
        """
        held = self._held(name) or self._brought(name, bring)
        try:
            yield held[1]
        finally:
            os.close(held[0])

    def keep(self, name: str, source: Path, sha256: str) -> None:
        """Take ``source``, whose bytes are those of ``name``, as the copy; a source on another volume is removed."""
        try:
            size = source.stat().st_size
            is_new = _link(source, self._path(name, sha256))
        except OSError:
            # Another volume, or no room. A copy is no more than a convenience: the next reader brings it.
            is_new = False
        source.unlink(missing_ok=True)
        if is_new:
            self._count(size)

    def forget(self, name: str) -> None:
        """Remove the copy of ``name``, if there is one; whoever has it open keeps it until then."""
        for path, _ in self._copies(name):
            path.unlink(missing_ok=True)

    def evict(self, limit_bytes: int) -> int:
        """Remove copies that nobody holds, least recently used first, until at most ``limit_bytes`` are left.

        Returns:
            Bytes removed.
        """
        copies = sorted(self._all(), key=lambda copy: copy[0])
        over, removed = sum(size for _, size, _ in copies) - limit_bytes, 0
        for _, size, path in copies:
            if removed >= over:
                break
            removed += size if _removed(path) else 0
        return removed

    def _path(self, name: str, sha256: str) -> Path:
        digest = _digest(name)
        return self._folder / digest[:2] / f"{digest}-{sha256}"

    def _copies(self, name: str) -> Iterator[tuple[Path, str]]:
        digest = _digest(name)
        with suppress(FileNotFoundError), os.scandir(self._folder / digest[:2]) as entries:
            for entry in entries:
                if entry.name.startswith(digest):
                    yield Path(entry.path), entry.name[len(digest) + 1 :]

    def _all(self) -> Iterator[tuple[int, int, Path]]:
        """(access time in ns, size in bytes, path) of every copy."""
        for folder in self._folder.glob("[0-9a-f][0-9a-f]"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        yield status.st_atime_ns, status.st_size, Path(entry.path)

    def _held(self, name: str) -> tuple[int, Path] | None:
        for path, sha256 in self._copies(name):
            descriptor = _locked(path, fcntl.LOCK_SH)
            if descriptor is None:
                continue
            if self._is_sound(descriptor, sha256):
                os.utime(descriptor, ns=(time.time_ns(), os.fstat(descriptor).st_mtime_ns))
                return descriptor, path
            path.unlink(missing_ok=True)
            os.close(descriptor)
        return None

    def _is_sound(self, descriptor: int, sha256: str) -> bool:
        """Whether a copy has the bytes that its name says; read once in each process, then only its status is.

        Copies are not synced to the disk, so a crash of the machine may leave one with other bytes.
        """
        status = os.fstat(descriptor)
        seen = (status.st_size, status.st_mtime_ns)
        if self._verified.get(status.st_ino) == seen:
            return True
        if _sha256(descriptor) != sha256:
            return False
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        self._verified[status.st_ino] = seen
        return True

    def _brought(self, name: str, bring: Callable[[Path], str]) -> tuple[int, Path]:
        try:
            return self._bring(name, bring)
        except PermanentError as e:
            cause = e.__cause__
            if not (isinstance(cause, OSError) and cause.errno in _NO_ROOM and self.evict(0)):
                raise
        return self._bring(name, bring)

    def _bring(self, name: str, bring: Callable[[Path], str]) -> tuple[int, Path]:
        with self.scratch() as folder:
            fresh = folder / "blob"
            target = self._path(name, bring(fresh))
            for _ in range(_RACES):
                if (held := self._named(fresh, target)) is not None:
                    self._count(os.fstat(held[0]).st_size)
                    return held
                # Another thread or process was faster; its copy may be evicted before it is held.
                if (held := self._held(name)) is not None:
                    return held
        raise TransientError(f"blob cache {self._folder}: the copy of {name} was removed each time; run again")

    def _named(self, fresh: Path, target: Path) -> tuple[int, Path] | None:
        """``fresh`` under its name, held before it had it, so that nobody evicts it in between."""
        descriptor = _locked(fresh, fcntl.LOCK_SH)
        if descriptor is None:
            return None
        is_new = False
        try:
            is_new = _link(fresh, target)
        except OSError as e:
            refuse(e, f"keeping a copy in {self._folder}")
        finally:
            if not is_new:
                os.close(descriptor)
        return (descriptor, target) if is_new else None

    def _count(self, size: int) -> None:
        """Look at the whole cache only after a sixteenth of the limit has been added: looking takes time."""
        self._added += size
        if self._added < self._limit // 16 or not self._evicting.acquire(blocking=False):
            return
        try:
            self._added = 0
            if sum(size for _, size, _ in self._all()) > self._limit - self._limit // 16:
                self.evict(self._limit - self._limit // 8)
        finally:
            self._evicting.release()


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _link(source: Path, target: Path) -> bool:
    """Give ``source`` a second name; ``False`` when there is a copy already, which somebody may be reading."""
    make_folder(target.parent)
    source.chmod(0o400)
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def _sha256(descriptor: int) -> str:
    hasher, offset = hashlib.sha256(), 0
    while block := os.pread(descriptor, BLOCK_BYTES, offset):
        hasher.update(block)
        offset += len(block)
    return hasher.hexdigest()


def _locked(path: Path, how: int) -> int | None:
    """A descriptor of a copy that holds the lock; nothing when the copy is gone, or another holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if os.fstat(descriptor).st_nlink == 0:  # evicted while the lock was waited for
        os.close(descriptor)
        return None
    return descriptor


def _removed(path: Path) -> bool:
    descriptor = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if descriptor is None:
        return False
    try:
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return True

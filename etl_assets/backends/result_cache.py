"""Results kept in the process, on disk, and in several places at once.

On disk each result is one file, written whole or not at all, that begins with a digest of its key and content: what a
kill, a full disk or another program did to it makes it a miss, never a wrong answer.
"""

import fcntl
import hashlib
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from etl_assets.errors import ConfigError
from etl_assets.protocols.cache import CacheKey, ResultCache

_MAGIC = b"EAR1"
_DIGEST_BYTES = 16
_SWEEP_SHARE = 0.8
"""A sweep removes the longest unused results until this part of the bound is left."""


def packed(key: CacheKey, result: bytes) -> bytes:
    """``result`` with what ``unpacked`` needs to tell that it is whole, and the one of ``key``."""
    return _MAGIC + _seal(key, result) + result


def unpacked(key: CacheKey, data: bytes) -> bytes | None:
    """The result in ``data``; None when it is damaged, cut, or another key's."""
    head = len(_MAGIC) + _DIGEST_BYTES
    result = data[head:]
    return result if data[:head] == _MAGIC + _seal(key, result) else None


def _seal(key: CacheKey, result: bytes) -> bytes:
    return hashlib.blake2b(key.address.encode() + result, digest_size=_DIGEST_BYTES).digest()


class MemoryCache:
    """The ``entries`` results used last, for ``ttl_s`` seconds after they were put. Safe from several threads."""

    def __init__(
        self, *, entries: int = 10_000, ttl_s: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if entries < 1 or ttl_s <= 0:
            raise ConfigError(f"memory cache: entries {entries} and ttl_s {ttl_s} must be above 0")
        self._entries = entries
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[CacheKey, tuple[float, bytes]] = OrderedDict()

    def get(self, keys: Sequence[CacheKey]) -> dict[CacheKey, bytes]:
        """The results at hand that are not too old."""
        now, found = self._clock(), dict[CacheKey, bytes]()
        with self._lock:
            for key in keys:
                held = self._held.get(key)
                if held is None:
                    continue
                if held[0] <= now:
                    del self._held[key]
                    continue
                self._held.move_to_end(key)
                found[key] = held[1]
        return found

    def put(self, results: Mapping[CacheKey, bytes]) -> None:
        """Keep these, and let go of the longest unused ones past the bound."""
        ends = self._clock() + self._ttl_s
        with self._lock:
            for key, result in results.items():
                self._held[key] = (ends, bytes(result))
                self._held.move_to_end(key)
            while len(self._held) > self._entries:
                self._held.popitem(last=False)


class DiskCache:
    """Results in a folder, about ``size_bytes`` of them. Safe for any number of processes; it may be deleted any time.

    Between two sweeps the folder may grow past the bound by a tenth for each process. ``ttl_s`` None keeps results
    until others need the room.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size_bytes: int = 2 * 2**30,
        ttl_s: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if size_bytes < 1 or (ttl_s is not None and ttl_s <= 0):
            raise ConfigError(f"disk cache: size_bytes {size_bytes} and ttl_s {ttl_s} must be above 0")
        self._folder = folder
        self._size_bytes = size_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._written = size_bytes  # the first write looks at what earlier processes left

    def get(self, keys: Sequence[CacheKey]) -> dict[CacheKey, bytes]:
        """The results at hand, whole; using one keeps it longer."""
        found: dict[CacheKey, bytes] = {}
        for key in keys:
            # Unreadable for whatever reason is a miss: a cache on a failing disk must not stop work.
            with suppress(OSError):
                result = self._read(key)
                if result is not None:
                    found[key] = result
        return found

    def put(self, results: Mapping[CacheKey, bytes]) -> None:
        """Keep these results; a full or read-only disk keeps none."""
        with suppress(OSError):
            for key, result in results.items():
                self._write(key, packed(key, result))
            self._sweep_when_due(sum(map(len, results.values())))

    def size(self) -> int:
        """Bytes of all results on disk."""
        return sum(size for _, size, _ in self._files())

    def _place(self, key: CacheKey) -> Path:
        address = key.address
        return self._folder / address[:2] / address[2:]

    def _read(self, key: CacheKey) -> bytes | None:
        place = self._place(key)
        with open(place, "rb") as file:
            data = file.read()
            age_s = self._clock() - os.fstat(file.fileno()).st_mtime
        result = unpacked(key, data)
        if result is None or (self._ttl_s is not None and age_s > self._ttl_s):
            place.unlink(missing_ok=True)
            return None
        if self._ttl_s is None:  # the time of writing is needed for the age, otherwise it is the time of use
            os.utime(place, (self._clock(), self._clock()))
        return result

    def _write(self, key: CacheKey, data: bytes) -> None:
        place = self._place(key)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=".new-")
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.utime(name, (self._clock(), self._clock()))
            # Not synced: after a loss of power the file may be empty, which its seal shows.
            os.replace(name, place)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise

    def _sweep_when_due(self, size_bytes: int) -> None:
        with self._lock:
            self._written += size_bytes
            if self._written < self._size_bytes / 10:
                return
            self._written = 0
        with self._alone() as alone:
            if alone:
                self._sweep()

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process sweeps; the lock goes with the process."""
        with open(self._folder / ".sweep", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _sweep(self) -> None:
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        room = self._size_bytes if total <= self._size_bytes else int(self._size_bytes * _SWEEP_SHARE)
        now = self._clock()
        for modified, size, path in files:
            too_old = self._ttl_s is not None and now - modified > self._ttl_s
            # A writer was killed here; others finish in far less than an hour.
            abandoned = path.name.startswith(".new-") and now - modified > 3600
            if total > room or too_old or abandoned:
                path.unlink(missing_ok=True)
                total -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last use, size in bytes, path) of every file that is there all the while."""
        for folder in _entries(self._folder):
            for entry in _entries(Path(folder.path)) if folder.is_dir(follow_symlinks=False) else []:
                with suppress(FileNotFoundError):
                    seen = entry.stat(follow_symlinks=False)
                    yield seen.st_mtime, seen.st_size, Path(entry.path)


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


class LayeredCache:
    """Several caches, the nearest first. What a farther one gives is kept in those before it."""

    def __init__(self, layers: Sequence[ResultCache]) -> None:
        self._layers = tuple(layers)

    def get(self, keys: Sequence[CacheKey]) -> dict[CacheKey, bytes]:
        """The results at hand in any layer."""
        found: dict[CacheKey, bytes] = {}
        for index, layer in enumerate(self._layers):
            missing = [key for key in keys if key not in found]
            if not missing:
                break
            here = layer.get(missing)
            if here:
                for nearer in self._layers[:index]:
                    nearer.put(here)
            found |= here
        return found

    def put(self, results: Mapping[CacheKey, bytes]) -> None:
        """Keep these results in every layer."""
        for layer in self._layers:
            layer.put(results)

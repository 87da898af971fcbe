"""Stores that fail on purpose, by a plan: for tests of what a caller does when the outside misbehaves."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import Any

from etl_assets.errors import TransientError
from etl_assets.protocols.graph import MentionEdge, RelationEdge
from etl_assets.protocols.objects import (
    Arrivals,
    Blobs,
    FetchedObject,
    ListedPage,
    ObjectAttributes,
    ObjectInfo,
    UnusableKey,
)


class Fault(Enum):
    """One way in which one call goes wrong."""

    REFUSED = auto()
    """It raises and has done nothing."""
    LOST_REPLY = auto()
    """It has done its work, and raises all the same."""
    LOST_WRITE = auto()
    """It says that it has done its work, and has not. On a call that answers something it is REFUSED."""
    HALF_WRITE = auto()
    """It leaves half of the bytes where it was writing, and raises. On a call that writes no bytes it is REFUSED."""
    SLOW = auto()
    """It does its work after ``Faults.pause`` was called."""
    ALTERED = auto()
    """A write of rows or edges stores as many as it was given, with other contents. Any other call works."""


class Killed(BaseException):
    """Stands for ``kill -9`` inside one process: no ``except Exception`` may swallow it. Use as ``Faults.error``."""


class Faults:
    """Which call fails, and how: the n-th call (from 0) of each operation, by plan or by a seeded draw.

    ``error`` makes what is raised. ``happened`` lists (operation, n, fault) of every fault so far. One instance may
    be shared by several stores and threads.
    """

    def __init__(
        self,
        planned: Mapping[tuple[str, int], Fault] | None = None,
        *,
        error: Callable[[str], BaseException] = TransientError,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._planned = dict(planned or {})
        self._draw: Callable[[], Fault | None] = lambda: None
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.error = error
        self.pause = pause
        self.happened: list[tuple[str, int, Fault]] = []

    @classmethod
    def drawn(
        cls,
        seed: int,
        *,
        share: float,
        kinds: tuple[Fault, ...] = (Fault.REFUSED, Fault.LOST_REPLY, Fault.HALF_WRITE),
        error: Callable[[str], BaseException] = TransientError,
    ) -> "Faults":
        """Each call fails with probability ``share``; the same seed and order of calls give the same faults."""
        faults, source = cls(error=error), random.Random(seed)
        faults._draw = lambda: source.choice(kinds) if source.random() < share else None
        return faults

    def next(self, operation: str) -> Fault | None:
        """What happens to this call of ``operation``."""
        with self._lock:
            n = self._counts[operation]
            self._counts[operation] += 1
            fault = self._planned.get((operation, n)) or self._draw()
            if fault is not None:
                self.happened.append((operation, n, fault))
        if fault is Fault.SLOW:
            self.pause()
        return fault

    def heal(self) -> None:
        """From here on nothing fails."""
        self._planned, self._draw = {}, lambda: None

    def raised(self, fault: Fault, operation: str, key: str) -> BaseException:
        """The error of this fault, to raise."""
        return self.error(f"{operation} {key}: {fault.name.lower()} on purpose")


_BEFORE = (Fault.REFUSED, Fault.LOST_WRITE, Fault.HALF_WRITE)


class FaultyBlobs:
    """Blobs over another store. Operations: ``put``, ``local``, ``exists``, ``delete``, ``keys``, ``scratch``."""

    def __init__(self, inner: Blobs, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def put(self, key: str, source: Path) -> int:
        fault = self._faults.next("put")
        if fault is Fault.LOST_WRITE:
            size = source.stat().st_size
            source.unlink()
            return size
        if fault is Fault.HALF_WRITE:
            _halve(source)
        if fault in (Fault.REFUSED, Fault.HALF_WRITE):
            raise self._faults.raised(fault, "put", key)
        size = self._inner.put(key, source)
        if fault is Fault.LOST_REPLY:
            raise self._faults.raised(fault, "put", key)
        return size

    def put_all(self, items: Sequence[tuple[str, Path]]) -> None:
        for key, source in items:
            self.put(key, source)

    def local(self, key: str) -> AbstractContextManager[Path]:
        self._ask("local", key)
        return self._inner.local(key)

    def exists(self, key: str) -> bool:
        self._ask("exists", key)
        return self._inner.exists(key)

    def delete(self, key: str) -> None:
        fault = self._faults.next("delete")
        if fault is Fault.LOST_WRITE:
            return
        if fault in _BEFORE:
            raise self._faults.raised(fault, "delete", key)
        self._inner.delete(key)
        if fault is Fault.LOST_REPLY:
            raise self._faults.raised(fault, "delete", key)

    def keys(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        self._ask("keys", prefix)
        return self._inner.keys(prefix)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        self._ask("scratch", "")
        with self._inner.scratch() as folder:
            yield folder

    def _ask(self, operation: str, key: str) -> None:
        fault = self._faults.next(operation)
        if fault not in (None, Fault.SLOW, Fault.ALTERED):
            raise self._faults.raised(fault, operation, key)


class FaultyArrivals:
    """Arrivals over another store. Operations: ``collections``, ``strays``, ``list``, ``page``, ``look``,
    ``fetch``, ``put``, ``delete``.

    A HALF_WRITE of ``fetch`` leaves half of the object in the target, as a killed copy would; a fault of ``list``
    comes after half of the listing, which is when a caller might take it for the whole.
    """

    def __init__(self, inner: Arrivals, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def concurrency(self) -> int:
        return self._inner.concurrency

    def look(self, key: str) -> ObjectInfo | None:
        self._ask("look")
        return self._inner.look(key)

    def collections(self) -> list[tuple[str, str]]:
        self._ask("collections")
        return self._inner.collections()

    def strays(self) -> Iterator[UnusableKey]:
        self._ask("strays")
        return self._inner.strays()

    def seems_lost(self) -> str:
        return self._inner.seems_lost()

    def list(self, tenant: str, collection: str) -> Iterator[ObjectInfo | UnusableKey]:
        fault = self._faults.next("list")
        found = [*self._inner.list(tenant, collection)]
        if fault is None or fault is Fault.SLOW:
            yield from found
            return
        yield from found[: len(found) // 2]
        raise self._faults.raised(fault, "list", f"{tenant}/{collection}")

    def pages(self, tenant: str, collection: str, *, after: str = "") -> Iterator[ListedPage]:
        for page in self._inner.pages(tenant, collection, after=after):
            self._ask("page")
            yield page

    def fetch(self, key: str, target: Path) -> FetchedObject:
        fault = self._faults.next("fetch")
        if fault in (Fault.REFUSED, Fault.LOST_WRITE):
            raise self._faults.raised(fault, "fetch", key)
        fetched = self._inner.fetch(key, target)
        if fault is Fault.HALF_WRITE:
            _halve(target)
        if fault in (Fault.HALF_WRITE, Fault.LOST_REPLY):
            raise self._faults.raised(fault, "fetch", key)
        return fetched

    def put(self, key: str, source: Path, *, attributes: ObjectAttributes | None = None) -> None:
        self._write("put", key, lambda: self._inner.put(key, source, attributes=attributes))

    def delete(self, key: str) -> None:
        self._write("delete", key, lambda: self._inner.delete(key))

    def _write(self, operation: str, key: str, act: Callable[[], None]) -> None:
        fault = self._faults.next(operation)
        if fault is Fault.LOST_WRITE:
            return
        if fault in _BEFORE:
            raise self._faults.raised(fault, operation, key)
        act()
        if fault is Fault.LOST_REPLY:
            raise self._faults.raised(fault, operation, key)

    def _ask(self, operation: str) -> None:
        fault = self._faults.next(operation)
        if fault not in (None, Fault.SLOW, Fault.ALTERED):
            raise self._faults.raised(fault, operation, "")


class _FaultyStore:
    """What the faulty indexes and the faulty graph share: only writes, removals and counts go wrong."""

    def __init__(self, inner: Any, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _write(
        self, operation: str, whole: Callable[[], None], half: Callable[[], None],
        altered: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        fault = self._faults.next(operation)
        if fault is Fault.LOST_WRITE:
            return
        if fault is Fault.ALTERED:
            (altered or whole)()
            return
        if fault is Fault.HALF_WRITE:
            half()
        if fault in (Fault.REFUSED, Fault.HALF_WRITE):
            raise self._faults.raised(fault, operation, "rows")
        whole()
        if fault is Fault.LOST_REPLY:
            raise self._faults.raised(fault, operation, "rows")

    def _ask(self, operation: str) -> None:
        fault = self._faults.next(operation)
        if fault not in (None, Fault.SLOW, Fault.ALTERED):
            raise self._faults.raised(fault, operation, "")


class FaultyRows(_FaultyStore):
    """A vector or keyword index over another one. Operations: ``write``, ``counts``, ``remove``.

    A HALF_WRITE keeps, or removes, the first half of what it was given.
    """

    def write(self, space: Any, rows: Any) -> None:
        self._write(
            "write",
            lambda: self._inner.write(space, rows),
            lambda: self._inner.write(space, rows.slice(0, rows.num_rows // 2)),
            lambda: self._inner.write(space, _altered(rows)),
        )

    def remove(self, space: Any, publications: Sequence[int]) -> None:
        self._write(
            "remove",
            lambda: self._inner.remove(space, publications),
            lambda: self._inner.remove(space, publications[: len(publications) // 2]),
        )

    def counts(self, space: Any, publications: Sequence[int]) -> Mapping[int, int]:
        self._ask("counts")
        return dict(self._inner.counts(space, publications))


class FaultyGraph(_FaultyStore):
    """A knowledge graph over another one. Operations: ``write``, ``counts``, ``remove``.

    A write is one store transaction, so a HALF_WRITE keeps nothing.
    """

    def write(self, edges: Sequence[MentionEdge], relations: Sequence[RelationEdge] = ()) -> None:
        other = [replace(edge, count=edge.count + 1) for edge in edges]
        denied = [replace(one, negated=not one.negated) for one in relations]
        self._write(
            "write", lambda: self._inner.write(edges, relations), lambda: None,
            lambda: self._inner.write(other, denied),
        )  # fmt: skip

    def remove(
        self, tenant: str, collection: str, publications: Sequence[int], *, documents: Collection[str] | None = None
    ) -> None:
        self._write(
            "remove",
            lambda: self._inner.remove(tenant, collection, publications, documents=documents),
            lambda: None,
        )

    def counts(self, tenant: str, collection: str, publications: Sequence[int]) -> Mapping[int, int]:
        self._ask("counts")
        return dict(self._inner.counts(tenant, collection, publications))


def _altered(rows: Any) -> Any:
    """The same rows with other vectors or other texts."""
    import pyarrow as pa

    at = rows.schema.get_field_index("vector" if "vector" in rows.schema.names else "text")
    column = rows.schema.field(at)
    values = [value + " altered" if isinstance(value, str) else value[::-1] for value in rows[column.name].to_pylist()]
    return rows.set_column(at, column, pa.array(values, type=column.type))


def _halve(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)

"""Where documents arrive (mutable, listed) and where immutable bytes are kept (originals and lake segments)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

NAME = re.compile(r"[a-z0-9_-]{1,64}")
"""What a tenant and a collection may be called, here for the stores: the same rule as ``documents.model.NAME``."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One key as a listing shows it, without reading it.

    ``key`` is ``tenant/collection/any/path``. ``fingerprint`` changes whenever the bytes or the metadata may have
    changed: inode, size, mtime_ns and ctime_ns of a local file; ETag, size, last modified and version id on S3.
    """

    key: str
    fingerprint: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ObjectAttributes:
    """What the store says about an object beside its bytes."""

    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnusableKey:
    """A key that cannot name a document; ``shown`` is printable, ``problem`` says what is wrong with it."""

    shown: str
    problem: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A part of a listing. ``position`` is where the next part begins, in words of the store: "" after the last one."""

    entries: Sequence[ObjectInfo | UnusableKey]
    position: str


@dataclass(frozen=True, slots=True)
class FetchedObject:
    """The outcome of copying one object: the digest of the very bytes copied, and their fingerprint."""

    sha256: str
    size_bytes: int
    fingerprint: str
    attributes: ObjectAttributes


class Arrivals(Protocol):
    """The store that people and systems drop documents into."""

    @property
    def concurrency(self) -> int:
        """How many objects are worth fetching, or looking at, at once; at least 1."""
        ...

    def collections(self) -> list[tuple[str, str]]:
        """(tenant, collection) of every folder pair present whose names both obey ``NAME``, sorted.

        Raises:
            PermanentError: the store as a whole cannot be listed (never an empty answer instead).
        """
        ...

    def strays(self) -> Iterator[UnusableKey]:
        """What lies outside every collection: objects at the root or directly under a tenant, and all objects
        under a tenant or a collection whose name breaks the rule. In no order.

        Raises:
            PermanentError: part of it cannot be listed.
        """
        ...

    def list(self, tenant: str, collection: str) -> Iterator[ObjectInfo | UnusableKey]:
        """Every object of one collection, in any order. A collection that does not exist is empty.

        Raises:
            PermanentError: part of it cannot be listed, for example a folder without permission: an incomplete
                listing must never look like deletions.
        """
        ...

    def pages(self, tenant: str, collection: str, *, after: str = "") -> Iterator[ListedPage]:
        """``list`` in pages of a bounded size. ``after`` is the position of a page that another process may have seen.

        What is there all the time from the first page to the last is on one of them, whatever comes, goes or is
        overwritten meanwhile, and however long it takes.

        Raises:
            PermanentError: as for ``list``; or ``after`` means nothing (any more): begin at the first page again.
            TransientError: the store does not answer now; go on from the last position.
        """
        ...

    def seems_lost(self) -> str:
        """Why documents that are missing from listings need not be deleted: the whole store is, as if a file system
        were not mounted. "" when nothing speaks for it.

        Raises:
            PermanentError: it cannot be listed.
        """
        ...

    def look(self, key: str) -> ObjectInfo | None:
        """One key as a listing would show it now; ``None`` if it is gone, or cannot name a document.

        Raises:
            PermanentError: the store, or this part of it, cannot be looked at: that must never look like a deletion.
            TransientError: it does not answer now.
        """
        ...

    def fetch(self, key: str, target: Path) -> FetchedObject:
        """Copy one object to a new file ``target``.

        Raises:
            FileNotFoundError: the key is gone.
            TransientError: the object changed while it was read.
            DataError: it cannot be read (``unreadable``).
        """
        ...

    def put(self, key: str, source: Path, *, attributes: ObjectAttributes | None = None) -> None:
        """Write one object atomically: a listing sees it whole or not at all."""
        ...

    def delete(self, key: str) -> None:
        """Remove one object. A missing one is no error."""
        ...


class Blobs(Protocol):
    """Immutable bytes under slash-separated keys, written once: originals and segments."""

    def put(self, key: str, source: Path) -> int:
        """Move ``source`` in under ``key``, durably and atomically, and return its size in bytes.

        Writing a key twice is no error: its bytes are the same.

        Raises:
            PermanentError: no space left, or no right to write; nothing is left behind under ``key``.
        """
        ...

    def put_all(self, items: Sequence[tuple[str, Path]]) -> None:
        """``put`` each (key, source); all of them are durable on return, made so together where that is cheaper.

        Raises:
            PermanentError: as for ``put``; some of the keys may be there then, each whole.
        """
        ...

    def local(self, key: str) -> AbstractContextManager[Path]:
        """A local file with the bytes of ``key`` for the time of the context; it must not be written.

        Raises:
            FileNotFoundError: there is no such key.
            DataError: its bytes were altered (``altered``), or the key that they are encrypted with was destroyed
                (``key-destroyed``).
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether ``key`` is there."""
        ...

    def delete(self, key: str) -> None:
        """Remove ``key``. A missing one is no error."""
        ...

    def keys(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """(key, size in bytes, last modified as Unix seconds) of everything under ``prefix``."""
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder on the same volume, from which ``put`` is a rename; removed with the context."""
        ...

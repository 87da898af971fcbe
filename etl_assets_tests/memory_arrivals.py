"""Arrivals in memory that list in any order, in small pages, and fail when they are told to."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from etl_assets.errors import PermanentError
from etl_assets.protocols.objects import (
    FetchedObject,
    ListedPage,
    ObjectAttributes,
    ObjectInfo,
    UnusableKey,
)

Order = Callable[[str], Any]
ORDERS: dict[str, Order] = {
    "by bytes": lambda key: key.encode(),
    "folder by folder": lambda key: key.split("/"),
    "backwards": lambda key: [-ord(c) for c in key] + [1],
    "by digest": lambda key: hashlib.blake2b(key.encode()).hexdigest(),
}


class MemoryArrivals:
    """``objects`` is (fingerprint, bytes) by key; a key that ends in "?" cannot name a document.

    ``fails`` is called with ``page``, ``look`` or ``fetch`` before each, and may raise. ``epoch`` is a part of every
    position: one of another epoch means nothing. ``fetched`` counts what was read, by key.
    """

    concurrency = 2

    def __init__(self, *, page_keys: int = 3) -> None:
        self.objects: dict[str, tuple[str, bytes]] = {}
        self.order: Order = ORDERS["by bytes"]
        self.fails: Callable[[str], None] = lambda operation: None
        self.epoch = 0
        self.lost = ""
        self.fetched: Counter[str] = Counter()
        self.pages_listed = 0
        self._page_keys = page_keys
        self._written = 0

    def write(self, key: str, data: bytes) -> None:
        self._written += 1
        self.objects[key] = (f"f{self._written}", data)

    def collections(self) -> list[tuple[str, str]]:
        names = {tuple(key.split("/")[:2]) for key in self.objects}
        return sorted((name[0], name[1]) for name in names)

    def strays(self) -> Iterator[UnusableKey]:
        return iter(())

    def list(self, tenant: str, collection: str) -> Iterator[ObjectInfo | UnusableKey]:
        for page in self.pages(tenant, collection):
            yield from page.entries

    def pages(self, tenant: str, collection: str, *, after: str = "") -> Iterator[ListedPage]:
        while True:
            self.fails("page")
            self.pages_listed += 1
            rest = self._behind(f"{tenant}/{collection}/", after)
            page, more = rest[: self._page_keys], len(rest) > self._page_keys
            after = json.dumps([self.epoch, page[-1]]) if more else ""
            yield ListedPage([self._info(key) for key in page], after)
            if not more:
                return

    def _behind(self, prefix: str, after: str) -> "list[str]":
        keys = sorted((key for key in self.objects if key.startswith(prefix)), key=self.order)
        if not after:
            return keys
        epoch, last = json.loads(after)
        if epoch != self.epoch:
            raise PermanentError("the token is not valid any more")
        return [key for key in keys if self.order(key) > self.order(last)]

    def _info(self, key: str) -> ObjectInfo | UnusableKey:
        fingerprint, data = self.objects[key]
        return (
            UnusableKey(key, "ends in a question", fingerprint)
            if key.endswith("?")
            else ObjectInfo(key, fingerprint, len(data))
        )

    def seems_lost(self) -> str:
        return self.lost

    def look(self, key: str) -> ObjectInfo | None:
        self.fails("look")
        found = self._info(key) if key in self.objects else None
        return found if isinstance(found, ObjectInfo) else None

    def fetch(self, key: str, target: Path) -> FetchedObject:
        self.fails("fetch")
        if key not in self.objects:
            raise FileNotFoundError(key)
        fingerprint, data = self.objects[key]
        self.fetched[key] += 1
        target.write_bytes(data)
        return FetchedObject(hashlib.sha256(data).hexdigest(), len(data), fingerprint, ObjectAttributes())

    def put(self, key: str, source: Path, *, attributes: ObjectAttributes | None = None) -> None:
        self.write(key, source.read_bytes())

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

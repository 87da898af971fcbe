"""Arrivals of the tenants that are let in: what others drop is listed nowhere, gets no run, and is reported."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from etl_assets.errors import ConfigError
from etl_assets.protocols.objects import Arrivals, FetchedObject, ListedPage, ObjectAttributes, ObjectInfo, UnusableKey


class AllowedArrivals:
    """Arrivals over another store, for tenants whose name matches one of ``patterns`` (shell globs).

    A tenant that was let in before and is not any more keeps what it has: its collections cannot be listed, which is
    an error that people see, and never looks like deletions.
    """

    def __init__(self, inner: Arrivals, patterns: Sequence[str]) -> None:
        self._inner = inner
        self._patterns = tuple(patterns)

    @property
    def concurrency(self) -> int:
        """As of the store itself."""
        return self._inner.concurrency

    def allows(self, tenant: str) -> bool:
        """Whether a tenant is let in."""
        return any(fnmatchcase(tenant, pattern) for pattern in self._patterns)

    def collections(self) -> list[tuple[str, str]]:
        """See ``Arrivals.collections``: of the tenants let in."""
        return [name for name in self._inner.collections() if self.allows(name[0])]

    def strays(self) -> Iterator[UnusableKey]:
        """See ``Arrivals.strays``; and one for each collection of a tenant that is not let in, whatever is in it."""
        yield from self._inner.strays()
        for tenant, collection in self._inner.collections():
            if not self.allows(tenant):
                yield UnusableKey(f"{tenant}/{collection}/", self._problem(tenant), "tenant-not-allowed")

    def list(self, tenant: str, collection: str) -> Iterator[ObjectInfo | UnusableKey]:
        """See ``Arrivals.list``; raises ConfigError for a tenant that is not let in."""
        self._check(tenant)
        return self._inner.list(tenant, collection)

    def pages(self, tenant: str, collection: str, *, after: str = "") -> Iterator[ListedPage]:
        """See ``Arrivals.pages``; raises ConfigError for a tenant that is not let in."""
        self._check(tenant)
        return self._inner.pages(tenant, collection, after=after)

    def seems_lost(self) -> str:
        """See ``Arrivals.seems_lost``."""
        return self._inner.seems_lost()

    def look(self, key: str) -> ObjectInfo | None:
        """See ``Arrivals.look``; raises ConfigError for a tenant that is not let in."""
        self._check(key.partition("/")[0])
        return self._inner.look(key)

    def fetch(self, key: str, target: Path) -> FetchedObject:
        """See ``Arrivals.fetch``; raises ConfigError for a tenant that is not let in."""
        self._check(key.partition("/")[0])
        return self._inner.fetch(key, target)

    def put(self, key: str, source: Path, *, attributes: ObjectAttributes | None = None) -> None:
        """See ``Arrivals.put``; raises ConfigError for a tenant that is not let in."""
        self._check(key.partition("/")[0])
        self._inner.put(key, source, attributes=attributes)

    def delete(self, key: str) -> None:
        """See ``Arrivals.delete``; raises ConfigError for a tenant that is not let in."""
        self._check(key.partition("/")[0])
        self._inner.delete(key)

    def _check(self, tenant: str) -> None:
        if not self.allows(tenant):
            raise ConfigError(f"tenant {tenant}: {self._problem(tenant)}")

    def _problem(self, tenant: str) -> str:
        return f"the tenant {tenant} is not among those let in; add it to ETL_TENANTS or move its files elsewhere"

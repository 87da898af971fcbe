"""Data keys: made when first needed, wrapped by a master key, kept in the ledger, and for minutes in memory."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from etl_assets.errors import ConfigError, DataError, PermanentError
from etl_assets.protocols.keys import (
    KEY_BYTES,
    DataKey,
    DataKeyRows,
    MasterKey,
    WrappedKey,
    context_of,
)

A = TypeVar("A")
B = TypeVar("B")

KEPT_S = 300.0
"""How long an unwrapped key stays in memory, in seconds: for so long a process still reads what was destroyed."""
_KEPT = 4096
_WRAPS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class KeyCount:
    """How many data keys one version of one master key wraps; ``is_current`` is true of what new ones are wrapped by,
    ``is_set`` of master keys that this process has."""

    master: str
    version: str
    count: int
    is_current: bool
    is_set: bool


class Envelope:
    """The data keys of ``rows`` under ``masters``: the first one wraps, all of them unwrap. Safe between threads."""

    def __init__(
        self, rows: DataKeyRows, masters: Sequence[MasterKey], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not masters:
            raise ConfigError("encryption: no master key is set; set ETL_ENCRYPTION_KEY")
        self._rows = rows
        self._masters = tuple(masters)
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, DataKey]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Envelope({', '.join(master.label for master in self._masters)})"

    def for_writing(self, scopes: Sequence[str]) -> list[DataKey]:
        """The data key of each scope, in order; one that has none gets one, committed before the return.

        The ledger is asked every time, never the memory: what is written with a key that was destroyed a moment ago
        could never be read. Two processes that make the same key at once both end with the one that was entered
        first.

        Raises:
            ConfigError, PermanentError, TransientError: as the master key's ``wrap`` and ``unwrap``.
        """
        wanted = dict.fromkeys(scopes)
        found = dict(self._rows.by_scope(list(wanted)))
        missing = [scope for scope in wanted if scope not in found]
        if missing:
            made = self._made(missing)
            self._rows.enter([wrapped for wrapped, _ in made])
            found.update(self._rows.by_scope(missing))
            for wrapped, key in made:
                now = found.get(wrapped.scope)
                if now is not None and now.key_id == key.key_id:
                    self._keep(key)
        lost = [scope for scope in missing if scope not in found]
        if lost:
            raise PermanentError(f"the data key of {lost[0]} was destroyed while it was made; run again")
        opened = dict(zip(wanted, _each(self._opened, [found[scope] for scope in wanted]), strict=True))
        return [opened[scope] for scope in scopes]

    def for_reading(self, key_id: str, name: str) -> DataKey:
        """The data key that the header of the blob ``name`` names.

        Raises:
            DataError: there is no such key, or none any more (``key-destroyed``).
            ConfigError, PermanentError, TransientError: as the master key's ``unwrap``.
        """
        kept = self._recalled(key_id)
        if kept is not None:
            return kept
        row = self._rows.by_id(key_id)
        if row is None:
            raise DataError(
                f"{name}: its data key {key_id} was destroyed, or is in the ledger of another home; without it "
                "nobody can read these bytes",
                reason="key-destroyed",
            )
        return self._opened(row)

    def refuse_unless_set(self, master: str) -> None:
        """Raise, before anything is written under another, when the master key of this name is not set.

        Raises:
            ConfigError: it is not.
        """
        if self._master_of(master) is None:
            raise self._not_set(f"this home is encrypted under {master}")

    def destroy(self, scope: str) -> bool:
        """Remove the data key of a scope for ever; whether it had one.

        What it encrypted is unreadable from now on, here at once and in other processes within ``KEPT_S`` seconds.
        The scope may get a new key later. Copies of the ledger, such as backups and its write-ahead log, still hold
        the wrapped key until they are overwritten.
        """
        key_id = self._rows.destroy(scope)
        if key_id is not None:
            with self._lock:
                self._kept.pop(key_id, None)
        return key_id is not None

    def rotate(self, *, rewrap_all: bool = False) -> Iterator[WrappedKey]:
        """Wrap every data key again that is not under the current version of the first master key; yields each.

        No blob is read or written. It may be interrupted and called again: what was done is not done twice.
        ``rewrap_all``: also those under the current version, for stores that show no versions (AWS KMS).

        Raises:
            ConfigError, PermanentError, TransientError: as the master key's ``wrap`` and ``unwrap``.
        """
        first, now = self._masters[0], self._masters[0].current()
        for row in list(self._rows.all()):
            if (row.wrapping.master, row.wrapping.version) == now and not rewrap_all:
                continue
            wrapping = first.wrap(self._secret(row), row.context)
            if self._rows.rewrap(row.key_id, row.wrapping, wrapping):
                yield WrappedKey(row.key_id, row.scope, wrapping)

    def status(self) -> list[KeyCount]:
        """What wraps how many data keys, current first."""
        now = self._masters[0].current()
        counts: dict[tuple[str, str], int] = {now: 0}
        for row in self._rows.all():
            place = (row.wrapping.master, row.wrapping.version)
            counts[place] = counts.get(place, 0) + 1
        return [
            KeyCount(master, version, count, (master, version) == now, self._master_of(master) is not None)
            for (master, version), count in counts.items()
        ]

    def _made(self, scopes: Sequence[str]) -> list[tuple[WrappedKey, DataKey]]:
        def make(scope: str) -> tuple[WrappedKey, DataKey]:
            key = DataKey(secrets.token_hex(16), scope, secrets.token_bytes(KEY_BYTES))
            wrapping = self._masters[0].wrap(key.secret, context_of(key.key_id, scope))
            return WrappedKey(key.key_id, scope, wrapping), key

        return _each(make, scopes)

    def _opened(self, row: WrappedKey) -> DataKey:
        kept = self._recalled(row.key_id)
        if kept is not None:
            return kept
        key = DataKey(row.key_id, row.scope, self._secret(row))
        self._keep(key)
        return key

    def _secret(self, row: WrappedKey) -> bytes:
        master = self._master_of(row.wrapping.master)
        if master is None:
            raise self._not_set(f"the data key of {row.scope} is wrapped by {row.wrapping.master}")
        secret = master.unwrap(row.wrapping, row.context)
        if len(secret) != KEY_BYTES:
            raise PermanentError(f"{master.label}: what it gave for the data key of {row.scope} is no key")
        return secret

    def _not_set(self, problem: str) -> ConfigError:
        labels = ", ".join(one.label for one in self._masters)
        return ConfigError(
            f"ETL_ENCRYPTION_KEY: {problem}, and what is set is {labels}; set the key that was used, or both as "
            "NEW,OLD and run `etl-assets keys rotate`"
        )

    def _master_of(self, name: str) -> MasterKey | None:
        return next((master for master in self._masters if master.opens(name)), None)

    def _recalled(self, key_id: str) -> DataKey | None:
        with self._lock:
            kept = self._kept.get(key_id)
            if kept is None or kept[0] < self._clock():
                self._kept.pop(key_id, None)
                return None
            return kept[1]

    def _keep(self, key: DataKey) -> None:
        with self._lock:
            self._kept[key.key_id] = (self._clock() + KEPT_S, key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def _each(do: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """In threads, since a hosted store takes its time for each; the first failure is raised."""
    if len(items) < 2:
        return [do(item) for item in items]
    with ThreadPoolExecutor(min(_WRAPS_AT_ONCE, len(items)), thread_name_prefix="keys") as pool:
        return list(pool.map(do, items))


def original_scope(key: str) -> str:
    """Scope of an original: one data key for each document, so that a purge can destroy it."""
    tenant, document = _parts(key)[:2]
    return f"original:{tenant}/{document}"


def segment_scope(key: str) -> str:
    """Scope of a segment: one data key for each collection."""
    _, tenant, collection = (*_parts(key), "", "")[:3]
    return f"lake:{tenant}/{collection}"


def _parts(key: str) -> tuple[str, ...]:
    return (*key.split("/"), "")

"""Wrapped data keys: which key encrypts what, and what wraps it. The keys themselves are never here."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, clock, now
from etl_assets.ledger.outputs import batches
from etl_assets.protocols.keys import WrappedKey, Wrapping

_BATCH = 500


class LedgerKeys:
    """The rows of ``DataKeyRows`` in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def by_scope(self, scopes: Collection[str]) -> Mapping[str, WrappedKey]:
        """The keys of these scopes, by scope; a scope without one is left out."""
        found: dict[str, WrappedKey] = {}
        with self._ledger.reading() as connection:
            for part in batches(sorted(scopes), _BATCH):
                for row in connection.execute(select(_T).where(_T.c.scope.in_(part))):
                    found[row.scope] = _key(row)
        return found

    def by_id(self, key_id: str) -> WrappedKey | None:
        """The key of this id; ``None`` when there is none, or none any more."""
        with self._ledger.reading() as connection:
            row = connection.execute(select(_T).where(_T.c.key_id == key_id)).one_or_none()
        return None if row is None else _key(row)

    def enter(self, keys: Sequence[WrappedKey]) -> None:
        """Add keys, committed on return. A scope that has one keeps it: of two that come at once the first stays."""
        adding = (postgresql if self._ledger.dialect == "postgresql" else sqlite).insert(_T)
        adding = adding.on_conflict_do_nothing(index_elements=["scope"])
        with self._ledger.writing() as connection:
            at = clock(connection)
            # In one order everywhere, so that two processes on PostgreSQL never wait for each other.
            rows = [_row(key, at) for key in sorted(keys, key=lambda key: key.scope)]
            if rows:
                connection.execute(adding, rows)

    def rewrap(self, key_id: str, before: Wrapping, after: Wrapping) -> bool:
        """Replace a wrapping that still is ``before``; whether it was."""
        with self._ledger.writing() as connection:
            changed = connection.execute(
                update(_T)
                .where(_T.c.key_id == key_id, _T.c.wrapped == before.wrapped)
                .values(master=after.master, version=after.version, wrapped=after.wrapped, wrapped_at=now(connection))
            )
        return changed.rowcount == 1

    def destroy(self, scope: str) -> str | None:
        """Remove the key of a scope; its id, or ``None`` when it had none."""
        with self._ledger.writing() as connection:
            found = connection.scalar(delete(_T).where(_T.c.scope == scope).returning(_T.c.key_id))
        return None if found is None else str(found)

    def all(self) -> Iterator[WrappedKey]:
        """Every key, in order of ids; a batch at a time, so that no snapshot is held."""
        after = ""
        while True:
            with self._ledger.reading() as connection:
                query = select(_T).where(_T.c.key_id > after).order_by(_T.c.key_id).limit(_BATCH)
                rows = [_key(row) for row in connection.execute(query)]
            if not rows:
                return
            yield from rows
            after = rows[-1].key_id

    def any_master(self) -> str | None:
        """What wraps some key; ``None`` when there is no key, so that nothing can be encrypted."""
        with self._ledger.reading() as connection:
            return connection.scalar(select(_T.c.master).limit(1))


_T = schema.data_keys


def _key(row: Row[Any]) -> WrappedKey:
    return WrappedKey(row.key_id, row.scope, Wrapping(row.master, row.version, bytes(row.wrapped)), row.wrapped_at)


def _row(key: WrappedKey, at: float) -> dict[str, object]:
    wrapping = key.wrapping
    return {
        "key_id": key.key_id, "scope": key.scope, "master": wrapping.master, "version": wrapping.version,
        "wrapped": wrapping.wrapped, "created_at": at, "wrapped_at": at,
    }  # fmt: skip

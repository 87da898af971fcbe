"""Keys of the store that cannot name a document: held in quarantine while they are there."""

import hashlib
from collections.abc import Container, Sequence
from itertools import islice

from etl_assets.errors import DataError
from etl_assets.ledger import quarantine
from etl_assets.ledger.database import Ledger
from etl_assets.protocols.objects import Arrivals, UnusableKey

STRAYS = 10_000
"""Files outside every collection that one look holds: a misplaced archive must not fill the quarantine."""
UNUSABLE = "unusable-key"
"""Reason under which a key that cannot name a document is quarantined."""


def hold_unusable(ledger: Ledger, tenant: str, collection: str, keys: Sequence[UnusableKey]) -> int:
    """Quarantine keys that cannot name a document, and let go of those that are gone; how many are held."""
    held = hold_keys(ledger, tenant, collection, keys)
    let_go_of_keys(ledger, tenant, collection, kept=frozenset(held))
    return len(held)


def hold_keys(ledger: Ledger, tenant: str, collection: str, keys: Sequence[UnusableKey]) -> list[str]:
    """Quarantine keys that cannot name a document, once for each fingerprint; the ids that they are held under."""
    # Below a collection a path is relative to it, as every other path that people see.
    inside = f"{tenant}/{collection}/" if collection else ""
    held = [
        quarantine.Held(
            _key_id(one.shown), one.shown.removeprefix(inside), "",
            DataError(f"{one.shown}: {one.problem}", reason=UNUSABLE), one.fingerprint, tenant, collection,
        )
        for one in keys
    ]  # fmt: skip
    now = {one.document_id: one for one in held}
    if now:
        with ledger.reading() as connection:
            before = quarantine.held_fingerprints(connection, quarantine.RAW_STAGE, list(now))
        fresh = [one for key, one in now.items() if before.get(key) != one.fingerprint]
        if fresh:
            with ledger.writing() as connection:
                quarantine.hold(connection, None, quarantine.RAW_STAGE, 0, fresh)
    return list(now)


def let_go_of_keys(ledger: Ledger, tenant: str, collection: str, *, kept: Container[str]) -> None:
    """Take those keys out of quarantine that could not name a document and are not among ``kept`` any more."""
    rows = quarantine.rows(ledger, tenant=tenant, collection=collection)
    gone = [row.document_id for row in rows if row.reason == UNUSABLE and row.document_id not in kept]
    if gone:
        with ledger.writing() as connection:
            quarantine.release(connection, quarantine.RAW_STAGE, gone)


def hold_strays(ledger: Ledger, store: Arrivals) -> int:
    """Quarantine files that belong to no collection, ``STRAYS`` of them at most; how many there are."""
    found = list(islice(store.strays(), STRAYS))
    if len(found) < STRAYS:
        return hold_unusable(ledger, "", "", found)
    return len(hold_keys(ledger, "", "", found))


def _key_id(shown: str) -> str:
    return hashlib.blake2b(b"key\x00" + shown.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

"""Documents of which a person published an earlier version again: it stays until their key changes.

The present version of such a document is the earlier one under the key's own fingerprint, so that no run sees a
difference. A run that reads the key all the same, since its fingerprint changed, compares its bytes with those that
were there when the version was pinned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from etl_assets.ledger import schema
from etl_assets.ledger.database import clock, upsert
from etl_assets.ledger.objects import ArrivedObject
from etl_assets.ledger.outputs import batches

_IN_LIST = 5000


@dataclass(frozen=True, slots=True)
class PinnedVersion:
    """``version`` is published although the key has ``key_version``; ``since`` is Unix seconds UTC."""

    document_id: str
    version: str
    key_version: str
    since: float


def pinned(connection: Connection, document_ids: Sequence[str]) -> dict[str, PinnedVersion]:
    """Those of these documents that are pinned, by document id."""
    table = schema.pinned_versions
    columns = [table.c[name] for name in PinnedVersion.__dataclass_fields__]
    found: dict[str, PinnedVersion] = {}
    for part in batches(document_ids, _IN_LIST):
        rows = connection.execute(select(*columns).where(table.c.document_id.in_(part)))
        found.update((row[0], PinnedVersion(*row)) for row in rows)
    return found


def pin(connection: Connection, document_id: str, version: str, key_version: str) -> None:
    """Keep ``version`` until the key has other bytes than ``key_version``."""
    row = {"document_id": document_id, "version": version, "key_version": key_version, "since": clock(connection)}
    upsert(connection, schema.pinned_versions, [row])


def unpin(connection: Connection, document_ids: Sequence[str]) -> None:
    """Let the key's own bytes be published again."""
    table = schema.pinned_versions
    for part in batches(document_ids, _IN_LIST):
        connection.execute(delete(table).where(table.c.document_id.in_(part)))


def settled(connection: Connection, arrived: Sequence[ArrivedObject]) -> tuple[list[ArrivedObject], dict[str, str]]:
    """What of this is new, and the fingerprints to renew of pinned documents whose keys have the same bytes as ever.

    The pins of documents whose bytes are new end.
    """
    pins = pinned(connection, [one.document_id for one in arrived])
    same = {
        one.document_id: one.fingerprint for one in arrived
        if one.document_id in pins and pins[one.document_id].key_version == one.version
    }  # fmt: skip
    unpin(connection, sorted(pins.keys() - same.keys()))
    return [one for one in arrived if one.document_id not in same], same

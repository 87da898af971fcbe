"""Orders to delete documents, a collection or a tenant: what they name, what is done, and the certificate."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from etl_assets.documents.deletion.steps import CollectionDeletion
from etl_assets.documents.document_names import DocumentName
from etl_assets.documents.model import document_id
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError
from etl_assets.ledger import collection_removal, deletions
from etl_assets.ledger.catalogue import partitions
from etl_assets.ledger.database import clock, sequence
from etl_assets.ledger.deletions import DeletionRow
from etl_assets.ledger.erasing import erase_deleted
from etl_assets.ledger.installation import installation_id
from etl_assets.protocols.objects import ObjectInfo

FORMAT = "etl-assets deletion certificate 1"

LIMITS = (
    "copies that were taken out of this installation: exports, downloads, replicas and snapshots of its servers",
    "backups that are not named here as forgotten",
    "the write-ahead log of PostgreSQL",
    "old versions that a bucket with versioning keeps of the arrivals and of what steps printed",
    "a result cache in Redis, whose entries name no document and end by themselves within a day",
    "disk blocks that a file system or a drive keeps of deleted files",
)
"""What no certificate of ours can speak of; each one says so."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """One finished deletion: its id, how many documents, and where its certificate is."""

    deletion_id: str
    documents: int
    certificate: str


def ignore(_step: str) -> None:
    """Nobody is told of the steps."""


def delete_documents(
    platform: Platform, doomed: Sequence[DocumentName], *, purge: bool, say: Callable[[str], None] = ignore
) -> list[Deleted]:
    """Delete documents from their keys, stores, caches, segments and the quarantine; one certificate a collection.

    ``purge``: also their originals, data keys, history, and every byte that the stores' files keep. What was
    interrupted is finished by the same order.

    Raises:
        ConfigError: no certificate could be signed; nothing was deleted.
        TransientError, PermanentError: a step could not be done; run the same order again.
    """
    by_place: dict[tuple[str, str], list[DocumentName]] = {}
    for one in doomed:
        by_place.setdefault((one.tenant, one.collection), []).append(one)
    _refuse_without_key(platform)
    return [_deleted(platform, "document", *place, of_one, purge, say) for place, of_one in sorted(by_place.items())]


def delete_collection(
    platform: Platform, tenant: str, collection: str, *, purge: bool, say: Callable[[str], None] = ignore
) -> Deleted:
    """Delete every document of a collection; with ``purge`` its index spaces, keys and rows as well.

    Raises:
        ConfigError: there is no such collection, or no certificate could be signed.
        TransientError, PermanentError: as for ``delete_documents``.
    """
    _refuse_without_key(platform)
    return _deleted(platform, "collection", tenant, collection, None, purge, say)


def delete_tenant(platform: Platform, tenant: str, *, purge: bool, say: Callable[[str], None] = ignore) -> Deleted:
    """The same with every collection of a tenant, in one certificate. Raises as ``delete_collection``."""
    _refuse_without_key(platform)
    return _deleted(platform, "tenant", tenant, "", None, purge, say)


def named(tenant: str, collection: str, path: str) -> DocumentName:
    """The document of a key, whether or not anybody knows it any more."""
    return DocumentName(document_id(tenant, collection, path), tenant, collection, path)


def finish_interrupted(platform: Platform, say: Callable[[str], None] = ignore) -> list[Deleted]:
    """Finish the deletions that were begun and have no certificate yet. Raises as ``delete_documents``."""
    with platform.ledger.reading() as connection:
        waiting = deletions.unfinished(connection)
    if waiting:
        _refuse_without_key(platform)
    done = []
    for row in waiting:
        doomed = [DocumentName(one, row.tenant, row.collection, "") for one in row.documents]
        of_documents = doomed if row.kind == "document" else None
        done.append(_deleted(platform, row.kind, row.tenant, row.collection, of_documents, row.purge, say))
    return done


def _refuse_without_key(platform: Platform) -> None:
    if platform.certificates is None:
        raise ConfigError("this platform keeps no certificates; open it with `open_platform`")
    platform.certificates().public_key()


def _deleted(
    platform: Platform, kind: str, tenant: str, collection: str, doomed: Sequence[DocumentName] | None, purge: bool,
    say: Callable[[str], None],
) -> Deleted:  # fmt: skip
    places = [collection] if collection else _collections(platform, tenant)
    found = {place: list(doomed or _all_of(platform, tenant, place)) for place in places}
    ids = [one.document_id for of_one in found.values() for one in of_one]
    with platform.ledger.writing() as connection:
        row = deletions.opened(connection, kind, tenant, collection, ids, purge=purge)
    for place in sorted({*places, *row.evidence}):
        before = row.evidence.get(place, {}).get("versions", {})
        mine = {one.document_id: one for one in found.get(place, [])}
        mine |= {one: DocumentName(one, tenant, place, "") for one in before if one not in mine}
        CollectionDeletion(platform, row, place, list(mine.values()), say).run()
        if purge and kind != "document":
            _remove_collection(platform, row, place)
    return _certified(platform, row.deletion_id)


def _collections(platform: Platform, tenant: str) -> list[str]:
    known = {one.collection for one in partitions(platform.ledger, tenant=tenant)}
    return sorted(known | {name for owner, name in platform.arrivals.collections() if owner == tenant})


def _all_of(platform: Platform, tenant: str, collection: str) -> Iterator[DocumentName]:
    """Every document of a collection that the ledger or the store knows."""
    with platform.ledger.reading() as connection:
        known = deletions.documents_of(connection, tenant, collection)
    for identity, (_, path) in known.items():
        yield DocumentName(identity, tenant, collection, path)
    skip = len(tenant) + len(collection) + 2
    for entry in platform.arrivals.list(tenant, collection):
        if isinstance(entry, ObjectInfo):
            one = named(tenant, collection, entry.key[skip:])
            if one.document_id not in known:
                yield one


def _remove_collection(platform: Platform, row: DeletionRow, collection: str) -> None:
    """What belongs to no single document: index spaces, left-over files, the data key of the lake, the rows."""
    for index in (platform.stores.vector, platform.stores.keyword):
        for space in index.spaces():
            if (space.tenant, space.collection) == (row.tenant, collection):
                index.drop(space)
    blobs = platform.lake.blobs
    for key, _, _ in list(blobs.keys("")):
        if key.split("/")[1:3] == [row.tenant, collection]:
            blobs.delete(key)
    platform.destroy_lake_key(f"{row.tenant}/{collection}")
    with platform.ledger.writing() as connection:
        collection_removal.remove_collection(connection, row.tenant, collection)
    erase_deleted(platform.ledger)


def _certified(platform: Platform, deletion_id: str) -> Deleted:
    assert platform.certificates is not None
    with platform.ledger.reading() as connection:
        row = deletions.deletion(connection, deletion_id)
        at, n = clock(connection), sequence(connection)
    content = certificate(row, installation_id(platform.ledger), completed_at=at, sequence=n)
    place = platform.certificates().keep(deletion_id, content)
    with platform.ledger.writing() as connection:
        deletions.finish(connection, deletion_id)
    return Deleted(deletion_id, _document_count(row), place)


def certificate(row: DeletionRow, installation: str, *, completed_at: float, sequence: int) -> bytes:
    """The bytes that are signed: JSON, indented, keys in order, no path and no word of a text.

    A document is named by its id, the BLAKE2b-128 of tenant, collection and path, and by the SHA-256 of its versions:
    whoever knows the path or has the bytes can tell that it is meant, and nobody else learns either.
    """
    record = {
        "format": FORMAT,
        "certificate": row.deletion_id,
        "installation": installation,
        "deleted": {"kind": row.kind, "tenant": row.tenant, "collection": row.collection or None},
        "purged": row.purge,
        "requested_at": _instant(row.started_at),
        "completed_at": _instant(completed_at),
        "ledger_sequence": sequence,
        "documents": _document_count(row),
        "collections": row.evidence,
        "not_covered": list(LIMITS),
    }
    return (json.dumps(record, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode()


def _document_count(row: DeletionRow) -> int:
    return sum(len(_versions(facts)) for facts in row.evidence.values())


def _versions(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = facts.get("versions", {})
    return found


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

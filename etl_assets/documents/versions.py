"""The versions of one document: how two of them differ, and publishing an earlier one again."""

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from etl_assets.documents.arrivals.intake import input_digest
from etl_assets.documents.chunking import chunk_pages
from etl_assets.documents.corrected import corrected_mentions
from etl_assets.documents.knowledge import known
from etl_assets.documents.model import slot_of
from etl_assets.documents.original_keys import original_key
from etl_assets.documents.pages import parse_documents
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError
from etl_assets.ledger import documents_view, objects, pinned_versions
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.leases import acquire
from etl_assets.ledger.objects import ArrivedObject
from etl_assets.stages.spec import Task

if TYPE_CHECKING:
    import polars as pl

WAIT_S = 600.0
"""How long a re-publication waits for a run that is at work on the partition."""

LEAST_DIGITS = 4
"""A version may be called by so many of the first digits of its SHA-256, or more."""


@dataclass(slots=True)
class VersionDiff:
    """How version ``b`` differs from ``a``. ``text`` is a unified diff of their pages, line by line, without ends.

    Chunks are the same where text and place are, moved where only the place differs. ``entities_added`` and
    ``entities_removed`` are (id, name), by id.
    """

    a: str
    b: str
    text: list[str] = field(default_factory=list)
    chunks_same: int = 0
    chunks_moved: int = 0
    chunks_added: int = 0
    chunks_removed: int = 0
    entities_added: list[tuple[str, str]] = field(default_factory=list)
    entities_removed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Read:
    pages: "pl.DataFrame"
    chunks: "pl.DataFrame"
    mentions: "pl.DataFrame"


def chosen_version(platform: Platform, document_id: str, text: str) -> dict[str, Any]:
    """The version of a document that ``text`` names: at least LEAST_DIGITS of its SHA-256, or its number from 1 on.

    Raises:
        ConfigError: it names none, or several.
    """
    with platform.ledger.reading() as connection:
        rows = documents_view.versions_of(connection, document_id)
    versions = {row["version"]: row for row in rows}  # the newest row of each, in order of the first
    if text.isdecimal() and 1 <= int(text) <= len(versions):
        return list(versions.values())[int(text) - 1]
    # A number that is too high is the beginning of one SHA-256 in sixteen: nobody means that by it.
    found = [row for version, row in versions.items() if len(text) >= LEAST_DIGITS and version.startswith(text.lower())]
    if len(found) != 1:
        raise ConfigError(
            f"version {text}: {'several begin so' if found else 'there is none'}; `etl-assets document history` "
            f"lists {len(versions):,}"
        )
    return found[0]


def diff(platform: Platform, document_id: str, tenant: str, collection: str, a: str, b: str) -> VersionDiff:
    """How two versions differ, both read anew from their originals under today's settings; nothing is written.

    Raises:
        ConfigError: a version is unknown, or its bytes are not kept any more.
        DataError: one of them cannot be parsed.
    """
    first, second = (chosen_version(platform, document_id, one) for one in (a, b))
    read = {row["version"]: _read(platform, document_id, tenant, collection, row) for row in (first, second)}
    old, new = read[first["version"]], read[second["version"]]
    found = VersionDiff(first["version"], second["version"])
    lines = difflib.unified_diff(_lines(old.pages), _lines(new.pages), found.a[:12], found.b[:12], lineterm="")
    found.text = list(lines)
    _compare_chunks(found, old.chunks, new.chunks)
    entities = [dict(one.mentions.select("entity_id", "name").rows()) for one in (old, new)]
    found.entities_added = sorted((key, entities[1][key]) for key in entities[1].keys() - entities[0].keys())
    found.entities_removed = sorted((key, entities[0][key]) for key in entities[0].keys() - entities[1].keys())
    return found


def republish(platform: Platform, document_id: str, tenant: str, collection: str, version: str) -> Partition:
    """Let searches see an earlier version from the partition's next run on, until the key changes; that partition.

    Raises:
        ConfigError: the document is gone, the version is unknown, or its bytes are not kept any more.
        TransientError: a run went on for over ``WAIT_S``.
    """
    place = partition_of(platform, document_id, tenant, collection)
    row = chosen_version(platform, document_id, version)
    _refuse_without_bytes(platform, document_id, tenant, row["version"])
    lease = acquire(
        platform.ledger, place.key, holder=f"republish {document_id}", wait_s=WAIT_S, ttl_s=platform.lease_s
    )
    try:
        with lease.writing() as connection:
            present = _present(connection, document_id)
            pin = pinned_versions.pinned(connection, [document_id]).get(document_id)
            if present.version == row["version"]:
                return place
            again = ArrivedObject(
                document_id, present.slot, present.path, row["version"], input_digest(present.path, row["version"]),
                row["size_bytes"], present.fingerprint, row["content_type"], row["attributes"],
            )  # fmt: skip
            objects.record_arrivals(connection, place, [again])
            key_version = pin.key_version if pin is not None else present.version
            if key_version == row["version"]:
                pinned_versions.unpin(connection, [document_id])
            else:
                pinned_versions.pin(connection, document_id, row["version"], key_version)
    finally:
        lease.release()
    return place


def unpin(platform: Platform, document_id: str, tenant: str, collection: str) -> Partition:
    """Let searches see what the key has, from the partition's next run on; that partition.

    Raises:
        ConfigError: the document is gone, or no earlier version of it was published again.
        TransientError: a run went on for over ``WAIT_S``.
    """
    place = partition_of(platform, document_id, tenant, collection)
    lease = acquire(
        platform.ledger, place.key, holder=f"republish {document_id}", wait_s=WAIT_S, ttl_s=platform.lease_s
    )
    try:
        with lease.writing() as connection:
            _present(connection, document_id)
            if document_id not in pinned_versions.pinned(connection, [document_id]):
                raise ConfigError(f"document {document_id}: it shows what its key has; there is nothing to undo")
            pinned_versions.unpin(connection, [document_id])
            objects.renew_fingerprints(connection, {document_id: ""})
    finally:
        lease.release()
    return place


def partition_of(platform: Platform, document_id: str, tenant: str, collection: str) -> Partition:
    """The partition of a document of a known collection.

    Raises:
        ConfigError: the collection is unknown.
    """
    slot = slot_of(document_id)
    for place in partitions(platform.ledger, tenant=tenant, collection=collection):
        if place.slot_low <= slot <= place.slot_high:
            return place
    raise ConfigError(f"there is no collection {tenant}/{collection}; `etl-assets status` lists those that exist")


def _present(connection: Any, document_id: str) -> objects.KnownObject:
    found = objects.objects_of(connection, [document_id]).get(document_id)
    if found is None:
        raise ConfigError(f"document {document_id}: its key is gone; add the file again, then publish what you want")
    return found


def _refuse_without_bytes(platform: Platform, document_id: str, tenant: str, version: str) -> None:
    if not platform.originals.exists(original_key(tenant, document_id, version)):
        raise ConfigError(
            f"version {version[:12]} of document {document_id}: its bytes are not kept any more; "
            "retention.history_days says how long they are"
        )


def _read(platform: Platform, document_id: str, tenant: str, collection: str, row: Mapping[str, Any]) -> _Read:
    _refuse_without_bytes(platform, document_id, tenant, row["version"])
    run = PartitionRun(platform, partition_of(platform, document_id, tenant, collection).key, run_id="diff")
    task = Task(
        document_id, tenant, collection, row["path"], row["version"], row["size_bytes"], row["content_type"]
    )  # fmt: skip
    parsed = parse_documents(
        [task], pool=platform.parsers(), limits=run.settings.parsing,
        local=lambda one: platform.originals.local(original_key(tenant, one.document_id, one.version)),
    )  # fmt: skip
    for error in parsed.failures.values():
        raise error
    embedder, chunking = run.in_use.main.embedder, run.in_use.main.settings.chunking
    cut = chunk_pages([task], parsed.rows, chunking=chunking, tokenizer=embedder.tokenizer)
    outside = run.in_use.main.outside
    told = known([task], parsed.rows, outside=outside).rows
    found = corrected_mentions([task], parsed.rows, cut.rows, told, catalogue=outside.catalogue)
    return _Read(parsed.rows, cut.rows, found.rows)


def _lines(pages: "pl.DataFrame") -> list[str]:
    return [line for text in pages["text"].to_list() for line in text.splitlines()]


def _compare_chunks(found: VersionDiff, old: "pl.DataFrame", new: "pl.DataFrame") -> None:
    before, after = (dict(zip(one["chunk_id"], one.select("page", "start", "end").rows(), strict=True))
                     for one in (old, new))  # fmt: skip
    kinds = Counter("same" if before[key] == after[key] else "moved" for key in before.keys() & after.keys())
    found.chunks_same, found.chunks_moved = kinds["same"], kinds["moved"]
    found.chunks_added, found.chunks_removed = len(after.keys() - before.keys()), len(before.keys() - after.keys())

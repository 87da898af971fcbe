"""From a listing to versions: which keys are new, changed or gone, and the copying of their bytes to the originals."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from etl_assets.documents.model import document_id, slot_of
from etl_assets.documents.original_keys import forget_tombstones, original_key
from etl_assets.documents.parameters import ParsingLimits
from etl_assets.errors import DataError, PermanentError, TransientError
from etl_assets.ledger import objects, pinned_versions, quarantine, tombstones
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import Lease
from etl_assets.ledger.objects import ArrivedObject, KnownObject
from etl_assets.ledger.tombstones import Tombstone
from etl_assets.protocols.objects import Arrivals, Blobs, FetchedObject, ObjectInfo, UnusableKey

BATCH_DOCUMENTS = 256
_READ_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Sighting:
    """One key that is new or whose fingerprint differs. ``known`` is what the ledger has, if anything; ``buried`` the
    version of the document that was deleted and must not come back, "" for one that could not be read."""

    info: ObjectInfo
    document_id: str
    slot: int
    path: str
    known: KnownObject | None
    buried: str | None = None


@dataclass(slots=True)
class Changes:
    """What a listing shows against the ledger, for one partition. ``vanished`` were held, or deleted, and are gone."""

    partition: Partition
    added: list[Sighting] = field(default_factory=list)
    changed: list[Sighting] = field(default_factory=list)
    removed: list[KnownObject] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.vanished)

    def digest(self) -> str:
        """Digest of exactly these changes: the same ones are not asked for twice."""
        hasher = hashlib.blake2b(digest_size=8)
        for one in sorted([*self.added, *self.changed], key=lambda sighting: sighting.path):
            hasher.update(f"{one.document_id} {one.info.fingerprint}\n".encode())
        for gone in sorted(self.removed, key=lambda known: known.path):
            hasher.update(f"{gone.document_id} gone\n".encode())
        for vanished in sorted(self.vanished):
            hasher.update(f"{vanished} vanished\n".encode())
        return hasher.hexdigest()


@dataclass(slots=True)
class Survey:
    """One collection's listing against the ledger. ``seen`` counts usable keys."""

    partitions: list[Partition]
    changes: dict[str, Changes]
    unusable: list[UnusableKey]
    seen: int = 0


@dataclass(slots=True)
class Intake:
    """What taking in a partition's changes did. ``unsettled`` keys changed while they were read: next time.

    ``held_back`` keys differ and are kept out by the update mode.
    """

    listed: int = 0
    added: int = 0
    changed: int = 0
    renewed: int = 0
    removed: int = 0
    quarantined: int = 0
    unsettled: int = 0
    held_back: int = 0
    size_bytes: int = 0


def survey(ledger: Ledger, store: Arrivals, tenant: str, collection: str, *, shards: int) -> Survey:
    """List a collection and compare it, key by key, with the ledger. It reads no object.

    Raises:
        PermanentError: the listing is not complete, or the store seems lost: nothing may then look deleted.
    """
    partitions = ensure_collection(ledger, tenant, collection, shards=shards)
    cid = partitions[0].cid
    known = objects.known_objects(ledger, cid)
    held = quarantine.held_at(ledger, quarantine.RAW_STAGE, cid)
    refused = {row.path: row for row in held.values()}
    with ledger.reading() as connection:
        stones = tombstones.of_collection(connection, tenant, collection)
    stones = {identity: stone for identity, stone in stones.items() if stone.keeps_away is not None}
    by_slot = _slots(partitions)
    found = Survey(partitions, {one.key: Changes(one) for one in partitions}, [])
    seen: set[str] = set()
    skip = len(tenant) + len(collection) + 2
    for entry in store.list(tenant, collection):
        if isinstance(entry, UnusableKey):
            found.unusable.append(entry)
            continue
        path = entry.key[skip:]
        if path in seen:  # a server may list a key again that was written meanwhile
            continue
        seen.add(path)
        found.seen += 1
        row = known.pop(path, None)
        if row is not None and row.fingerprint == entry.fingerprint:
            refused.pop(path, None)
            continue
        before = refused.pop(path, None)
        if before is not None and before.fingerprint == entry.fingerprint:
            continue
        identity = row.document_id if row is not None else document_id(tenant, collection, path)
        slot = row.slot if row is not None else slot_of(identity)
        stone = stones.pop(identity, None)
        if stone is not None and stone.fingerprint == entry.fingerprint:
            continue
        changes = found.changes[by_slot[slot].key]
        sighting = Sighting(entry, identity, slot, path, row, stone.keeps_away if stone is not None else None)
        (changes.added if row is None else changes.changed).append(sighting)
    if (known or stones) and not found.seen and (problem := store.seems_lost()):
        raise PermanentError(problem)
    for gone in known.values():
        found.changes[by_slot[gone.slot].key].removed.append(gone)
        refused.pop(gone.path, None)
    for lost in {**{row.document_id: row for row in refused.values()}, **stones}:
        found.changes[by_slot[slot_of(lost)].key].vanished.append(lost)
    return found


def take_in(lease: Lease, store: Arrivals, originals: Blobs, changes: Changes, limits: ParsingLimits) -> Intake:
    """Copy new and changed bytes to the originals and enter them; end what is gone. One transaction per batch.

    The listing may be older than the lease: a document that another run has entered or ended since is left as that
    run left it, and counts as unsettled.

    Raises:
        PermanentError: no space for the originals, or the store refuses; what was entered before stays.
    """
    intake = Intake()
    tenant = changes.partition.tenant
    with ThreadPoolExecutor(max(store.concurrency, 1), thread_name_prefix="copy") as pool:
        for batch in _parts([*changes.added, *changes.changed]):
            with originals.scratch() as scratch:
                targets = (scratch / str(i) for i in range(len(batch)))
                outcomes = list(pool.map(lambda one, to: _copy(store, one, tenant, to, limits), batch, targets))
                originals.put_all([one.original for one in outcomes if one.original is not None])
                for ended in _enter(lease, outcomes, changes.partition, intake):
                    forget_tombstones(originals, ended)
    if changes.removed:
        with lease.writing() as connection:
            now = objects.fingerprints(connection, [one.document_id for one in changes.removed])
            gone = [one.document_id for one in changes.removed if now.get(one.document_id) == one.fingerprint]
            objects.record_removals(connection, changes.partition, gone)
            quarantine.release(connection, None, gone)
        intake.removed = len(gone)
        intake.unsettled += len(changes.removed) - len(gone)
    if changes.vanished:
        with lease.writing() as connection:
            quarantine.release(connection, quarantine.RAW_STAGE, changes.vanished)
            tombstones.see_absent(connection, changes.vanished)
    return intake


def arrivals_seen(
    store: Arrivals, sightings: Sequence[Sighting], tenant: str, folder: Path, limits: ParsingLimits
) -> Iterator[tuple[Sighting, ArrivedObject | None, Path, DataError | None]]:
    """Each sighting with what ``take_in`` would enter for it, and its bytes below ``folder``; it writes nowhere else.

    ``None`` stands for a key whose version is as it was, that was deleted, that went or that is being written; with
    an error it would be held back.
    """
    with ThreadPoolExecutor(max(store.concurrency, 1), thread_name_prefix="look") as pool:
        targets = [folder / str(i) for i in range(len(sightings))]
        outcomes = pool.map(lambda one, to: _copy(store, one, tenant, to, limits), sightings, targets)
        for one, target in zip(outcomes, targets, strict=True):
            yield one.sighting, one.arrived, target, one.error


def input_digest(path: str, version: str) -> str:
    """What parsing depends on: the bytes, and the suffix that breaks ties between kinds of text."""
    return f"{version}{hint_of(path)}"


def hint_of(path: str) -> str:
    """The lower-case suffix of a path, at most 16 characters, "" without one."""
    return PurePosixPath(path).suffix.lower()[:16].encode("ascii", "replace").decode()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one sighting: bytes that are new, or a fingerprint to renew, or an error, or nothing yet.

    ``still_buried`` is the fingerprint of a key that has the bytes, or the fault, with which it was deleted.
    """

    sighting: Sighting
    arrived: ArrivedObject | None = None
    renewed: str | None = None
    original: tuple[str, Path] | None = None
    error: DataError | None = None
    is_unsettled: bool = False
    still_buried: str | None = None


def _enter(lease: Lease, outcomes: Sequence[_Outcome], partition: Partition, intake: Intake) -> Sequence[Tombstone]:
    """Enter what was copied; the tombstones that ended, since their keys have other bytes now."""
    with lease.writing() as connection:
        now = objects.fingerprints(connection, [one.sighting.document_id for one in outcomes])
        stale = [one for one in outcomes if now.get(one.sighting.document_id) != _known_fingerprint(one.sighting)]
        outcomes = [one for one in outcomes if one not in stale] if stale else outcomes
        for one in outcomes:
            if one.still_buried is not None:
                tombstones.renew(connection, one.sighting.document_id, one.still_buried)
        arrived = [one.arrived for one in outcomes if one.arrived is not None]
        renewed = {one.sighting.document_id: one.renewed for one in outcomes if one.renewed is not None}
        held = [_held(one.sighting, one.error) for one in outcomes if one.error is not None]
        arrived, as_before = pinned_versions.settled(connection, arrived)
        renewed |= as_before
        objects.record_arrivals(connection, partition, arrived)
        objects.renew_fingerprints(connection, renewed)
        # Whatever another version was held for, at any stage, says nothing about this one.
        new = [one.sighting.document_id for one in outcomes if _is_new_version(one)]
        quarantine.release(connection, None, [one for one in new if one not in as_before])
        quarantine.release(connection, quarantine.RAW_STAGE, [*(one.document_id for one in arrived), *renewed])
        quarantine.hold(connection, partition, quarantine.RAW_STAGE, 0, held)
        ended = tombstones.standing(
            connection, [*(one.document_id for one in arrived), *(one.document_id for one in held)]
        )
        tombstones.end(connection, ended)
    added = sum(1 for one in outcomes if one.arrived is not None and one.sighting.known is None)
    intake.added += added
    intake.changed += len(arrived) - added
    intake.renewed += len(renewed)
    intake.quarantined += len(held)
    intake.unsettled += len(stale) + sum(1 for one in outcomes if one.is_unsettled)
    intake.size_bytes += sum(one.size_bytes for one in arrived)
    return list(ended.values())


def _known_fingerprint(sighting: Sighting) -> str | None:
    return sighting.known.fingerprint if sighting.known is not None else None


def _is_new_version(one: _Outcome) -> bool:
    known = one.sighting.known
    return one.arrived is not None and known is not None and known.version != one.arrived.version


def _copy(store: Arrivals, sighting: Sighting, tenant: str, target: Path, limits: ParsingLimits) -> _Outcome:
    """Copy one object's bytes to ``target``; ``original`` says where they belong, unless they are known."""
    try:
        fetched = _fetch(store, sighting, target, limits)
    except FileNotFoundError:
        return _Outcome(sighting)  # it went after the listing; the next one ends it
    except TransientError:
        return _Outcome(sighting, is_unsettled=True)
    except DataError as error:
        if sighting.buried == "":
            return _Outcome(sighting, still_buried=sighting.info.fingerprint)
        return _Outcome(sighting, error=error)
    if sighting.buried == fetched.sha256:
        return _Outcome(sighting, still_buried=fetched.fingerprint)
    if _is_same(sighting.known, fetched):
        return _Outcome(sighting, renewed=fetched.fingerprint)
    original = None
    if sighting.known is None or sighting.known.version != fetched.sha256:
        original = (original_key(tenant, sighting.document_id, fetched.sha256), target)
    return _Outcome(sighting, arrived=_arrived(sighting, fetched), original=original)


def _fetch(store: Arrivals, sighting: Sighting, target: Path, limits: ParsingLimits) -> FetchedObject:
    if sighting.info.size_bytes > limits.size_limit_mb * 1024 * 1024:
        raise DataError(
            f"{sighting.path}: {sighting.info.size_bytes} bytes, over the limit of {limits.size_limit_mb} MB; "
            "raise parsing.size_limit_mb for this collection or split the file",
            reason="too-large",
        )
    for attempt in range(_READ_ATTEMPTS):
        try:
            return store.fetch(sighting.info.key, target)
        except TransientError:
            target.unlink(missing_ok=True)  # a store may leave what it had copied, and writes to a new file only
            if attempt == _READ_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _is_same(known: KnownObject | None, fetched: FetchedObject) -> bool:
    attributes = fetched.attributes
    return (
        known is not None
        and known.version == fetched.sha256
        and known.content_type == attributes.content_type
        and dict(known.attributes) == dict(attributes.metadata)
    )


def _arrived(sighting: Sighting, fetched: FetchedObject) -> ArrivedObject:
    return ArrivedObject(
        sighting.document_id, sighting.slot, sighting.path, fetched.sha256,
        input_digest(sighting.path, fetched.sha256), fetched.size_bytes, fetched.fingerprint,
        fetched.attributes.content_type, dict(fetched.attributes.metadata),
    )  # fmt: skip


def _held(sighting: Sighting, error: DataError) -> quarantine.Held:
    return quarantine.Held(sighting.document_id, sighting.path, "", error, sighting.info.fingerprint)


def _slots(partitions: Sequence[Partition]) -> Mapping[int, Partition]:
    return {slot: one for one in partitions for slot in range(one.slot_low, one.slot_high + 1)}


def _parts(sightings: Sequence[Sighting]) -> Iterator[Sequence[Sighting]]:
    for start in range(0, len(sightings), BATCH_DOCUMENTS):
        yield sightings[start : start + BATCH_DOCUMENTS]

"""Single keys against the ledger: those that a sensor was told of, without listing their collection."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from etl_assets.documents.arrivals.intake import Changes, Sighting
from etl_assets.documents.arrivals.update_modes import TAKEN
from etl_assets.documents.model import document_id, slot_of
from etl_assets.documents.parameters import UpdateMode
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.ledger import objects, quarantine, tombstones
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.held_arrivals import ADDED, CHANGED, REMOVED, HeldArrival, keep_out_some
from etl_assets.ledger.touched import GONE, Touched
from etl_assets.protocols.objects import Arrivals, ObjectInfo


def survey_touched(ledger: Ledger, store: Arrivals, partition: Partition, touched: Sequence[Touched]) -> Changes:
    """Look at these keys of a partition and say which are new, changed or gone. Costs one request for each key.

    Raises:
        PermanentError: part of the store cannot be looked at, or the store seems lost.
        TransientError: it does not answer now.
    """
    found = Changes(partition)
    prefix = f"{partition.tenant}/{partition.collection}/"
    seen = _looked(store, [prefix + one.path for one in touched])
    ids = [one.document_id for one in touched]
    with ledger.reading() as connection:
        known = objects.objects_of(connection, ids)
        held = quarantine.held_fingerprints(connection, quarantine.RAW_STAGE, ids)
        stones = tombstones.standing(connection, ids)
    stones = {identity: stone for identity, stone in stones.items() if stone.keeps_away is not None}
    held.update((identity, stone.fingerprint) for identity, stone in stones.items())
    for one in touched:
        info, row = seen[prefix + one.path], known.get(one.document_id)
        if info is None:
            if row is not None:
                found.removed.append(row)
            elif one.document_id in held:
                found.vanished.append(one.document_id)
        elif info.fingerprint not in (row.fingerprint if row else None, held.get(one.document_id)):
            stone = stones.get(one.document_id)
            buried = None if stone is None else stone.keeps_away
            sighting = Sighting(info, one.document_id, slot_of(one.document_id), one.path, row, buried)
            (found.added if row is None else found.changed).append(sighting)
    if (found.removed or found.vanished) and not any(seen.values()) and (problem := store.seems_lost()):
        raise PermanentError(problem)
    return found


def confirm_removals(store: Arrivals, changes: Changes) -> None:
    """Look at what a listing did not show, and leave out what is there: some server may skip a key that it lists.

    Raises:
        PermanentError: part of the store cannot be looked at.
        TransientError: it does not answer now.
    """
    prefix = f"{changes.partition.tenant}/{changes.partition.collection}/"
    seen = _looked(store, [prefix + one.path for one in changes.removed])
    changes.removed = [one for one in changes.removed if seen[prefix + one.path] is None]


@dataclass(slots=True)
class Compared:
    """What keys turned out to be. ``touched`` differ from the ledger, ``same`` counts those that do not.

    ``partitions`` are all of the collections concerned. ``outside`` counts keys that lie in no collection or cannot
    name a document: the next listing holds them. ``refused`` says of keys that may not be looked at why.
    """

    touched: list[Touched] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)
    same: int = 0
    outside: int = 0
    refused: dict[str, str] = field(default_factory=dict)


def compare_keys(
    ledger: Ledger, store: Arrivals, shards: Mapping[tuple[str, str], int], keys: Sequence[str],
    modes: Mapping[tuple[str, str], UpdateMode] | None = None,
) -> Compared:  # fmt: skip
    """Look at keys anywhere in the store, each once, and compare them with the ledger; it reads no object.

    ``shards`` is the number for each collection among the keys, should it be new; ``modes`` the update modes of those
    that are in another than auto.

    Raises:
        PermanentError, TransientError: the store cannot be looked at; nothing is known of any key then.
    """
    compared = Compared()
    modes = modes or {}
    by_collection: dict[tuple[str, str], list[str]] = {}
    for key in dict.fromkeys(keys):
        tenant, _, rest = key.partition("/")
        collection, _, path = rest.partition("/")
        if path and (tenant, collection) in shards:
            by_collection.setdefault((tenant, collection), []).append(path)
        else:
            compared.outside += 1
    for (tenant, collection), paths in sorted(by_collection.items()):
        try:
            name = (tenant, collection)
            _compare(ledger, store, name, shards[name], paths, compared, modes.get(name, "auto"))
        except ConfigError as e:
            compared.refused[f"{tenant}/{collection}"] = str(e)
    return compared


def _compare(
    ledger: Ledger, store: Arrivals, name: tuple[str, str], shards: int, paths: Sequence[str], compared: Compared,
    mode: UpdateMode,
) -> None:  # fmt: skip
    tenant, collection = name
    seen = _looked(store, [f"{tenant}/{collection}/{path}" for path in paths])
    found = {path: seen[f"{tenant}/{collection}/{path}"] for path in paths}
    now = {
        document_id(tenant, collection, path): (path, GONE if info is None else info.fingerprint)
        for path, info in found.items()
    }
    differ = differing(ledger, now)
    compared.same += len(now) - len(differ)
    if differ:
        places = ensure_collection(ledger, tenant, collection, shards=shards)
        differ = let_in(ledger, places, differ, mode)
        compared.partitions += [one.key for one in places]
        compared.touched += as_touched(places, differ)


def differing(ledger: Ledger, now: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Those of these keys, by document id, that the ledger does not know as they are; ``now`` is (path, fingerprint).

    A key that is ``GONE`` differs when it is a document, or held back. One that is held as it is now does not differ.
    """
    with ledger.reading() as connection:
        known = objects.fingerprints(connection, list(now))
        rest = {identity: key for identity, key in now.items() if known.get(identity) != key[1]}
        held = quarantine.held_fingerprints(connection, quarantine.RAW_STAGE, list(rest))
        stones = tombstones.standing(connection, list(rest))
    held.update((key, stone.fingerprint) for key, stone in stones.items() if stone.keeps_away is not None)

    def differs(identity: str, fingerprint: str) -> bool:
        # What is held and to be tried again has an empty fingerprint, too.
        return identity in known or identity in held if fingerprint == GONE else held.get(identity) != fingerprint

    return {identity: key for identity, key in rest.items() if differs(identity, key[1])}


def let_in(
    ledger: Ledger, places: Sequence[Partition], differ: Mapping[str, tuple[str, str]], mode: UpdateMode
) -> dict[str, tuple[str, str]]:
    """Those of keys that differ that a mode takes in. The others are noted for people, and no run is asked for."""
    if mode == "auto":
        return dict(differ)
    with ledger.reading() as connection:
        known = objects.fingerprints(connection, list(differ))
    takes = TAKEN[mode]

    def change(identity: str, fingerprint: str) -> str | None:
        if fingerprint == GONE:
            return REMOVED if identity in known else None  # what was held and went is let go of in every mode
        return CHANGED if identity in known else ADDED

    kinds = {identity: change(identity, fingerprint) for identity, (_, fingerprint) in differ.items()}
    kept = {identity: kind for identity, kind in kinds.items() if kind is not None and kind not in takes}
    out = as_touched(places, {identity: differ[identity] for identity in kept})
    cid = places[0].cid
    held = [HeldArrival(one.document_id, cid, one.partition, one.path, kept[one.document_id]) for one in out]
    keep_out_some(ledger, differ, held)
    return {identity: key for identity, key in differ.items() if identity not in kept}


def as_touched(places: Sequence[Partition], keys: Mapping[str, tuple[str, str]]) -> list[Touched]:
    """Keys that differ, each in the partition of its collection that it belongs to."""
    width = places[0].slot_high + 1 - places[0].slot_low
    return [
        Touched(identity, places[slot_of(identity) // width].key, path, fingerprint)
        for identity, (path, fingerprint) in keys.items()
    ]


def _looked(store: Arrivals, keys: Sequence[str]) -> dict[str, ObjectInfo | None]:
    with ThreadPoolExecutor(max(min(store.concurrency, len(keys)), 1), thread_name_prefix="look") as pool:
        return dict(zip(keys, pool.map(store.look, keys), strict=True))

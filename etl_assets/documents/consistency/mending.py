"""The single steps of a repair. Each is safe to take twice, and to be killed in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from etl_assets.documents.consistency.drift import Drift
from etl_assets.documents.consistency.file_checks import LostOriginal
from etl_assets.documents.consistency.store_checks import Differences, index_of, spaces_of
from etl_assets.documents.model import EMBEDDINGS
from etl_assets.errors import DataError, TransientError
from etl_assets.ledger import audits, memos
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.leases import Lease
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.segments import SegmentFile, end_outputs_of, record_rows, segment_files
from etl_assets.protocols.damage import DamagedError, Discardable
from etl_assets.protocols.indexes import IndexSpace
from etl_assets.stages.lake import SegmentLost

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform

NUMBERS_AT_ONCE = 1_000


def planned(drift: Drift) -> list[str]:
    """What one round of a repair does about a drift, in words."""
    return [*_planned_files(drift), *_planned_stores(drift)]


def _planned_files(drift: Drift) -> Iterator[str]:
    for lost in drift.originals.originals:
        yield f"originals: fetch {lost.original.path} from the object store again, if it still has these bytes"
    for one in drift.segments.segments:
        yield f"lake: strike out segment {one.file.key} and make its rows of {one.stage} again: {_named(one.paths)}"
    for path in drift.segments.unmade:
        yield f"lake: make the rows of {path} again"
    for key in drift.segments.strays:
        yield f"lake: delete the file {key}, which nothing names"


def _planned_stores(drift: Drift) -> Iterator[str]:
    for store in drift.damaged:
        yield f"{store}: remove the index, whose files cannot be read, and publish it anew from the lake"
    for store, one in drift.stores.items():
        yield from (f"{store}: remove the index {space.name}, which is of no generation" for space in one.foreign)
        for stranger in sorted(one.strangers, key=lambda one: (one.publication, one.document or "")):
            of = f" that are of document {stranger.document}" if stranger.document is not None else ""
            yield f"{store}: remove the rows of publication {stranger.publication}{of}"
        if one.unused_entities:
            yield f"{store}: remove the entities that no document mentions"
        if one.wrong:
            yield f"{store}: publish anew {_named(sorted(one.wrong_paths))}"


def _named(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:5])
    return shown if len(paths) <= 5 else f"{shown} and {len(paths) - 5:,} more"


def bring_back_original(platform: "Platform", partition: Partition, lost: LostOriginal) -> bool:
    """Fetch an original from the object store again; false when its key has other bytes now, or none.

    Raises:
        PermanentError: no space for it, or the object store refuses.
    """
    key = f"{partition.tenant}/{partition.collection}/{lost.original.path}"
    with platform.originals.scratch() as scratch:
        target = scratch / "original"
        try:
            fetched = platform.arrivals.fetch(key, target)
        except (FileNotFoundError, TransientError, DataError):
            return False
        if fetched.sha256 != lost.original.version:
            return False
        platform.originals.delete(lost.key)
        platform.originals.put(lost.key, target)
        return True


def strike_out_lost(platform: "Platform", lease: Lease, partition: Partition, segment_id: int) -> None:
    """Strike a segment out that cannot be read; values that other segments hold too will be read from those.

    Raises:
        LeaseLost: somebody else has the partition now.
    """
    with platform.ledger.reading() as connection:
        held = memos.keys_in(connection, segment_id)
        others = memos.segments_with(connection, held.producers, EMBEDDINGS.name, but=segment_id)
        places = segment_files(connection, [number for numbers in others.values() for number in numbers])
    found: list[tuple[str, int, list[bytes], int]] = []
    for (tenant, producer), keys in held.keys.items():
        wanted = set(keys)
        for number in others.get((tenant, producer), ()):
            if not wanted:
                break
            here = wanted & _keys_of(platform, number, places)
            found.append((tenant, producer, sorted(here), number))
            wanted -= here
    with lease.writing() as connection:
        for tenant, producer, again, number in found:
            record_rows(connection, tenant, producer, again, number)
        end_outputs_of(connection, partition, segment_id)


def _keys_of(platform: "Platform", segment_id: int, places: Mapping[int, SegmentFile]) -> set[bytes]:
    assert EMBEDDINGS.memo is not None
    try:
        rows = platform.lake.read_all(segment_id, places.get(segment_id), [EMBEDDINGS.memo.key])
    except SegmentLost:
        return set()
    return {bytes.fromhex(key) for key in rows[EMBEDDINGS.memo.key].to_list()}


def drop_damaged(platform: "Platform", partition: Partition, store: str) -> None:
    """Remove what cannot be read: those index spaces of the collection, or the whole graph if it lets itself be.

    What other partitions had in it is missing from then on, and their own repair publishes it anew.
    """
    if store == "graph":
        if isinstance(platform.stores.graph, Discardable):
            platform.stores.graph.discard()
        return
    index = index_of(platform, store)
    spaces = [space for space in spaces_of(platform, partition, store) if space is not None]
    unread = [space for space in spaces if not _can_be_read(platform, store, space)]
    for space in unread or spaces:
        index.drop(space)


def _can_be_read(platform: "Platform", store: str, space: IndexSpace) -> bool:
    try:
        for _ in index_of(platform, store).rows(space):
            pass
    except DamagedError:
        return False
    return True


def remove_strangers(platform: "Platform", partition: Partition, drift: Drift) -> int:
    """``remove_strangers_of`` every store that could be read; how many numbers went."""
    return sum(remove_strangers_of(platform, partition, store, one) for store, one in drift.stores.items())


def remove_strangers_of(platform: "Platform", partition: Partition, store: str, found: Differences) -> int:
    """Remove numbers that nobody shows or waits for, spaces of no generation, and entities without an edge.

    How many numbers went. One that the ledger has drawn or shown since stays.

    Raises:
        TransientError: the store did not remove them.
    """
    removed = 0
    for space in found.foreign:
        index_of(platform, store).drop(space)
    for place in {stranger.space for stranger in found.strangers}:
        mine = [one.publication for one in found.strangers if one.space == place and one.document is None]
        removed += _remove(platform, partition, store, place, mine)
    intruders = sorted((one.publication, one.document) for one in found.strangers if one.document is not None)
    for number, document in intruders:
        platform.stores.graph.remove(partition.tenant, partition.collection, [number], documents=[document])
    removed += len(intruders)
    if found.unused_entities:
        platform.stores.graph.sweep(partition.tenant)
    return removed


def _remove(
    platform: "Platform", partition: Partition, store: str, space: IndexSpace | None, numbers: Sequence[int]
) -> int:
    with platform.ledger.reading() as connection:
        used = audits.in_use(connection, partition.cid, numbers, None if space is None else space.generation)
    gone = sorted(set(numbers) - used)
    if space is None:
        graph = platform.stores.graph
        graph.remove(partition.tenant, partition.collection, gone)
        left = graph.counts(partition.tenant, partition.collection, gone)
    else:
        index_of(platform, store).remove(space, gone)
        left = index_of(platform, store).counts(space, gone)
    if left:
        raise TransientError(f"{store}: {len(left)} publications were not removed, the first is {min(left)}; run again")
    return len(gone)


def drop_unknown_collections(platform: "Platform", *, dry_run: bool) -> list[str]:
    """Remove what stores hold of collections that the ledger has never heard of; which, as ``vector index a.b.1``."""
    found = []
    for store in ("vector", "keyword"):
        index = index_of(platform, store)
        spaces = [*index.spaces()]
        known = _known_collections(platform)
        for space in spaces:
            if (space.tenant, space.collection) not in known:
                found.append(f"{store} index {space.name}")
                if not dry_run:
                    index.drop(space)
    return [*found, *_drop_unknown_edges(platform, dry_run=dry_run)]


def _drop_unknown_edges(platform: "Platform", *, dry_run: bool) -> Iterator[str]:
    graph = platform.stores.graph
    held = graph.collections()
    for tenant, collection in sorted(set(held) - _known_collections(platform)):
        yield f"graph edges of {tenant}/{collection}"
        if not dry_run:
            numbers = sorted({edge.publication for edge in graph.edges(tenant, collection)})
            for part in batches(numbers, NUMBERS_AT_ONCE):
                graph.remove(tenant, collection, part)
            graph.sweep(tenant)


def _known_collections(platform: "Platform") -> set[tuple[str, str]]:
    """Read after the store was listed: a collection that begins meanwhile is in the ledger first."""
    return {(one.tenant, one.collection) for one in partitions(platform.ledger)}

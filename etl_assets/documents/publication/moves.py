"""A store that the settings name elsewhere: what it held is published there, from the lake; the old place is left.

Indexes and the graph can be made again, so a partition's next run does that. Objects, originals and the lake cannot,
so a place of theirs that lacks what the ledger names is refused.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from etl_assets.documents.consistency.mending import remove_strangers_of
from etl_assets.documents.consistency.store_checks import compare_all
from etl_assets.documents.original_keys import original_key
from etl_assets.documents.publication.republication import republish
from etl_assets.errors import ConfigError
from etl_assets.ledger import files, places
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.leases import Lease
from etl_assets.ledger.publications import STORES

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform

FIXED = ("objects", "originals", "lake")


def moved_stores(platform: "Platform", partition: Partition) -> dict[str, str]:
    """Stores that a partition was published to at another place: store -> that place."""
    with platform.ledger.reading() as connection:
        known = places.places_of(connection, partition)
    return {store: place for store, place in known.items() if platform.places.get(store, place) != place}


def follow_moves(platform: "Platform", lease: Lease, partition: Partition) -> list[str]:
    """Publish what is visible to every store that is elsewhere now, and note where the stores are; what to tell.

    Killed, it is taken up by the next run: the new place is noted last. What the new place holds from an earlier time
    is cleared on the way.

    Raises:
        LeaseLost: somebody else has the partition now.
        TransientError, PermanentError: the new place does not answer, or refuses.
    """
    moved = moved_stores(platform, partition)
    wrong: set[int] = set()
    for store in moved:
        found = compare_all(platform, partition, store, lost=())
        remove_strangers_of(platform, partition, store, found)
        wrong |= found.wrong
    again = republish(platform, lease, partition, sorted(wrong)) if wrong else []
    here = {store: platform.places[store] for store in STORES if store in platform.places}
    with platform.ledger.reading() as connection:
        known = places.places_of(connection, partition)
        fixed = places.fixed_places(connection)
    fresh = {role: platform.places[role] for role in FIXED if platform.places.get(role) not in (None, fixed.get(role))}
    if known != here or fresh:
        with lease.writing() as connection:
            places.note_places(connection, partition, here)
            places.note_fixed_places(connection, fresh)
    return [
        f"the {store} index was at {place} and is at {platform.places[store]} now: {len(again):,} documents were "
        "published there; what the old place holds can be dropped"
        for store, place in moved.items()
    ]


def told_moves(platform: "Platform") -> list[str]:
    """What to tell people of stores that are elsewhere now, a line for each store and place."""
    with platform.ledger.reading() as connection:
        found = places.elsewhere(connection, platform.places)
    return [told_move(store, place, platform.places, len(keys)) for store, place, keys in _each(found)]


def told_move(store: str, place: str, now: Mapping[str, str], partitions: int) -> str:
    """One line on a store that was at ``place``."""
    return (
        f"the {store} index is set to {now[store]}, but {partitions:,} partitions were published to {place}: "
        "run etl-assets sync to publish them there"
    )


def _each(found: Mapping[str, Mapping[str, set[str]]]) -> Iterator[tuple[str, str, set[str]]]:
    for store, by_place in sorted(found.items()):
        for place, keys in sorted(by_place.items()):
            yield store, place, keys


def refuse_moved_files(platform: "Platform") -> None:
    """Objects, originals and lake are where they were, or were brought along: the newest of each is there.

    Raises:
        ConfigError: a place lacks what the ledger names: documents would seem deleted, or rows lost.
    """
    with platform.ledger.reading() as connection:
        known = places.fixed_places(connection)
        moved = [role for role in FIXED if platform.places.get(role, known.get(role)) != known.get(role, "")]
        moved = [role for role in moved if role in known]
        newest = files.newest(connection) if moved else None
    for role in moved:
        if newest is not None and not _holds(platform, role, newest):
            raise ConfigError(
                f"the {role} are set to {platform.places[role]}, but this installation's are at {known[role]}: "
                f"set it back, or copy everything there first, then run again"
            )


def _holds(platform: "Platform", role: str, newest: files.Newest) -> bool:
    if role == "objects":
        return newest.object_key is None or platform.arrivals.look(newest.object_key) is not None
    if role == "originals":
        tenant, document, version = newest.original
        return not document or platform.originals.exists(original_key(tenant, document, version))
    return newest.segment is None or platform.lake.blobs.exists(newest.segment)

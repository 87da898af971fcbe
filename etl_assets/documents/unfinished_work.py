"""What a run of a partition would find to do beside new arrivals, asked without taking its lease."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl_assets.documents.generations.in_use import Served, known_recipe
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.moves import moved_stores
from etl_assets.documents.publication.publisher import Target
from etl_assets.documents.upkeep import unfinished
from etl_assets.ledger import publications
from etl_assets.ledger.catalogue import Partition


@dataclass(frozen=True, slots=True)
class Pending:
    """Work of a partition that the ledger knows of. ``unfinished`` is stage -> documents, at most.

    ``moved`` are stores that are elsewhere than where the partition was published to.
    """

    unfinished: Mapping[str, int]
    unpublished: int
    removed: int
    unsettled: bool
    moved: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        unpublished = self.unpublished or self.removed or self.moved
        return bool(any(self.unfinished.values()) or unpublished or self.unsettled)


def pending_work(platform: Platform, place: Partition, served: Sequence[Served]) -> Pending:
    """Work that the ledger knows of, for the generations ``served``. It takes no lease and writes nothing."""
    targets = [Target(one.generation_id, known_recipe(platform, one), one.settings.publications) for one in served]
    with platform.ledger.reading() as connection:
        return Pending(
            unfinished=unfinished(connection, place, [one.recipe for one in targets]),
            unpublished=sum(
                len(publications.due(connection, place, one.recipe, one.generation_id, switches=one.switches))
                for one in targets
            ),
            removed=len(publications.removed(connection, place)),
            unsettled=publications.is_unsettled(connection, place),
            moved=tuple(moved_stores(platform, place)),
        )

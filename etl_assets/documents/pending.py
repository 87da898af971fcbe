"""Whether a partition may need a run although nothing arrived: asked before the dearer ``PartitionRun.pending``."""

from etl_assets.documents import upkeep
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.moves import moved_stores
from etl_assets.ledger import settled
from etl_assets.ledger.catalogue import Partition


def recipe_digest(run: PartitionRun) -> str:
    """Digest of what the results of the run's collection depend on beside its documents."""
    return upkeep.recipe_digest(run.in_use, run.settings)


def is_up_to_date(platform: Platform, partition: Partition) -> bool:
    """Whether the last run brought the partition up to date under today's recipe and nothing was changed since.

    Two rows of the ledger, whatever the number of documents.
    """
    digest = recipe_digest(reader(platform, partition))
    with platform.ledger.reading() as connection:
        known = settled.settled(connection).get(partition.key)
        settled_now = known == digest and partition.key not in settled.dirty(connection)
    return settled_now and not moved_stores(platform, partition)


def reader(platform: Platform, partition: Partition) -> PartitionRun:
    """A partition run that is only asked questions: it takes no lease."""
    return PartitionRun(platform, partition.key, run_id="reader")

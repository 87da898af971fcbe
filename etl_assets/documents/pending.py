"""Whether a partition may need a run although nothing arrived: asked before the dearer ``PartitionRun.pending``."""

from dataclasses import asdict

from etl_assets.documents.moves import moved_stores
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.ledger import settled
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import digest_of


def recipe_digest(run: PartitionRun) -> str:
    """Digest of all that the results of a collection depend on beside its documents: generations, producers, switches.

    And of how it is decided which generation answers: when that changes, a run has to look again.
    """
    catalogue = run.platform.catalogue().digest
    made = [
        [
            one.generation_id, [stage.producer(parameters) for stage, parameters in one.parameters(catalogue).values()],
            dict(one.settings.publications.parameters()),
        ]
        for one in sorted(run.in_use.served, key=lambda one: one.generation_id)
    ]  # fmt: skip
    candidates = [one.generation_id for one in run.in_use.served if one.state == "building"]
    return digest_of([made, sorted(run.in_use.problems), candidates and asdict(run.settings.generations)])


def settle(run: PartitionRun) -> None:
    """Note that the partition is up to date under its recipe; what is noted already is not written again.

    Not while documents of a generation that is being built are left for the next run.
    """
    if run.left:
        return
    digest = recipe_digest(reader(run.platform, run.partition))
    with run.platform.ledger.reading() as connection:
        known = settled.settled(connection).get(run.partition.key)
    if known != digest:
        with run.lease.writing() as connection:
            settled.settle(connection, run.partition.key, digest)


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

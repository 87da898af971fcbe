"""What a run has to look at in its partition, and when that partition is up to date.

A run of a partition that is up to date asks only about documents that somebody named as changed since; one under
another recipe, or after a change of which nobody can say whom it concerns, asks about all of them.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from etl_assets.documents.generations.in_use import InUse, distinct
from etl_assets.documents.parameters import CollectionSettings
from etl_assets.ledger import outputs, settled
from etl_assets.ledger.catalogue import LOOKING, Partition
from etl_assets.ledger.database import Ledger, digest_of
from etl_assets.ledger.leases import Lease
from etl_assets.ledger.outputs import Recipe


def recipe_digest(in_use: InUse, settings: CollectionSettings) -> str:
    """Digest of all that the results of a collection depend on beside its documents: generations, producers, switches.

    And of how it is decided which generation answers: when that changes, a run has to look again.
    """
    made = [
        [
            one.generation_id, [stage.producer(parameters) for stage, parameters in one.parameters().values()],
            dict(one.settings.publications.parameters()),
        ]
        for one in sorted(in_use.served, key=lambda one: one.generation_id)
    ]  # fmt: skip
    candidates = [one.generation_id for one in in_use.served if one.state == "building"]
    return digest_of([made, sorted(in_use.problems), candidates and asdict(settings.generations)])


def to_look_at(ledger: Ledger, lease: Lease, partition: Partition, recipe: str) -> Partition:
    """The partition, or only what changed of it, for a run that has just begun under ``recipe``, a digest."""
    with ledger.reading() as connection:
        known = settled.upkeep(connection, partition.key)
    if known.is_kept(recipe):
        return replace(partition, only_changed=True)
    if known.look_at != LOOKING:
        with lease.writing() as connection:
            settled.look_at_all(connection, partition.key)
    return partition


def settle(
    ledger: Ledger, lease: Lease, partition: Partition, recipes: Sequence[Recipe], *, begun_under: str, now_under: str
) -> None:
    """Note that a partition is up to date, if nothing of what the run looked at is unfinished.

    Both are digests of recipes: of when the run began, and of now, which differs after a promotion. What is noted
    already is not written again.
    """
    with ledger.reading() as connection:
        known = settled.upkeep(connection, partition.key)
        if known.is_kept(now_under) and not known.has_changed:
            return
        if any(unfinished(connection, partition, recipes).values()):
            return
    with lease.writing() as connection:
        settled.settle(connection, partition.key, now_under, begun_under)


def unfinished(connection: Any, place: Partition, recipes: Sequence[Recipe]) -> dict[str, int]:
    """Documents without an output, by stage, over every way in which a stage's rows are made."""
    counts: dict[str, int] = {}
    for at, recipe in enumerate(recipes):
        found = outputs.unfinished(connection, place, recipe)
        for stage in recipe:
            counts.setdefault(stage, 0)
            if at in distinct(recipes, stage):
                counts[stage] += found[stage]
    return counts

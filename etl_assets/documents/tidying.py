"""What a run clears away after its commit: what no generation wants and no search can read any more."""

import time
from collections.abc import Sequence

from etl_assets.documents.model import STAGES
from etl_assets.documents.publication.publisher import CommitReport, Publisher
from etl_assets.documents.stage_work import StageWork
from etl_assets.ledger.generations import generations
from etl_assets.ledger.outputs import Recipe
from etl_assets.stages import housekeeping


def tidy(works: Sequence[StageWork], publisher: Publisher, report: CommitReport, *, grace_s: float) -> None:
    """End what is unwanted, merge segments, collect what is dead, if anything changed since the last time.

    ``works``: the generations of the run, the live one first. ``grace_s``: how long a search may go on; what one may
    still read is waited for, which ``report`` tells.
    """
    work = works[0].work
    if not housekeeping.is_dirty(work):
        return
    names = [stage.name for stage in STAGES]
    housekeeping.drop_unwanted(work, _wanted_recipes(works))
    housekeeping.compact(work, names)
    publisher.optimise()
    report.waited_s = max(publisher.seconds_to_wait(), housekeeping.seconds_to_wait(work, grace_s=grace_s))
    time.sleep(report.waited_s)
    report.collected = publisher.collect()
    housekeeping.delete_dead_segments(work, grace_s=grace_s)
    housekeeping.delete_strays(work, names)
    publisher.drop_retired()
    housekeeping.mark_clean(work)


def _wanted_recipes(works: Sequence[StageWork]) -> list[Recipe]:
    """Of the generations still in use: a promotion just now may have retired some."""
    work = works[0].work
    with work.ledger.reading() as connection:
        known = generations(connection, work.partition.cid)
    return [one.work.recipe for one in works if one.served.generation_id in known]

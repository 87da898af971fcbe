"""Making the stores of one partition equal to the ledger again, from the lake: nothing is embedded for it.

What can be read stays; rows that are missing or altered are published anew with their whole document, under a fresh
number; rows under numbers that nobody shows or waits for are removed. Only what the lake itself has lost is computed
again, and only bytes that the originals have lost are fetched again. Each step may be killed and the repair run again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from etl_assets.documents.consistency.drift import Drift, find_drift
from etl_assets.documents.consistency.mending import (
    bring_back_original,
    drop_damaged,
    planned,
    remove_strangers,
    strike_out_lost,
)
from etl_assets.documents.consistency.store_checks import index_of, spaces_of
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.publication.republication import republish
from etl_assets.errors import EtlAssetsError
from etl_assets.ledger import files, repairs, republications
from etl_assets.ledger.catalogue import Partition
from etl_assets.stages.lake import SegmentLost
from etl_assets.stages.report import Watcher, ignore

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform

ROUNDS = 4
"""What a repair uncovers, such as the rows of an index that it had to drop, is mended in the next round."""


@dataclass(slots=True)
class RepairReport:
    """What was found, done and left. ``done`` is in words; in a dry run it is what would be done.

    ``recomputed`` is stage -> documents whose rows the lake had lost; ``embedded`` counts texts that a model embedded.
    """

    partition: str
    found: dict[str, dict[str, int]] = field(default_factory=dict)
    differences: dict[str, list[str]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    republished: int = 0
    removed: int = 0
    recomputed: dict[str, int] = field(default_factory=dict)
    embedded: int = 0
    seconds: float = 0.0
    given_up: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values, for listings."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def repair(
    platform: "Platform", partition: Partition, *, run_id: str, dry_run: bool = False, wait_s: float = 30.0,
    watch: Watcher = ignore,
) -> RepairReport:  # fmt: skip
    """Mend what differs in one partition, and look again. Without a difference nothing is written, and no lease taken.

    ``wait_s`` is how long to wait for whoever works on the partition. ``dry_run`` writes nothing at all.

    Raises:
        TransientError, PermanentError: a store does not answer or refuses, or somebody else has the partition; that
            counts as an attempt of which ``ledger.repairs`` knows.
    """
    started = time.monotonic()
    report = RepairReport(partition.key)
    drift = _looked_at(platform, partition)
    report.found, report.differences = drift.counts(), drift.by_store()
    if dry_run:
        report.done, report.left = planned(drift), drift.lines()
    elif drift:
        _repair(platform, partition, drift, report, run_id=run_id, wait_s=wait_s, watch=watch)
    else:
        _forget(platform, partition)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def rebuild(platform: "Platform", partition: Partition, store: str, *, run_id: str, wait_s: float = 30.0) -> int:
    """Publish everything anew, from the lake, that a partition has in a store; how many documents.

    The new rows are written beside the old ones, which answer until the commit. A number is one for all stores, so
    the others are written too.

    Raises:
        TransientError, PermanentError: as for ``repair``.
    """
    with PartitionRun(platform, partition.key, run_id=run_id, wait_s=wait_s) as run:
        run.lease.begin_step("repair")
        with platform.ledger.reading() as connection:
            wanted = [one.publication for one in republications.shown(connection, partition) if store in one.counts]
        done = republish(platform, run.lease, partition, wanted) if wanted else []
        run.published_documents()
    if store != "graph":
        for space in spaces_of(platform, partition, store):
            if space is not None:
                index_of(platform, store).optimise(space, now=True)
    return len(done)


def note_drift(platform: "Platform", partition: Partition) -> bool:
    """Look at everything and enter what differs, for repairs that start by themselves; whether anything does."""
    drift = find_drift(platform, partition)
    if drift:
        with platform.ledger.writing() as connection:
            repairs.note_found(connection, partition.key, drift.digest(), drift.lines()[0])
    return bool(drift)


def _repair(
    platform: "Platform", partition: Partition, drift: Drift, report: RepairReport, *, run_id: str, wait_s: float,
    watch: Watcher,
) -> None:  # fmt: skip
    if drift.is_ahead:
        with platform.ledger.writing() as connection:
            files.move_counters_ahead(connection)
    with PartitionRun(platform, partition.key, run_id=run_id, wait_s=wait_s, watch=watch) as run:
        run.lease.begin_step("repair")
        digest = drift.digest()
        with platform.ledger.writing() as connection:
            repairs.note_begun(connection, partition.key, digest, drift.lines()[0])
        try:
            drift = _mended(run, drift, report)
        except EtlAssetsError as error:
            with platform.ledger.writing() as connection:
                repairs.note_left(connection, partition.key, digest, str(error))
            raise
    report.left = drift.lines()
    if not drift:
        _forget(platform, partition)
        return
    with platform.ledger.writing() as connection:
        known = repairs.note_left(connection, partition.key, drift.digest(), report.left[0])
    report.given_up = known.is_given_up


def _mended(run: PartitionRun, drift: Drift, report: RepairReport) -> Drift:
    """Mend in rounds until nothing differs, or a round left what it found."""
    for _ in range(ROUNDS):
        before = drift.digest()
        report.done += [line for line in planned(drift) if line not in report.done]
        try:
            _mend(run, drift, report)
        except SegmentLost as lost:
            strike_out_lost(run.platform, run.lease, run.partition, lost.segment_id)
        drift = find_drift(run.platform, run.partition)
        if not drift or drift.digest() == before:
            break
    return drift


def _mend(run: PartitionRun, drift: Drift, report: RepairReport) -> None:
    """One round. Bytes first, since the lake may be made from them; the stores last, since they are made from it."""
    platform, place = run.platform, run.partition
    run.lease.begin_step("repair")
    for lost in drift.originals.originals:
        bring_back_original(platform, place, lost)
    for segment in drift.segments.segments:
        strike_out_lost(platform, run.lease, place, segment.file.segment_id)
    for key in drift.segments.strays:
        platform.lake.blobs.delete(key)
    for store in drift.damaged:
        drop_damaged(platform, place, store)
    report.removed += remove_strangers(platform, place, drift)
    if drift.segments.segments or drift.segments.unmade:
        _recompute(run, report)
    run.lease.begin_step("repair")
    report.republished += len(republish(platform, run.lease, place, sorted(drift.wrong)))
    run.published_documents()


def _recompute(run: PartitionRun, report: RepairReport) -> None:
    """Make again what the lake has lost. Publications of the same contents then rest on the new rows."""
    for step in run.stages:
        made = step()
        if made.computed or made.reused:
            report.recomputed[made.stage] = report.recomputed.get(made.stage, 0) + made.computed + made.reused
    report.embedded += _rows_embedded(run.report)
    run.published_documents()


def _rows_embedded(steps: Mapping[str, Any]) -> int:
    return int(dict(steps.get("embeddings") or {}).get("rows_computed", 0))


def _looked_at(platform: "Platform", partition: Partition) -> Drift:
    """The drift; that it cannot be found out counts as an attempt, if it is known that there is one."""
    try:
        return find_drift(platform, partition)
    except EtlAssetsError as error:
        with platform.ledger.reading() as connection:
            known = repairs.differing(connection, partition.key)
        if known:
            with platform.ledger.writing() as connection:
                repairs.note_begun(connection, partition.key, known[0].digest, str(error))
        raise


def _forget(platform: "Platform", partition: Partition) -> None:
    with platform.ledger.reading() as connection:
        known = repairs.differing(connection, partition.key)
    if known:
        with platform.ledger.writing() as connection:
            repairs.note_repaired(connection, partition.key)

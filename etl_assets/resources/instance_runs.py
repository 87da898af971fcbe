"""Runs as one Dagster instance knows them: those that wait in its queue or are being started, and stopping one."""

from dataclasses import dataclass

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError

from etl_assets.asset_keys import HELD, HELD_TAG, SOURCE_TAG
from etl_assets.documents.partitions import PARTITION_TAG, is_ingestion, origin_of
from etl_assets.documents.run_states import UNFINISHED
from etl_assets.ledger.runs import Origin

NOT_BEGUN = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]


@dataclass(frozen=True, slots=True)
class InstanceRun:
    """One ingestion run of Dagster's. ``state`` is Dagster's, in small letters; times are Unix seconds UTC.

    ``is_held``: it is not begun as long as it is paused. ``is_ours``: a command does it in a process of its own.
    """

    run_id: str
    partition: str
    state: str
    origin: Origin
    created_at: float
    is_held: bool
    is_ours: bool
    is_over: bool


def unfinished_runs(instance: dg.DagsterInstance) -> list[InstanceRun]:
    """Ingestion runs that have not ended, the newest first."""
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    return [_as_run(record) for record in records if is_ingestion(record.dagster_run)]


def runs_named(instance: dg.DagsterInstance, name: str) -> list[InstanceRun]:
    """Ingestion runs that have not ended whose id, or whose backfill's id, begins so; one that has, by its whole id."""
    found = [one for one in unfinished_runs(instance) if one.run_id.startswith(name) or _is_in(one, name)]
    record = None if found else instance.get_run_record_by_id(name)
    return found if record is None or not is_ingestion(record.dagster_run) else [_as_run(record)]


def cancel(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Take a run out of the queue, or tell whoever executes it to stop; whether Dagster could."""
    try:
        return bool(instance.run_coordinator.cancel_run(run_id))
    except DagsterUserCodeUnreachableError:  # the code server that started it is gone
        return False


def _is_in(run: InstanceRun, batch: str) -> bool:
    return run.origin.batch is not None and run.origin.batch.startswith(batch)


def _as_run(record: dg.RunRecord) -> InstanceRun:
    run = record.dagster_run
    return InstanceRun(
        run.run_id, run.tags[PARTITION_TAG], run.status.value.lower(), origin_of(run),
        record.create_timestamp.timestamp(), run.tags.get(HELD_TAG) == HELD, SOURCE_TAG in run.tags, run.is_finished,
    )  # fmt: skip

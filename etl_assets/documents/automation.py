"""When documents are processed: the sensors and schedules that start the jobs of ``jobs.py``."""

import time
from collections.abc import Sequence

import dagster as dg

from etl_assets.asset_keys import (
    DOCUMENT_SHARDS,
    INGEST_JOB,
    INTAKE_TAG,
    REPAIR_JOB,
    TOUCHED,
)
from etl_assets.documents.arrivals.event_watch import Heard, watch_events
from etl_assets.documents.arrivals.watch import ArrivalStore, Cursor, Wanted, watch
from etl_assets.documents.backups.backup import BackupTargets
from etl_assets.documents.jobs import back_up, prune_history, verify_documents
from etl_assets.documents.partitions import (
    control_tags,
    document_shards,
    follow_controls,
    run_tags,
)
from etl_assets.documents.run_states import InstanceRuns
from etl_assets.failures import without_secrets
from etl_assets.ledger import repairs
from etl_assets.ledger.controls import Controls, controls

SHOWN = 20
REPAIRS_INTERVAL_S = 60
EVENTS_INTERVAL_S = 10
"""The time between two looks into the queue of events."""
TICK_INTERVAL_S = 5
"""The shortest time between two looks that may be set. Loading definitions reads no setting, so a tick that comes
before ETL_ARRIVALS_INTERVAL_S has passed is skipped, and opens nothing.
"""


@dg.schedule(
    name="daily_verification", job=verify_documents, cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)  # fmt: skip
def daily_verification(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Reads everything that every partition has, once a day. What differs is entered for ``document_repairs``."""
    day = context.scheduled_execution_time.date().isoformat()
    keys = sorted(context.instance.get_dynamic_partitions(DOCUMENT_SHARDS))
    return [dg.RunRequest(run_key=f"verify:{day}:{key}", partition_key=key, tags=run_tags(key)) for key in keys]


@dg.schedule(
    name="daily_pruning", job=prune_history, cron_schedule="30 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)  # fmt: skip
def daily_pruning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Applies every collection's retention, once a day."""
    return dg.RunRequest(run_key=f"prune:{context.scheduled_execution_time.date().isoformat()}")


@dg.schedule(
    name="daily_backup", job=back_up, cron_schedule="0 2 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)  # fmt: skip
def daily_backup(
    context: dg.ScheduleEvaluationContext, backup_targets: dg.ResourceParam[BackupTargets]
) -> dg.RunRequest | dg.SkipReason:
    """Backs up once a day, where targets are set."""
    if not backup_targets.names():
        return dg.SkipReason("no target is set (ETL_BACKUP_TARGETS)")
    return dg.RunRequest(run_key=f"backup:{context.scheduled_execution_time.date().isoformat()}")


@dg.sensor(
    name="document_repairs", job_name=REPAIR_JOB, minimum_interval_seconds=REPAIRS_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.STOPPED,
)  # fmt: skip
def document_repairs(context: dg.SensorEvaluationContext, arrivals: dg.ResourceParam[ArrivalStore]) -> dg.SensorResult:
    """Starts a repair of each partition that a verification found to differ: at most three of the same differences."""
    platform = arrivals.platform
    with platform.ledger.reading() as connection:
        due, known = repairs.due(connection), repairs.differing(connection)
    busy = InstanceRuns(context.instance, platform).busy()
    wanted = [one for one in due if one.partition not in busy]
    given_up = [f"{one.partition} still differs after {one.attempts} repairs: {one.problem}" for one in known
                if one.is_given_up]  # fmt: skip
    for line in given_up:
        context.log.error(without_secrets(line))
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"repair:{one.partition}:{one.digest}:{one.attempts}:{one.found_at:.0f}",
                partition_key=one.partition, tags=run_tags(one.partition),
            )
            for one in wanted
        ],
        skip_reason=None if wanted else f"nothing to repair now; {len(given_up)} partitions need a person",
    )  # fmt: skip


@dg.sensor(
    name="document_arrivals", job_name=INGEST_JOB, minimum_interval_seconds=TICK_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
)  # fmt: skip
def document_arrivals(context: dg.SensorEvaluationContext, arrivals: dg.ResourceParam[ArrivalStore]) -> dg.SensorResult:
    """Starts one run for each partition whose documents changed, or whose work was left undone."""
    cursor = Cursor.read(context.cursor)
    if not cursor.is_due(time.time(), arrivals.interval_s):
        return dg.SensorResult(skip_reason=f"looked less than {arrivals.interval_s} s ago", cursor=context.cursor)
    platform = arrivals.platform
    now = controls(platform.ledger)
    follow_controls(context.instance, now)  # whoever paused or resumed may have died before the queue was told
    wanted = watch(platform, InstanceRuns(context.instance, platform), resume=cursor.resume)
    problems = [without_secrets(problem) for problem in wanted.problems]
    for problem in problems:
        context.log.error(problem)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=one.run_key,
                partition_key=one.partition,
                tags=_tags(now, one.partition, only_touched=one.partition in wanted.few),
            )
            for one in wanted.requests
        ],
        skip_reason=None if wanted.requests else _skip_reason(wanted, problems),
        dynamic_partitions_requests=_new_partitions(context.instance, wanted.partitions),
        cursor=Cursor(wanted.resume, time.time()).written(),
    )


@dg.sensor(
    name="document_events", job_name=INGEST_JOB, minimum_interval_seconds=EVENTS_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
)  # fmt: skip
def document_events(context: dg.SensorEvaluationContext, arrivals: dg.ResourceParam[ArrivalStore]) -> dg.SensorResult:
    """Starts one run for each partition that events in a queue tell of; it takes in the keys they name, and no more."""
    if arrivals.events is None:
        return dg.SensorResult(skip_reason="no queue of events is set (ETL_S3_EVENTS_QUEUE_URL)")
    platform = arrivals.platform
    heard = watch_events(platform, InstanceRuns(context.instance, platform), arrivals.events)
    now = controls(platform.ledger)
    problems = [without_secrets(problem) for problem in heard.problems]
    for problem in problems:
        context.log.error(problem)
    if heard.messages:
        context.log.info(_heard(heard))
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=one.run_key, partition_key=one.partition, tags=_tags(now, one.partition, only_touched=True)
            )
            for one in heard.requests
        ],
        skip_reason=None if heard.requests else "; ".join([_heard(heard), *problems]),
        dynamic_partitions_requests=_new_partitions(context.instance, sorted(heard.partitions)),
    )


def _tags(controls: Controls, partition: str, *, only_touched: bool) -> dict[str, str]:
    return run_tags(partition) | control_tags(controls, partition) | ({INTAKE_TAG: TOUCHED} if only_touched else {})


def _heard(heard: Heard) -> str:
    parts = {
        "messages": heard.messages, "keys to take in": heard.differed, "known already": heard.same,
        "in no collection": heard.outside, "strange messages": heard.strange, "not taken out": heard.left,
        "partitions with work that are paused": len(heard.paused),
    }  # fmt: skip
    return ", ".join(f"{count} {name}" for name, count in parts.items()) + (", more to come" if heard.has_more else "")


def _new_partitions(instance: dg.DagsterInstance, keys: Sequence[str]) -> list[dg.AddDynamicPartitionsRequest]:
    fresh = sorted(set(keys) - set(instance.get_dynamic_partitions(DOCUMENT_SHARDS)))
    return [document_shards.build_add_request(fresh)] if fresh else []


def _skip_reason(wanted: Wanted, problems: Sequence[str]) -> str:
    if problems:
        return "could not look everywhere: " + "; ".join(problems)
    if wanted.paused:
        return f"paused, with work that waits: {', '.join(sorted(wanted.paused)[:SHOWN])}"
    return f"nothing to do in {len(wanted.partitions)} partitions; {wanted.held} keys cannot name a document"

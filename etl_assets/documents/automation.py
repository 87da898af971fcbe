"""When documents are processed: the sensors of arrivals, and the jobs that they and people start."""

import json
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from etl_assets.asset_keys import (
    BACKUP_JOB,
    DOCUMENT_SHARDS,
    GENERATION_BUILD_JOB,
    GENERATION_COMPARE_JOB,
    GENERATION_PROMOTE_JOB,
    INGEST_JOB,
    INTAKE_TAG,
    PLAN_JOB,
    PRUNE_JOB,
    PUBLISHED_DOCUMENTS,
    REPAIR_JOB,
    TOUCHED,
    VERIFY_JOB,
)
from etl_assets.documents import generation_work, retention
from etl_assets.documents.arrival_watch import ArrivalStore, Cursor, Wanted, watch
from etl_assets.documents.assets import DOCUMENT_ASSETS, backups, repaired_indexes
from etl_assets.documents.backup import BackupTargets
from etl_assets.documents.checks import DOCUMENT_CHECKS, every_check
from etl_assets.documents.event_watch import Heard, watch_events
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.partitions import (
    PARTITION_TAG,
    control_tags,
    document_shards,
    follow_controls,
    run_tags,
)
from etl_assets.documents.plan import plan_collection, trying
from etl_assets.documents.platform import Platform
from etl_assets.documents.verification import WHOLE_READS
from etl_assets.failures import reports_failures, without_secrets
from etl_assets.ledger import repairs, settled
from etl_assets.ledger.catalogue import partitions
from etl_assets.ledger.controls import Controls, controls
from etl_assets.protocols.comparison import Judgement

RUN_KEY_TAG = "dagster/run_key"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip
CODE_SERVER_TAG = ".dagster/grpc_info"
"""Where the code server is that started a run, as Dagster's own launcher notes it."""
SILENT_S = {dg.DagsterRunStatus.STARTING: 15.0, dg.DagsterRunStatus.STARTED: 300.0, dg.DagsterRunStatus.CANCELING: 15.0}
"""A code server that was replaced ends after its runs and listens no more meanwhile: they are silent for less."""
SHOWN = 20
REPAIRS_INTERVAL_S = 60
EVENTS_INTERVAL_S = 10
"""The time between two looks into the queue of events."""
TICK_INTERVAL_S = 5
"""The shortest time between two looks that may be set. Loading definitions reads no setting, so a tick that comes
before ETL_ARRIVALS_INTERVAL_S has passed is skipped, and opens nothing.
"""

_DOCUMENTS = dg.AssetSelection.assets(*DOCUMENT_ASSETS) - dg.AssetSelection.checks(
    *(one for one in DOCUMENT_CHECKS if one.check_key.name in WHOLE_READS)
)

# In one process: 2 to 3 CPU-seconds of overhead for a run, against 16 to 22 with a process for each step.
ingest_documents = dg.define_asset_job(
    INGEST_JOB, selection=_DOCUMENTS, executor_def=dg.in_process_executor,
    description="Brings one partition up to date: takes in what arrived, computes what is missing, publishes it.",
    # A run that died is started again; one in which a step failed is not, whatever the instance is set to. From its
    # first step: what a step staged under the dead run's lease is abandoned, so skipping it would publish nothing.
    tags={"dagster/retry_on_asset_or_op_failure": "false", "dagster/retry_strategy": "ALL_STEPS"},
)  # fmt: skip


@dg.job(
    name=VERIFY_JOB, partitions_def=document_shards, executor_def=dg.in_process_executor,
    description="Reads everything a partition has, in the lake and in every store, and changes nothing.",
)  # fmt: skip
def verify_documents() -> None:
    """Every check of one partition."""
    every_check()


class ChosenCollection(dg.Config):
    """One collection, and how its new index differs: settings that are not those of collections.yaml."""

    collection: str = Field(description="TENANT/COLLECTION")
    settings: dict[str, str] = Field(default={}, description="Of a new index, for example embedder.kind: static")
    accept_missing: bool = Field(
        default=False, description="Promote although documents are in quarantine under the other settings"
    )

    @property
    def place(self) -> tuple[str, str]:
        """(tenant, collection)."""
        tenant, _, collection = self.collection.partition("/")
        return tenant, collection


def _observed(context: dg.OpExecutionContext, record: Mapping[str, Any]) -> None:
    """The figures, where people look for them: at the asset that searches answer from."""
    shown = {"index_generations": dg.MetadataValue.json(dict(record))}
    context.log_event(dg.AssetObservation(asset_key=PUBLISHED_DOCUMENTS, metadata=shown))


@dg.op
@reports_failures
def begin_generation(
    context: dg.OpExecutionContext, config: ChosenCollection, partition_runs: dg.ResourceParam[PartitionRuns]
) -> None:
    """Begin another index; the arrival sensor starts the runs that build it, since its partitions have work now."""
    number = generation_work.begin(partition_runs.platform, *config.place, config.settings)
    context.log.info(f"index generation {number} of {config.collection} is being built")


@dg.op
@reports_failures
def compare_generations(
    context: dg.OpExecutionContext, config: ChosenCollection, partition_runs: dg.ResourceParam[PartitionRuns]
) -> None:
    """Put what is being built beside what answers."""
    _observed(context, generation_work.compare(partition_runs.platform, *config.place, Judgement()).as_json())


@dg.op
@reports_failures
def promote_generation(
    context: dg.OpExecutionContext, config: ChosenCollection, partition_runs: dg.ResourceParam[PartitionRuns]
) -> None:
    """Let what was built answer.

    Raises:
        Failure: it is worse than the collection's settings allow.
    """
    verdict = generation_work.promote(
        partition_runs.platform, *config.place, Judgement(), accept_missing=config.accept_missing
    )
    _observed(context, verdict.as_json())
    if not verdict.passed:
        raise dg.Failure(f"{config.collection}: not promoted: {'; '.join(verdict.reasons)}", allow_retries=False)


@dg.job(name=GENERATION_BUILD_JOB, executor_def=dg.in_process_executor)
def generation_build() -> None:
    """Builds another index of a collection beside the one that answers."""
    begin_generation()


@dg.job(name=GENERATION_COMPARE_JOB, executor_def=dg.in_process_executor)
def generation_compare() -> None:
    """Compares the index that is being built with the one that answers."""
    compare_generations()


@dg.job(name=GENERATION_PROMOTE_JOB, executor_def=dg.in_process_executor)
def generation_promote() -> None:
    """Lets the index that was built answer, unless it compares badly."""
    promote_generation()


# Off until a person turns it on: it reads everything that is stored, which hosted backends count.
repair_documents = dg.define_asset_job(
    REPAIR_JOB, selection=dg.AssetSelection.assets(repaired_indexes).without_checks(),
    executor_def=dg.in_process_executor,
    description="Makes every store of one partition equal to the ledger again, from the lake; nothing is embedded.",
    tags={"dagster/retry_on_asset_or_op_failure": "false", "dagster/retry_strategy": "ALL_STEPS"},
)  # fmt: skip


@dg.schedule(
    name="daily_verification", job=verify_documents, cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)  # fmt: skip
def daily_verification(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Reads everything that every partition has, once a day. What differs is entered for ``document_repairs``."""
    day = context.scheduled_execution_time.date().isoformat()
    keys = sorted(context.instance.get_dynamic_partitions(DOCUMENT_SHARDS))
    return [dg.RunRequest(run_key=f"verify:{day}:{key}", partition_key=key, tags=run_tags(key)) for key in keys]


@dg.op
@reports_failures
def plan_runs(
    context: dg.OpExecutionContext, config: ChosenCollection, partition_runs: dg.ResourceParam[PartitionRuns]
) -> None:
    """Attach what the next runs of a collection would do, take and cost; ``settings`` are tried, not decided."""
    platform = trying(partition_runs.platform, *config.place, config.settings)
    plan = plan_collection(platform, *config.place)
    names = ("stage", "documents", "rows", "rows_computed", "tokens", "calls", "seconds", "money")
    records = [dg.TableRecord({name: one.as_json()[name] for name in names}) for one in plan.stages]
    kinds = {"stage": "string", "seconds": "float", "money": "float"}
    columns = [dg.TableColumn(name, kinds.get(name, "int")) for name in names]
    context.add_output_metadata(
        {"steps": dg.MetadataValue.table(records, schema=dg.TableSchema(columns)),
         "plan": dg.MetadataValue.json(plan.as_json()), "over budget": plan.budget or "no"}
    )  # fmt: skip


@dg.job(name=PLAN_JOB, executor_def=dg.in_process_executor)
def plan_documents() -> None:
    """Tells what the next runs of a collection would do, what that takes and costs, and why. It changes nothing."""
    plan_runs()


@dg.op
@reports_failures
def prune_collections(context: dg.OpExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]) -> None:
    """Apply every collection's retention."""
    platform = partition_runs.platform
    done = retention.prune_history(platform, partitions(platform.ledger))
    context.add_output_metadata(
        {"expired documents": done.expired, "old originals": done.originals, "rows": sum(done.rows.values()),
         "certificates": dg.MetadataValue.json(done.certificates)}
    )  # fmt: skip


@dg.job(name=PRUNE_JOB, executor_def=dg.in_process_executor)
def prune_history() -> None:
    """Deletes documents past their age, and removes versions, runs and rows that were kept long enough."""
    prune_collections()


@dg.schedule(
    name="daily_pruning", job=prune_history, cron_schedule="30 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)  # fmt: skip
def daily_pruning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Applies every collection's retention, once a day."""
    return dg.RunRequest(run_key=f"prune:{context.scheduled_execution_time.date().isoformat()}")


back_up = dg.define_asset_job(
    BACKUP_JOB, selection=dg.AssetSelection.assets(backups), executor_def=dg.in_process_executor,
    description="Makes one backup in every target of ETL_BACKUP_TARGETS and prunes old ones.",
)  # fmt: skip


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


class InstanceRuns:
    """``RunStates`` of one Dagster instance."""

    def __init__(self, instance: dg.DagsterInstance, platform: Platform) -> None:
        self._instance = instance
        self._platform = platform

    def outcome(self, run_key: str) -> bool | None:
        """See ``RunStates.outcome``. A run that the daemon started again counts by its newest attempt."""
        runs = self._instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: run_key}), limit=1)
        if not runs:
            raise LookupError(run_key)
        return runs[0].is_success if runs[0].is_finished else None

    def busy(self) -> frozenset[str]:
        """See ``RunStates.busy``. Runs whose process died are reported as failed first, and do not count."""
        with self._platform.ledger.reading() as connection:
            expired, holding = settled.expired_runs(connection), settled.holding_runs(connection)
        busy: set[str] = set()
        for record in self._instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
            run = record.dagster_run
            if run.run_id in expired:
                self._instance.report_run_failed(run, "The run's process died: its lease was not renewed any more.")
            elif run.run_id not in holding and self._is_orphan(record):
                self._instance.report_run_failed(run, "The run's process died before it took its partition.")
            elif PARTITION_TAG in run.tags:
                busy.add(run.tags[PARTITION_TAG])
        return frozenset(busy)

    def _is_orphan(self, record: dg.RunRecord) -> bool:
        """Whether a run without a lease has been silent for long and the code server that started it is gone.

        Of a run that holds a lease the ledger tells; of one that has not got so far, or never takes one, nothing else
        does: it would keep its partition busy for ever.
        """
        silent_for_s = SILENT_S.get(record.dagster_run.status)
        server = record.dagster_run.tags.get(CODE_SERVER_TAG)
        if silent_for_s is None or server is None or _answers(json.loads(server)):
            return False
        newest = self._instance.all_logs(record.dagster_run.run_id)[-1:]
        last = newest[0].timestamp if newest else record.create_timestamp.timestamp()
        return time.time() - last > silent_for_s


def _answers(server: Mapping[str, Any]) -> bool:
    """Whether anybody listens at the address that Dagster noted of a code server."""
    family = socket.AF_UNIX if server.get("socket") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(server.get("socket") or (server["host"], server["port"]))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # who knows: another machine's, or too busy to answer
            return True
        return True


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

"""The jobs that sensors, schedules and people start."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from etl_assets.asset_keys import (
    BACKUP_JOB,
    GENERATION_BUILD_JOB,
    GENERATION_COMPARE_JOB,
    GENERATION_PROMOTE_JOB,
    INGEST_JOB,
    PLAN_JOB,
    PRUNE_JOB,
    PUBLISHED_DOCUMENTS,
    REPAIR_JOB,
    VERIFY_JOB,
)
from etl_assets.documents.assets import DOCUMENT_ASSETS, backups, repaired_indexes
from etl_assets.documents.checks import DOCUMENT_CHECKS, every_check
from etl_assets.documents.consistency.verification import WHOLE_READS
from etl_assets.documents.deletion import retention
from etl_assets.documents.generations import work as generation_work
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.partitions import (
    document_shards,
)
from etl_assets.documents.planning.plan import plan_collection, trying
from etl_assets.failures import reports_failures
from etl_assets.ledger.catalogue import partitions
from etl_assets.protocols.comparison import Judgement

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


back_up = dg.define_asset_job(
    BACKUP_JOB, selection=dg.AssetSelection.assets(backups), executor_def=dg.in_process_executor,
    description="Makes one backup in every target of ETL_BACKUP_TARGETS and prunes old ones.",
)  # fmt: skip

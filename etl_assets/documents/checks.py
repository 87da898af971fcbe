"""The checks of the documents domain in Dagster: each wraps one of ``verification.CHECKS``.

In a run that makes the asset, a check reads what has not passed it yet and sends offenders to quarantine. Executed by
itself, it reads everything and changes nothing.
"""

import warnings
from collections.abc import Iterator

import dagster as dg

from etl_assets.documents.consistency.repair import note_drift
from etl_assets.documents.consistency.verification import CHECKS, Check, CheckResult, run_checks
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.partitions import document_shards
from etl_assets.errors import ConfigError
from etl_assets.failures import reports_failures
from etl_assets.ledger.catalogue import partition


def asset_check(check: Check) -> dg.AssetChecksDefinition:
    """One check as Dagster knows it, one result per partition."""
    with warnings.catch_warnings():
        # Partitions of checks are in preview: their results are per partition only in runs of one partition,
        # which ours are.
        warnings.simplefilter("ignore", dg.PreviewWarning)

        @dg.asset_check(
            asset=dg.AssetKey(check.asset), name=check.name, description=check.meaning, blocking=check.blocking,
            partitions_def=document_shards,
        )  # fmt: skip
        @reports_failures
        def checked(
            context: dg.AssetCheckExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
        ) -> dg.AssetCheckResult:
            if not makes_asset(context, check.asset):
                platform = partition_runs.platform
                return evaluation(check.verify(check, platform, partition(platform.ledger, partition_of(context))))
            key = context.partition_key
            with partition_runs.step(key) as run:
                result = check.in_run(check, run)
            if check.blocking and not result.passed:
                partition_runs.refuse(key, [f"check {check.name} failed", *result.details[:1]])
            return evaluation(result)

    return checked


def makes_asset(context: dg.AssetCheckExecutionContext, asset: str) -> bool:
    """Whether this run makes the asset too, and does not only check it."""
    return asset in {node.name for node in context.job_def.nodes}


def partition_of(context: dg.AssetCheckExecutionContext) -> str:
    """The run's partition.

    Raises:
        ConfigError: it has none, as when a person executes a check alone: Dagster offers no choice there, and cannot
            store the result of a partitioned asset's check without one (1.13.27).
    """
    if not context.op_execution_context.has_partition_key:
        raise ConfigError("no partition was chosen: run the job verify_documents, or add the tag dagster/partition")
    key: str = context.partition_key
    return key


@reports_failures
def verified(context: dg.OpExecutionContext, partition_runs: PartitionRuns) -> list[CheckResult]:
    """Every check over all that the run's partition has."""
    platform = partition_runs.platform
    return run_checks(platform, partition(platform.ledger, context.partition_key))


@dg.op
def every_check(
    context: dg.OpExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """Every check over all that the partition has; each result is stored with its asset.

    An op and not a job of checks, since Dagster lets nobody choose a partition for a job that makes no asset; and
    yielded, since of results that are reported without a run it keeps only the first (1.13.27).

    Raises:
        Failure: a check whose severity is error did not pass.
    """
    results = verified(context, partition_runs)
    for result in results:
        shown = evaluation(result)
        yield dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(result.asset), check_name=result.name, passed=result.passed,
            metadata=shown.metadata, severity=shown.severity, description=shown.description,
            partition=context.partition_key,
        )  # fmt: skip
    failed = [one for one in results if not one.passed and one.severity == "error"]
    if failed:
        platform = partition_runs.platform
        note_drift(platform, partition(platform.ledger, context.partition_key))
        lines = [f"{one.name}: {one.details[0] if one.details else dict(one.counts)}" for one in failed]
        raise dg.Failure(f"partition {context.partition_key}: " + "; ".join(lines), allow_retries=False)
    yield dg.Output(None)


def evaluation(result: CheckResult) -> dg.AssetCheckResult:
    """A result as Dagster stores it."""
    severity = dg.AssetCheckSeverity.WARN if result.severity == "warn" else dg.AssetCheckSeverity.ERROR
    metadata: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.int(n) for name, n in result.counts.items()}
    if result.details:
        metadata["details"] = dg.MetadataValue.md("\n".join(f"- {line}" for line in result.details))
    first = result.details[0] if result.details else None
    return dg.AssetCheckResult(passed=result.passed, severity=severity, metadata=metadata, description=first)


DOCUMENT_CHECKS = tuple(asset_check(check) for check in CHECKS)

"""The one code location. Loading it reads no environment variable and opens nothing: resources do that in a run.

Here alone domains meet: the check that searches what the documents domain has published.
"""

import warnings

import dagster as dg

from etl_assets.asset_keys import PUBLISHED_DOCUMENTS
from etl_assets.documents import definitions as documents
from etl_assets.documents.checks import makes_asset, partition_of
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.partitions import document_shards
from etl_assets.failures import reports_failures
from etl_assets.ledger.catalogue import parse_partition_key
from etl_assets.resources.backups import BackupsResource
from etl_assets.resources.document_runs import ArrivalsResource, PartitionRunsResource

SEARCHES_IN_A_RUN = 3
SEARCHES = 20
"""How many chunks of the collection lend their words to a query: in a run that published something, and otherwise."""

SHOWN = 20

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)

    @dg.asset_check(
        asset=PUBLISHED_DOCUMENTS, partitions_def=document_shards,
    )  # fmt: skip
    @reports_failures
    def citations_of_sampled_searches_verify(
        context: dg.AssetCheckExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
    ) -> dg.AssetCheckResult:
        """Every quote that a search returns stands on its page, in the version that is current."""
        if not makes_asset(context, "published_documents"):
            return sampled(partition_runs, partition_of(context), SEARCHES)
        report = partition_runs.report(context.partition_key).get("published_documents")
        if not (isinstance(report, dict) and report["published"]):
            return dg.AssetCheckResult(passed=True, metadata={"searches": 0})
        return sampled(partition_runs, context.partition_key, SEARCHES_IN_A_RUN)


def sampled(partition_runs: PartitionRuns, partition_key: str, sample: int) -> dg.AssetCheckResult:
    """What ``sample`` searches of the partition's collection gave."""
    from etl_assets.bindings import search_places
    from etl_assets.search.checks import verify_citations

    tenant, collection = parse_partition_key(partition_key)[:2]
    places = search_places(partition_runs.platform)
    found = verify_citations(places, tenant=tenant, collection=collection, sample=sample)
    lines = [f"- {one.document}, chunk {one.chunk_id}: {one.problem}" for one in found.failures[:SHOWN]]
    metadata: dict[str, dg.MetadataValue] = {
        "searches": dg.MetadataValue.int(found.searches), "citations": dg.MetadataValue.int(found.hits),
        "verified": dg.MetadataValue.int(found.verified), "wrong": dg.MetadataValue.int(len(found.failures)),
        "degraded": dg.MetadataValue.text(", ".join(sorted(found.degraded)) or "no source"),
    }  # fmt: skip
    if lines:
        metadata["details"] = dg.MetadataValue.md("\n".join(lines))
    return dg.AssetCheckResult(passed=found.passed, metadata=metadata, description=lines[0][2:] if lines else None)


defs = dg.Definitions.merge(
    documents.defs,
    dg.Definitions(
        asset_checks=[citations_of_sampled_searches_verify],
        resources={
            "partition_runs": PartitionRunsResource(),
            "arrivals": ArrivalsResource(),
            "backup_targets": BackupsResource(),
        },
        executor=dg.in_process_executor,
    ),
)

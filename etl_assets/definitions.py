"""The one code location. Loading it reads no environment variable and opens nothing: resources do that in a run.

Here alone domains meet: the check that searches what the documents domain has published, and the report on it.
"""

import warnings
from base64 import b64encode
from typing import TYPE_CHECKING, Literal

import dagster as dg
from pydantic import Field

from etl_assets.asset_keys import COLLECTION_REPORTS, PUBLISHED_DOCUMENTS
from etl_assets.documents import definitions as documents
from etl_assets.documents.assets import OWNERS
from etl_assets.documents.checks import makes_asset, partition_of
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.partitions import document_shards
from etl_assets.failures import reports_failures
from etl_assets.ledger.catalogue import parse_partition_key
from etl_assets.resources.backups import BackupsResource
from etl_assets.resources.document_runs import ArrivalsResource, PartitionRunsResource

if TYPE_CHECKING:
    from etl_assets.documents.lineage.impact import Impact

IMPACT_JOB = "impact_report"
"""Tells what rests on something, at the assets that it reaches."""

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


@dg.asset(
    key=COLLECTION_REPORTS, deps=[PUBLISHED_DOCUMENTS], partitions_def=document_shards, group_name="reports",
    kinds={"svg"}, owners=OWNERS, tags={"domain": "documents", "step": "report"}, code_version="1",
)  # fmt: skip
@reports_failures
def collection_reports(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """Drawings of what the partition's whole collection says: over time, by label, what is named, what together.

    Made when somebody asks for it: it reads the rows of every document, while a run costs what has changed.
    """
    from etl_assets.bindings import search_places
    from etl_assets.documents.classification.find import classifications_columns
    from etl_assets.documents.model import mentions_columns
    from etl_assets.search.report_collection import overview, plots

    tenant, collection = parse_partition_key(context.partition_key)[:2]
    found = overview(
        search_places(partition_runs.platform), tenant, collection, mentions=mentions_columns(),
        labels=classifications_columns(),
    )  # fmt: skip
    metadata: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.md(f"![{name}](data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()})")
        for name, drawn in plots(found).items()
    }
    metadata["documents"] = dg.MetadataValue.int(len(found.documents))
    return dg.MaterializeResult(metadata=metadata)


class Changed(dg.Config):
    """What changes, or might."""

    kind: Literal["document", "stage", "producer", "backend", "asset", "setting"] = Field(description="What name is")
    name: str = Field(
        description="As `etl-assets impact` takes it; a setting is chunking.max_tokens, or acme/reports:chunking.size"
    )


@dg.op
@reports_failures
def report_impact(
    context: dg.OpExecutionContext, config: Changed, partition_runs: dg.ResourceParam[PartitionRuns]
) -> None:
    """Tell at the step, and at every asset that it reaches, which partitions and rows rest on something."""
    from etl_assets.documents.lineage.impact import impact, impact_of_setting

    platform = partition_runs.platform
    if config.kind == "setting":
        found = impact_of_setting(platform, config.name)
    else:
        found = impact(platform, config.name, kind=config.kind)
    metadata = impact_metadata(found)
    for asset in found.assets:
        context.log_event(dg.AssetObservation(asset_key=dg.AssetKey(asset), metadata=metadata))
    links = {f"asset {asset}": dg.MetadataValue.asset(dg.AssetKey(asset)) for asset in found.assets}
    context.add_output_metadata({**metadata, **links})


def impact_metadata(found: "Impact") -> dict[str, dg.MetadataValue]:
    """The figures in all, and a table of them by partition."""
    total = found.total()
    rows = [
        dg.TableRecord({
            "partition": key, "documents": one.documents, "publications": one.published,
            "rows": sum(one.rows.values()), "index_entries": sum(one.entries.values()),
        })
        for key, one in sorted(found.partitions.items())
    ]  # fmt: skip
    columns = [dg.TableColumn("partition", "string")]
    columns += [dg.TableColumn(name, "int") for name in ("documents", "publications", "rows", "index_entries")]
    return {
        "changed": dg.MetadataValue.text(f"{found.kind} {found.name}"),
        "documents": dg.MetadataValue.int(total.documents),
        "publications": dg.MetadataValue.int(total.published),
        "rows": dg.MetadataValue.json(dict(total.rows)),
        "index_entries": dg.MetadataValue.json(dict(total.entries)),
        "partitions": dg.MetadataValue.table(rows, dg.TableSchema(columns)),
        "saved_searches": dg.MetadataValue.json([one.name for one in found.searches]),
    }


@dg.job(name=IMPACT_JOB, executor_def=dg.in_process_executor)
def impact_report() -> None:
    """Attaches what rests on a document, stage, producer, backend, asset or setting to the assets it reaches."""
    report_impact()


defs = dg.Definitions.merge(
    documents.defs,
    dg.Definitions(
        assets=[collection_reports],
        asset_checks=[citations_of_sampled_searches_verify],
        jobs=[impact_report],
        resources={
            "partition_runs": PartitionRunsResource(),
            "arrivals": ArrivalsResource(),
            "backup_targets": BackupsResource(),
        },
        executor=dg.in_process_executor,
    ),
)

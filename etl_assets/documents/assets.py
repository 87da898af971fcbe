"""The assets of the documents domain. Each body hands one step to the partition's run and returns what it reported."""

import functools
from datetime import timedelta
from typing import Any

import dagster as dg

from etl_assets.asset_keys import (
    BACKUPS,
    CHUNKS,
    CLASSIFICATIONS,
    EMBEDDINGS,
    INTAKE_TAG,
    KEYWORD_INDEX,
    KNOWLEDGE,
    KNOWLEDGE_GRAPH,
    MENTIONS,
    PAGES,
    PUBLISHED_DOCUMENTS,
    RAW_DOCUMENTS,
    RELATIONS,
    REPAIRED_INDEXES,
    TOUCHED,
    UPDATE_MODE_TAG,
    VECTOR_INDEX,
)
from etl_assets.documents import model
from etl_assets.documents.arrivals.update_modes import update_mode
from etl_assets.documents.backups.backup import BackupTargets
from etl_assets.documents.consistency.repair import repair
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.partitions import document_shards
from etl_assets.documents.step_facts import (
    Facts,
    columns_of,
    commit_facts,
    intake_facts,
    repair_facts,
    stage_facts,
    store_facts,
)
from etl_assets.errors import EtlAssetsError, TransientError
from etl_assets.failures import reports_failures, without_secrets
from etl_assets.ledger.catalogue import partition
from etl_assets.ledger.contents import Contents
from etl_assets.stages.spec import Stage

OWNERS = ["team:data-platform"]
"""Who answers for the pipeline; ``owners`` in collections.yaml says who answers for a collection."""

FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(days=7), fail_window=timedelta(days=30))
"""When nothing at all arrived for a week people should look whether the feed has stopped, and after a month it has."""

document_asset = functools.partial(
    dg.asset, partitions_def=document_shards, owners=OWNERS, freshness_policy=FRESH
)  # fmt: skip
"""What every asset of this domain has in common."""


def result(facts: Facts, now: Contents, stage: Stage | None = None) -> dg.MaterializeResult[None]:
    """A materialisation whose data version is the digest of what the partition holds at this step now.

    A run that changes nothing gives the same version, so that nothing downstream shows as stale.
    """
    metadata: dict[str, Any] = dict(facts)
    if stage is not None:
        columns = [dg.TableColumn(name, kind) for name, kind in columns_of(stage)]
        metadata["dagster/column_schema"] = dg.TableSchema(columns)
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(now.digest))


@document_asset(
    key=RAW_DOCUMENTS, group_name="documents", kinds={"file"}, code_version="1",
    tags={"domain": "documents", "step": "intake"},
)  # fmt: skip
@reports_failures
def raw_documents(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """The bytes of every document, copied once per version; new, changed and removed keys of the object store."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        only_touched = context.run.tags.get(INTAKE_TAG) == TOUCHED
        mode = context.run.tags.get(UPDATE_MODE_TAG)
        intake = run.raw_documents(only_touched=only_touched, mode=None if mode is None else update_mode(mode))
        return result(*intake_facts(run, intake))


@document_asset(
    key=PAGES, deps=[RAW_DOCUMENTS], group_name="documents", kinds={"parquet", "polars"},
    code_version=model.PAGES.code_version, tags={"domain": "documents", "step": "stage"},
)  # fmt: skip
@reports_failures
def pages(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """One row per page, with its text and headings. What cannot be read goes to quarantine, with the reason."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*stage_facts(run, model.PAGES, run.pages()), model.PAGES)


@document_asset(
    key=CHUNKS, deps=[PAGES], group_name="documents", kinds={"parquet", "polars"},
    code_version=model.CHUNKS.code_version, tags={"domain": "documents", "step": "stage"},
)  # fmt: skip
@reports_failures
def chunks(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """One row per chunk: ``page_text[start:end]`` is exactly its text."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*stage_facts(run, model.CHUNKS, run.chunks()), model.CHUNKS)


@document_asset(
    key=EMBEDDINGS, deps=[CHUNKS], group_name="documents", kinds={"parquet", "onnx"},
    code_version=model.EMBEDDINGS.code_version, pool="embeddings", tags={"domain": "documents", "step": "stage"},
)  # fmt: skip
@reports_failures
def embeddings(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """One vector per chunk; a text that this tenant had embedded before is not embedded again."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*stage_facts(run, model.EMBEDDINGS, run.embeddings()), model.EMBEDDINGS)


@document_asset(
    key=KNOWLEDGE, deps=[PAGES], group_name="documents", kinds={"parquet", "polars"},
    code_version=model.KNOWLEDGE.code_version, tags={"domain": "documents", "step": "stage"},
)  # fmt: skip
@reports_failures
def knowledge(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """What concerns each document of the catalogue of names and of people's corrections, and nothing else of them."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*stage_facts(run, model.KNOWLEDGE, run.knowledge()), model.KNOWLEDGE)


@document_asset(
    key=MENTIONS, deps=[PAGES, CHUNKS, KNOWLEDGE], group_name="documents", kinds={"parquet", "polars"},
    code_version=model.MENTIONS.code_version, tags={"domain": "documents", "step": "stage"},
)  # fmt: skip
@reports_failures
def mentions(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """One row per mention of an indicator or of an ATT&CK group, software or technique, with its span."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*stage_facts(run, model.MENTIONS, run.mentions()), model.MENTIONS)


@document_asset(
    key=CLASSIFICATIONS, deps=[PAGES, KNOWLEDGE], group_name="documents", kinds={"parquet", "polars"},
    code_version=model.CLASSIFICATIONS.code_version, tags={"domain": "documents", "step": "stage"},
)  # fmt: skip
@reports_failures
def classifications(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """One row per label (threats, sectors, a collection's own) with its score and the sentences behind it."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*stage_facts(run, model.CLASSIFICATIONS, run.classifications()), model.CLASSIFICATIONS)


@document_asset(
    key=RELATIONS, deps=[PAGES, MENTIONS], group_name="documents", kinds={"parquet", "polars"},
    code_version=model.RELATIONS.code_version, tags={"domain": "documents", "step": "stage"},
)  # fmt: skip
@reports_failures
def relations(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """One row per sentence that says who does what to whom, with its negation and certainty."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*stage_facts(run, model.RELATIONS, run.relations()), model.RELATIONS)


# A document is written to every store under one number, drawn once all of its stages are done: so each store depends
# on all of them, and a change of any of them writes it anew.


@document_asset(
    key=VECTOR_INDEX, deps=[EMBEDDINGS, CLASSIFICATIONS, MENTIONS, RELATIONS],
    group_name="publication", kinds={"lancedb"}, code_version="1",
    pool="vector_index", tags={"domain": "documents", "step": "store"},
)  # fmt: skip
@reports_failures
def vector_index(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """Vectors, written under fresh publication numbers: no search sees them before the commit."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*store_facts(run, run.write_store("vector")))


@document_asset(
    key=KEYWORD_INDEX, deps=[CHUNKS, EMBEDDINGS, CLASSIFICATIONS, MENTIONS, RELATIONS],
    group_name="publication", kinds={"lancedb"},
    code_version="1", pool="keyword_index", tags={"domain": "documents", "step": "store"},
)  # fmt: skip
@reports_failures
def keyword_index(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """Words of chunks for BM25, written under the same numbers."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*store_facts(run, run.write_store("keyword")))


@document_asset(
    key=KNOWLEDGE_GRAPH, deps=[MENTIONS, RELATIONS, CLASSIFICATIONS, EMBEDDINGS],
    group_name="publication", kinds={"sqlite"}, code_version="2",
    pool="knowledge_graph", tags={"domain": "documents", "step": "store"},
)  # fmt: skip
@reports_failures
def knowledge_graph(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """Edges from documents to what they mention, and between what their sentences relate, under the same numbers."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        return result(*store_facts(run, run.write_store("graph")))


@document_asset(
    key=PUBLISHED_DOCUMENTS, deps=[VECTOR_INDEX, KEYWORD_INDEX, KNOWLEDGE_GRAPH], group_name="publication",
    kinds={"sqlite"}, code_version="1", tags={"domain": "documents", "step": "commit"},
)  # fmt: skip
@reports_failures
def published_documents(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """What searches answer from: one ledger transaction makes new documents visible and ends those they replace."""
    with partition_runs.step(context.partition_key, context.log.info) as run:
        report = run.published_documents()
        return result(*commit_facts(run, report))


@dg.asset(
    key=REPAIRED_INDEXES, deps=[PUBLISHED_DOCUMENTS], partitions_def=document_shards, owners=OWNERS,
    group_name="publication", kinds={"lancedb", "sqlite"}, code_version="1",
    tags={"domain": "documents", "step": "repair"},
)  # fmt: skip
@reports_failures
def repaired_indexes(
    context: dg.AssetExecutionContext, partition_runs: dg.ResourceParam[PartitionRuns]
) -> dg.MaterializeResult[None]:
    """Every store equals the ledger: what was missing, altered or strange was mended from the lake."""
    platform = partition_runs.platform
    place = partition(platform.ledger, context.partition_key)
    try:
        report = repair(platform, place, run_id=context.run.run_id)
    except TransientError as e:
        # Each attempt is counted, and the sensor starts the next one: a retry of the step would use them all up.
        raise dg.Failure(without_secrets(str(e)), allow_retries=False) from e
    facts = repair_facts(report)
    if report.left:
        problem = f"partition {place.key} still differs: {report.left[0]}"
        if report.given_up:
            problem += "; several repairs left the same differences, so none is started by itself any more"
        raise dg.Failure(problem, metadata=facts, allow_retries=False)
    return dg.MaterializeResult(metadata=facts)


DOCUMENT_ASSETS = (
    raw_documents, pages, chunks, embeddings, knowledge, classifications, mentions, relations, vector_index,
    keyword_index, knowledge_graph,
    published_documents,
)  # fmt: skip


@dg.asset(
    key=BACKUPS, group_name="backups", owners=OWNERS, code_version="1", tags={"domain": "documents", "step": "backup"},
)  # fmt: skip
@reports_failures
def backups(
    context: dg.AssetExecutionContext, backup_targets: dg.ResourceParam[BackupTargets]
) -> dg.MaterializeResult[None]:
    """Ledger, segments, originals and settings at one moment, in every target of ETL_BACKUP_TARGETS.

    Raises:
        Failure: a target could not be written; those that could are good, and told in the log.
    """
    made: dict[str, Any] = {}
    failed: list[str] = []
    for name in backup_targets.names():
        try:
            made[name] = backup_targets.back_up(name).as_json()
            context.log.info(f"{without_secrets(name)}: {made[name]}")
        except EtlAssetsError as error:
            failed.append(f"{name}: {error}")
    if failed or not made:
        raise dg.Failure(
            without_secrets("; ".join(failed)) or "no target is set: set ETL_BACKUP_TARGETS", allow_retries=False
        )
    shown = {name: dg.MetadataValue.json(record) for name, record in made.items()}
    return dg.MaterializeResult(metadata=shown)

"""The names that other domains, the UI and scripts may rely on: asset keys, the partitions, the jobs, our run tags."""

from dagster import AssetKey

RAW_DOCUMENTS = AssetKey("raw_documents")
PAGES = AssetKey("pages")
CHUNKS = AssetKey("chunks")
EMBEDDINGS = AssetKey("embeddings")
KNOWLEDGE = AssetKey("knowledge")
CLASSIFICATIONS = AssetKey("classifications")
MENTIONS = AssetKey("mentions")
RELATIONS = AssetKey("relations")
VECTOR_INDEX = AssetKey("vector_index")
KEYWORD_INDEX = AssetKey("keyword_index")
KNOWLEDGE_GRAPH = AssetKey("knowledge_graph")
PUBLISHED_DOCUMENTS = AssetKey("published_documents")
REPAIRED_INDEXES = AssetKey("repaired_indexes")

DOCUMENT_ASSETS = (
    RAW_DOCUMENTS, PAGES, CHUNKS, EMBEDDINGS, KNOWLEDGE, CLASSIFICATIONS, MENTIONS, RELATIONS,
    VECTOR_INDEX, KEYWORD_INDEX, KNOWLEDGE_GRAPH, PUBLISHED_DOCUMENTS,
)  # fmt: skip
"""Every asset of the documents domain, in the order in which a run makes them."""

DOCUMENT_SHARDS = "document_shards"
"""The dynamic partitions of every document asset; a key is a partition key of the ledger."""

INGEST_JOB = "ingest_documents"
"""Every document asset and check of one partition, in one process."""

VERIFY_JOB = "verify_documents"
"""Every check of one partition, over all that is there, computing nothing."""

GENERATION_BUILD_JOB = "generation_build"
GENERATION_COMPARE_JOB = "generation_compare"
GENERATION_PROMOTE_JOB = "generation_promote"
"""Another embedder or chunking of one collection: begun, compared with the one that answers, put in its place."""

REPAIR_JOB = "repair_documents"
"""Makes every store of one partition equal to the ledger again, from the lake."""

COLLECTION_REPORTS = AssetKey("collection_reports")
"""Drawings of what a collection's published documents say together."""

BACKUPS = AssetKey("backups")
BACKUP_JOB = "back_up"
"""Ledger, lake, originals and settings at one moment, in the targets of ETL_BACKUP_TARGETS."""

PLAN_JOB = "plan_documents"
"""What the next runs of a collection would do, take and cost; it changes nothing."""

PRUNE_JOB = "prune_history"
"""Deletes documents past their age, and removes what was kept long enough."""

TENANT_TAG = "tenant"
COLLECTION_TAG = "collection"
"""Tags of every run that this package starts; the run queue limits by tenant."""

INTAKE_TAG = "etl_assets/intake"
TOUCHED = "touched"
"""A run with this tag and value looks only at the keys that a sensor entered for it, and lists no collection."""

HELD_TAG = "etl_assets/held"
HELD, LET_GO = "yes", "no"
"""A queued run with this tag and value is not begun: its tenant, collection, partition or batch is paused."""

PRIORITY_TAG = "dagster/priority"
"""Of queued runs the one with the highest begins first."""

SOURCE_TAG = "etl_assets/source"
"""Of a run that a command does in its own process: its name. It is stopped by way of the ledger."""

UPDATE_MODE_TAG = "etl_assets/update_mode"
"""Of a run that takes in other changes of keys than the update mode of its collection says."""

FORCE_STAGES_TAG, FORCE_DOCUMENTS_TAG = "etl_assets/force_stages", "etl_assets/force_documents"
"""Of a run that computes again what is there: names of stages with commas between, or ``*``; globs of paths as a list
in JSON, all documents where there is none.
"""

"""Everything of the documents domain that Dagster loads. Resources are bound by the root ``definitions``."""

import dagster as dg

from etl_assets.documents.assets import DOCUMENT_ASSETS, backups, repaired_indexes
from etl_assets.documents.automation import (
    daily_backup,
    daily_pruning,
    daily_verification,
    document_arrivals,
    document_events,
    document_repairs,
)
from etl_assets.documents.checks import DOCUMENT_CHECKS
from etl_assets.documents.jobs import (
    back_up,
    generation_build,
    generation_compare,
    generation_promote,
    ingest_documents,
    plan_documents,
    prune_history,
    repair_documents,
    verify_documents,
)

defs = dg.Definitions(
    assets=[*DOCUMENT_ASSETS, repaired_indexes, backups],
    asset_checks=DOCUMENT_CHECKS,
    jobs=[
        ingest_documents,
        verify_documents,
        repair_documents,
        generation_build,
        generation_compare,
        generation_promote,
        plan_documents,
        prune_history,
        back_up,
    ],
    schedules=[daily_verification, daily_pruning, daily_backup],
    sensors=[document_arrivals, document_events, document_repairs],
)

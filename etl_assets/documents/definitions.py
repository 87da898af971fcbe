"""Everything of the documents domain that Dagster loads. Resources are bound by the root ``definitions``."""

import dagster as dg

from etl_assets.documents.assets import DOCUMENT_ASSETS
from etl_assets.documents.automation import (
    document_arrivals,
    document_events,
    generation_build,
    generation_compare,
    generation_promote,
    ingest_documents,
    verify_documents,
)
from etl_assets.documents.checks import DOCUMENT_CHECKS

defs = dg.Definitions(
    assets=DOCUMENT_ASSETS,
    asset_checks=DOCUMENT_CHECKS,
    jobs=[ingest_documents, verify_documents, generation_build, generation_compare, generation_promote],
    sensors=[document_arrivals, document_events],
)

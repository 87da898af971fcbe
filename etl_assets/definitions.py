"""The one code location. Loading it reads no environment variable and opens nothing: resources do that in a run."""

import dagster as dg

from etl_assets.documents import definitions as documents
from etl_assets.resources.document_runs import ArrivalsResource, PartitionRunsResource

defs = dg.Definitions.merge(
    documents.defs,
    dg.Definitions(
        resources={"partition_runs": PartitionRunsResource(), "arrivals": ArrivalsResource()},
        executor=dg.in_process_executor,
    ),
)

"""How documents are sliced: one partition per shard of a collection. Only partitions that exist are ever shown."""

import dagster as dg

from etl_assets.asset_keys import COLLECTION_TAG, DOCUMENT_SHARDS, TENANT_TAG
from etl_assets.ledger.catalogue import parse_partition_key

document_shards = dg.DynamicPartitionsDefinition(name=DOCUMENT_SHARDS)
"""Keys are partition keys of the ledger, such as ``acme.reports.07-of-16``; the arrival sensor adds them."""


def run_tags(partition_key: str) -> dict[str, str]:
    """Tags of a run of one partition: the queue limits runs by tenant, and people filter by both.

    Raises:
        ConfigError: it is no partition key.
    """
    tenant, collection, _, _ = parse_partition_key(partition_key)
    return {TENANT_TAG: tenant, COLLECTION_TAG: collection}

"""Hands the documents domain its platform: opened from the environment's settings when a run starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.platform import Platform


def platform_from_environment() -> Platform:
    """The platform that the environment's settings describe.

    Raises:
        ConfigError: every setting that is wrong, in one message.
    """
    from etl_assets.bindings import open_platform
    from etl_assets.settings import Settings

    return open_platform(Settings.from_environment(os.environ))


class PartitionRunsResource(dg.ConfigurableResource[PartitionRuns]):
    """One ``PartitionRuns`` per run (per step when each step has a process of its own); its leases end with it."""

    lease_wait_s: float = Field(
        default=10.0, description="How long to wait for whoever works on the partition, in seconds"
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[PartitionRuns]:
        """For the time of the run."""
        run_id = context.run_id or "no-run"
        runs = PartitionRuns(platform_from_environment, run_id=run_id, wait_s=self.lease_wait_s)
        try:
            yield runs
        finally:
            # Dagster does not say here how the run went; every step that failed has told ``runs``.
            runs.close()
            runs.shut()


class PlatformResource(dg.ConfigurableResource[Platform]):
    """The opened platform, for sensors: one per tick, since settings and collections.yaml may change in between."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Platform]:
        """For the time of the tick."""
        platform = platform_from_environment()
        try:
            yield platform
        finally:
            platform.ledger.close()

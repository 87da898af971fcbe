"""Hands the documents domain its platform: opened from the environment's settings when a run starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from etl_assets.documents.arrivals.watch import ArrivalStore
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.partitions import anew_of, origin_of
from etl_assets.documents.platform import Platform

if TYPE_CHECKING:
    from etl_assets.protocols.arrival_events import ArrivalEvents
    from etl_assets.settings import Settings


def settings_from_environment() -> "Settings":
    """What this installation is set to.

    Raises:
        ConfigError: every variable that is wrong, in one message.
    """
    from etl_assets.settings import Settings

    return Settings.from_process()


def platform_from_environment() -> Platform:
    """The platform that the environment's settings describe.

    Raises:
        ConfigError: as above, or the home or ``collections.yaml`` cannot be used.
    """
    from etl_assets.bindings import open_platform

    return open_platform(settings_from_environment())


class PartitionRunsResource(dg.ConfigurableResource[PartitionRuns]):
    """One ``PartitionRuns`` per run (per step when each step has a process of its own); its leases end with it."""

    lease_wait_s: float = Field(
        default=10.0, description="How long to wait for whoever works on the partition, in seconds"
    )
    build_s: float = Field(
        default=60.0,
        description="How long a stage may compute for an index that is being built beside the one that answers, in "
        "seconds: what arrives meanwhile waits for so long; the next run goes on",
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[PartitionRuns]:
        """For the time of the run."""
        run_id = context.run.run_id if context.run is not None else "no-run"
        runs = PartitionRuns(
            platform_from_environment, run_id=run_id, wait_s=self.lease_wait_s, build_s=self.build_s,
            origin=None if context.run is None else origin_of(context.run),
            anew=None if context.run is None else anew_of(context.run.tags),
        )  # fmt: skip
        try:
            yield runs
        finally:
            # Dagster does not say here how the run went; every step that failed has told ``runs``.
            runs.close()
            runs.shut()


class OpenedArrivals:
    """``ArrivalStore`` by settings; opened at the first look, closed with the tick."""

    def __init__(self, settings: "Settings", interval_s: float | None = None) -> None:
        self._settings = settings
        self._interval_s = interval_s
        self._platform: Platform | None = None

    @property
    def interval_s(self) -> float:
        """Seconds between two looks: with a queue of events behind which the listing only reconciles, more."""
        if self._interval_s is not None:
            return self._interval_s
        has_events = self._settings.s3 is not None and self._settings.s3.events_queue_url is not None
        return self._settings.reconcile_interval_s if has_events else self._settings.arrivals_interval_s

    @cached_property
    def events(self) -> "ArrivalEvents | None":
        """The queue of events, opened; ``None`` when none is set."""
        from etl_assets.hosted_bindings import Connections

        return Connections(self._settings).arrival_events()

    @property
    def platform(self) -> Platform:
        """The opened platform."""
        from etl_assets.bindings import open_platform

        if self._platform is None:
            self._platform = open_platform(self._settings)
        return self._platform

    def close(self) -> None:
        """Close what was opened."""
        if self._platform is not None:
            self._platform.close()


class ArrivalsResource(dg.ConfigurableResource[ArrivalStore]):
    """What the arrival sensor looks at: settings and collections.yaml are read anew at every tick."""

    interval_s: float | None = Field(
        default=None, description="Time between two looks, in seconds, in place of ETL_ARRIVALS_INTERVAL_S"
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[ArrivalStore]:
        """For the time of the tick."""
        arrivals = OpenedArrivals(settings_from_environment(), self.interval_s)
        try:
            yield arrivals
        finally:
            arrivals.close()

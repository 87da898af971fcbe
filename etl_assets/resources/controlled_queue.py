"""Dagster's queue of runs, which asks the ledger of each ingestion run whether it is paused and how urgent it is."""

import dagster as dg
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator

from etl_assets.documents.partitions import changed_tags, is_ingestion
from etl_assets.hosted_bindings import Connections
from etl_assets.ledger.controls import Controls, controls
from etl_assets.resources.document_runs import settings_from_environment


class ControlledQueue(QueuedRunCoordinator):
    """Named in ``dagster.yaml``. A run that waits is never begun while its tenant, collection or partition is paused.

    What was in the queue before a pause is held back by whoever pauses.
    """

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Put a run into the queue as what holds for it now.

        Raises:
            EtlAssetsError: the ledger cannot be asked; the run is not begun.
        """
        run = context.dagster_run
        if not is_ingestion(run):
            return super().submit_run(context)
        self._tag(run, _controls())
        queued = super().submit_run(context)
        # Whoever pauses between the two does not see this run in the queue yet.
        return self._tag(queued, _controls())

    def _tag(self, run: dg.DagsterRun, now: Controls) -> dg.DagsterRun:
        changed = changed_tags(now, run)
        if not changed:
            return run
        self._instance.add_run_tags(run.run_id, dict(changed))
        return self._instance.get_run_by_id(run.run_id) or run


def _controls() -> Controls:
    hosted = Connections(settings_from_environment())
    ledger = hosted.ledger()
    try:
        return controls(ledger)
    finally:
        ledger.close()
        hosted.close()

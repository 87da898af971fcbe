"""Starts a run by putting it into the queue, where any worker of any machine takes it: dagster-celery's launcher.

Whole runs are handed out, not steps: a step of ours takes less time than what a step costs in a process of its own.
Changed against dagster-celery: the message holds no configuration of this machine; it is acknowledged late; and
whether a worker lives is told by the run's heart in Dagster's storage instead of a result that only the thread that
sent the message can read.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from etl_assets.resources.document_runs import settings_from_environment
from etl_assets.resources.run_heart import DEAD_AFTER_S, WORKER_TAG, heart_of
from etl_assets.resources.run_queue import CONFIGURATION, EXECUTE_RUN, QUEUE, broker_url, configure

if TYPE_CHECKING:
    import dagster as dg
    from dagster._config import UserConfigSchema


class QueuedRuns(CeleryRunLauncher):
    """Named in ``dagster.yaml``; the broker is read from the environment's settings, so no secret is in the file."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._hearts: dict[str, tuple[str | None, float]] = {}
        super().__init__(
            default_queue=QUEUE, broker=broker_url(settings_from_environment()), backend="disabled://",
            include=[], config_source=CONFIGURATION, inst_data=inst_data,
        )  # fmt: skip
        configure(self.celery)
        self.celery.conf.task_routes = {}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send the message; it is in the broker's hands when this returns."""
        run = context.dagster_run
        sent = self.celery.send_task(EXECUTE_RUN, args=[run.run_id], queue=QUEUE)
        self._instance.add_run_tags(run.run_id, {DAGSTER_CELERY_TASK_ID_TAG: sent.id})
        self._instance.report_engine_event(f"Waits in the queue {QUEUE} for a worker.", run, cls=self.__class__)

    def terminate(self, run_id: str) -> bool:
        """Ask the run to stop: its worker looks at its state, also before it begins."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True

    @property
    def supports_resume_run(self) -> bool:
        """A lost run is started anew: what it had committed is not computed again."""
        return False

    def check_run_worker_health(self, run: "dg.DagsterRun") -> CheckRunHealthResult:
        """Whether the run's heart has beaten since it was looked at, by this process's own clock."""
        heart, now = heart_of(self._instance, run.run_id), time.monotonic()
        seen, since = self._hearts.get(run.run_id, (None, now))
        if run.run_id not in self._hearts or heart != seen:
            self._forget_old()
            self._hearts[run.run_id] = (heart, now)
        elif now - since > DEAD_AFTER_S:
            del self._hearts[run.run_id]
            return CheckRunHealthResult(WorkerStatus.FAILED, f"no sign of life of its worker for {now - since:.0f} s")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def get_run_worker_debug_info(self, run: "dg.DagsterRun", include_container_logs: bool | None = True) -> str | None:
        """Which worker had the run."""
        return f"worker: {run.tags.get(WORKER_TAG)}"

    @classmethod
    def config_type(cls) -> "UserConfigSchema":
        """Nothing is configured here."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> "QueuedRuns":
        """As Dagster makes it."""
        return cls(inst_data=inst_data)

    def _forget_old(self, kept: int = 1_000) -> None:
        while len(self._hearts) >= kept:
            self._hearts.pop(next(iter(self._hearts)))

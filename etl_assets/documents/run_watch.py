"""Between batches: tells the ledger how far a run is, and asks it whether the run shall stop."""

import time
from collections.abc import Callable
from typing import Any

from etl_assets.ledger import runs
from etl_assets.ledger.database import Ledger
from etl_assets.stages.report import Progress, Watcher

EVERY_S = 1.0
"""The ledger is told at most so often, and of the beginning of every step."""


class RunWatch:
    """A watcher of one run of one partition, in front of another one."""

    def __init__(
        self, ledger: Ledger, run_id: str, partition: str, watch: Watcher, *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._run_id = run_id
        self._partition = partition
        self._watch = watch
        self._clock_s = clock_s
        self._due = 0.0

    def __call__(self, progress: Progress) -> None:
        """Tell how far it is.

        Raises:
            RunCanceled: somebody asked the run to stop.
        """
        self._watch(progress)
        if self._clock_s() >= self._due:
            self._tell(
                {
                    "stage": progress.stage, "done": progress.done, "total": progress.total, "rows": progress.rows,
                    "elapsed_s": round(progress.elapsed_s, 3),
                }
            )  # fmt: skip

    def begin(self, step: str) -> None:
        """Tell that a step begins; raises as above."""
        self._tell({"stage": step, "done": 0, "total": None, "rows": 0, "elapsed_s": 0.0})

    def _tell(self, progress: dict[str, Any]) -> None:
        with self._ledger.writing() as connection:
            is_canceled = runs.note_progress(connection, self._run_id, self._partition, progress)
        self._due = self._clock_s() + EVERY_S
        if is_canceled:
            raise runs.canceled(self._run_id, self._partition)

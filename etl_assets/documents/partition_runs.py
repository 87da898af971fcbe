"""The partition runs of one Dagster run: each is opened at its first step, shared by the later ones, closed at the end.

No Dagster here: ``assets.py`` and ``checks.py`` are handed one of these, whoever opened the platform.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from etl_assets.documents.anew import Anew
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.errors import PermanentError
from etl_assets.ledger.runs import Origin, RunCanceled
from etl_assets.stages.report import Progress, Watcher, ignore

LOG_EVERY_S = 5.0
"""A stage writes at most one line of progress in this time, and one when it is done."""


class PartitionRuns:
    """Opens the platform at its first use, so that nothing is opened for a run whose first step is skipped.

    ``run_id`` holds the leases: processes of one run that follow one another get the same token. ``watch`` is
    called after every batch; ``origin`` is who asked for the run, ``anew`` what it computes although it is there;
    ``wait_s`` is how long to wait for whoever has a partition; ``build_s`` is how long a stage may compute for an
    index that is being built (``None``: until it is done).
    """

    def __init__(
        self, open_platform: Callable[[], Platform], *, run_id: str, watch: Watcher = ignore, wait_s: float = 10.0,
        build_s: float | None = None, origin: Origin | None = None, anew: Anew | None = None,
    ) -> None:  # fmt: skip
        self._open_platform = open_platform
        self._platform: Platform | None = None
        self._run_id = run_id
        self._watch = watch
        self._wait_s = wait_s
        self._build_s = build_s
        self._origin = origin
        self._anew = anew
        self._runs: dict[str, PartitionRun] = {}
        self._errors: dict[str, BaseException] = {}
        self._failed: dict[str, str | None] = {}
        self._log: Callable[[Progress], None] = ignore

    @property
    def platform(self) -> Platform:
        """The opened platform."""
        if self._platform is None:
            self._platform = self._open_platform()
        return self._platform

    @contextmanager
    def step(self, key: str, log: Callable[[str], None] | None = None) -> Iterator[PartitionRun]:
        """The run of partition ``key`` for one step. What the step raises is what the run ends with.

        ``log`` is given lines of progress.
        """
        self._log = ignore if log is None else ProgressLog(log)
        run: PartitionRun | None = None
        try:
            run = self._run(key)
            yield run
        except BaseException as error:
            self._errors[key] = error
            self._failed[key] = None if run is None else run.begun
            raise
        else:
            # An earlier attempt of this very step failed, or of none: a step beside the one that failed says nothing.
            if self._failed.get(key) in (None, run.begun):
                self._errors.pop(key, None)
        finally:
            self._log = ignore

    def refuse(self, key: str, problems: Sequence[str]) -> None:
        """Note that a check stopped the run."""
        self._errors[key] = PermanentError(f"partition {key}: {'; '.join(problems)}")
        self._failed[key] = ""  # no step takes it back

    def was_canceled(self, key: str) -> bool:
        """Whether somebody asked the run to stop, and it did."""
        return isinstance(self._errors.get(key), RunCanceled)

    def report(self, key: str) -> dict[str, object]:
        """What the steps so far reported, by step."""
        return dict(self._runs[key].report) if key in self._runs else {}

    def close(self, error: BaseException | None = None) -> None:
        """Enter how each run ended and let the partitions go. ``error`` is what ended all of them, if anything did."""
        while self._runs:
            key, run = self._runs.popitem()
            run.close(error or self._errors.pop(key, None))

    def shut(self) -> None:
        """Close what was opened: the ledger's connections. Not for a platform that somebody else goes on using."""
        if self._platform is not None:
            self._platform.close()
            self._platform = None

    def _run(self, key: str) -> PartitionRun:
        if key not in self._runs:
            self._runs[key] = PartitionRun(
                self.platform, key, run_id=self._run_id, watch=self._seen, wait_s=self._wait_s, build_s=self._build_s,
                origin=self._origin, anew=self._anew,
            )  # fmt: skip
        return self._runs[key]

    def _seen(self, progress: Progress) -> None:
        self._watch(progress)
        self._log(progress)


class ProgressLog:
    """Progress as lines, at most one in ``LOG_EVERY_S`` seconds unless it is the last."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._next = clock() + LOG_EVERY_S

    def __call__(self, progress: Progress) -> None:
        """Write a line if one is due."""
        now = self._clock()
        if now >= self._next or (progress.done == progress.total and progress.elapsed_s >= LOG_EVERY_S):
            self._next = now + LOG_EVERY_S
            self._write(progress_line(progress))


def progress_line(progress: Progress) -> str:
    """For example ``embeddings: 120 of 608 documents, 1,830 rows, 38.1 rows/s, about 210 s left``."""
    rate = progress.rows / progress.elapsed_s if progress.elapsed_s else 0.0
    line = f"{progress.stage}: {progress.done:,} of {progress.total:,} documents"
    line = f"{line}, {progress.rows:,} rows, {rate:,.1f} rows/s"
    left = progress.remaining_s
    return line if not left else f"{line}, about {left:,.0f} s left"

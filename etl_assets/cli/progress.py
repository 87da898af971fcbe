"""Progress while people wait: bars in a terminal, a plain line every few seconds elsewhere. All on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from etl_assets.cli.output import console, printable, warn

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from etl_assets.stages.report import Progress, Watcher

_EVERY_S = 5.0


@contextmanager
def stages() -> Iterator[Watcher]:
    """Shows the stages of a run: documents done, rows a second, time left."""
    if not sys.stderr.isatty():
        from etl_assets.documents.partition_runs import ProgressLog

        yield ProgressLog(lambda line: warn(printable(line)))
        return
    with _bars() as bars:
        yield _Stages(bars)


class _Stages:
    """One bar for each stage of each partition, the finished ones kept for the stage only."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        key = (progress.partition, progress.stage)
        if key not in self._tasks:
            for old in self._tasks.values():
                self._bars.remove_task(old)
            self._tasks = {
                key: self._bars.add_task(
                    f"{progress.partition} {progress.stage}", total=progress.total, rows=0, rate=""
                )
            }
        rate = progress.rows / progress.elapsed_s if progress.elapsed_s else 0.0
        self._bars.update(
            self._tasks[key], completed=progress.done, total=progress.total,
            rate=f"{progress.rows:,} rows, {rate:,.1f}/s",
        )  # fmt: skip


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, total)."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    with _bars() as bars:
        task = bars.add_task(what, total=None, rate="")
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _lines(what: str) -> Callable[[int, int], None]:
    import time

    due = time.monotonic() + _EVERY_S

    def seen(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _EVERY_S
            warn(f"{what}: {done:,} of {total:,}")

    return seen


def _bars() -> Bars:
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    return Bars(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False), TimeRemainingColumn(compact=True),
        console=console(stderr=True), transient=True,
    )  # fmt: skip

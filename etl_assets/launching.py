"""Starting Dagster: runs of partitions in this process, and the UI with its daemon. Dagster is imported when called.

Every run is entered in the instance of the home (``ETL_HOME/dagster``), so that the UI shows later what happened here.
"""

import importlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from etl_assets.documents.batch import Batch, BatchRun
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets.ledger.database import Ledger
from etl_assets.serving import CODE_LOCATION, opening_storage, render_instance, serve
from etl_assets.settings import Settings
from etl_assets.stages.report import Watcher, ignore

if TYPE_CHECKING:
    import dagster as dg

    from etl_assets.resources.instance_runs import InstanceRun

__all__ = [
    "CheckOutcome", "PartitionOutcome", "cancel_run", "follow_controls", "instance_runs", "render_instance",
    "run_partitions", "serve",
]  # fmt: skip

State = Literal["succeeded", "failed", "canceled", "held"]
"""``held`` is a run that was not begun, since it is paused."""


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What one check of a run found; ``details`` is "" when it passed."""

    name: str
    asset: str
    passed: bool
    severity: Literal["error", "warn"]
    details: str = ""


@dataclass(frozen=True, slots=True)
class PartitionOutcome:
    """How the run of one partition ended.

    ``report`` has what each step reported, by step: ``raw_documents``, ``pages``, ``chunks``, ``embeddings``,
    ``knowledge``, ``classifications``, ``mentions``, ``relations``, ``vector_index``,
    ``keyword_index``, ``graph_index``, ``published_documents``.
    """

    partition: str
    run_id: str
    state: State
    error: str | None
    report: Mapping[str, Any]
    checks: tuple[CheckOutcome, ...]
    seconds: float


class _Interrupts:
    """Which signal asked this process to stop, if any did.

    Dagster puts handlers of its own in place while a step runs, which do not tell; the interpreter writes the number
    of every signal that it handles to the wake-up descriptor, whoever handles it.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._number: int | None = None
        self._before: dict[int, Any] = {}
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as for a job in the background, which shall go on
                self._before[number] = signal.signal(number, _interrupt)

    @property
    def number(self) -> int | None:
        """The first one seen."""
        if self._number is None and self._reader >= 0:
            try:
                numbers = [one for one in os.read(self._reader, 4096) if one in self._before]
            except BlockingIOError:
                numbers = []
            self._number = numbers[0] if numbers else None
        return self._number

    def close(self) -> None:
        """Let the handlers of before handle signals again."""
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._number = self.number
        os.close(self._reader)
        os.close(self._writer)
        self._reader = -1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run_partitions(
    settings: Settings,
    partition_keys: Sequence[str],
    *,
    platform: Platform | None = None,
    watch: Watcher = ignore,
    finished: Callable[[PartitionOutcome], None] | None = None,
    wait_s: float = 30.0,
    source: str = "sync",
    tags: Mapping[str, str] | None = None,
) -> list[PartitionOutcome]:
    """Bring partitions up to date, one run each, in this process and in this order; how each of them ended.

    What is urgent comes first; what is paused, or canceled before its turn, is not begun. Others see the runs that
    wait as asked for by ``source``; ``tags`` are for each run. A partition that fails does not keep the others from
    running. ``platform`` is used if it is open already; ``watch`` is called after every batch, ``finished`` after
    every partition; ``wait_s`` is how long to wait for whoever works on a partition.

    Raises:
        ConfigError: a key is no partition key, or the home cannot be used.
        KeyboardInterrupt: on Ctrl-C; the run at work is entered as canceled and its partition let go.
    """
    from etl_assets.asset_keys import SOURCE_TAG
    from etl_assets.bindings import open_platform
    from etl_assets.documents.partitions import run_tags

    if not partition_keys:
        return []
    tagged = {key: {**run_tags(key), **(tags or {}), SOURCE_TAG: source} for key in partition_keys}
    place = open_platform(settings) if platform is None else platform
    outcomes: list[PartitionOutcome] = []
    try:
        with _instance(settings) as instance, _stopped_by() as stopped_by:
            runner = _Runner(instance, place, watch, wait_s, stopped_by)
            runner.register(list(tagged))
            with Batch(place.ledger, list(tagged), source=source, lease_s=place.lease_s) as batch:
                while stopped_by() is None and (one := batch.next()) is not None:
                    outcomes.append(runner.run(one, tagged[one.partition]))
                    batch.ended(one, outcomes[-1].error)
                    if finished is not None:
                        finished(outcomes[-1])
                if stopped_by() is None:
                    outcomes += [_not_begun(one, "held") for one in batch.held_back()]
                outcomes += [_not_begun(one, "canceled") for one in batch.canceled]
    finally:
        if platform is None:
            place.close()
    _pass_on(stopped_by())
    return outcomes


def _not_begun(run: BatchRun, state: State) -> PartitionOutcome:
    error = "canceled before it began" if state == "canceled" else None
    return PartitionOutcome(run.partition, run.run_id, state, error, {}, (), 0.0)


@contextmanager
def _stopped_by() -> Iterator[Callable[[], int | None]]:
    """Asks which signal came. Only the main thread may handle signals; elsewhere whoever has it decides."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    interrupts = _Interrupts()
    try:
        yield lambda: interrupts.number
    finally:
        interrupts.close()


def _pass_on(number: int | None) -> None:
    """Do what the signal would have done without us."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number is not None:
        signal.raise_signal(number)


class _Runner:
    """Runs partitions one after the other: one load of the definitions, one open instance, one open platform."""

    def __init__(
        self,
        instance: "dg.DagsterInstance",
        platform: Platform,
        watch: Watcher,
        wait_s: float,
        stopped_by: Callable[[], int | None],
    ) -> None:
        from etl_assets.asset_keys import INGEST_JOB

        self._instance = instance
        self._platform = platform
        self._watch = watch
        self._wait_s = wait_s
        self._stopped_by = stopped_by
        # By name, as the daemon loads it too: the code location is above this module.
        location = importlib.import_module(CODE_LOCATION)
        self._job: dg.JobDefinition = location.defs.resolve_job_def(INGEST_JOB)

    def register(self, keys: Sequence[str]) -> None:
        from etl_assets.asset_keys import DOCUMENT_SHARDS

        known = set(self._instance.get_dynamic_partitions(DOCUMENT_SHARDS))
        if fresh := [key for key in keys if key not in known]:
            self._instance.add_dynamic_partitions(DOCUMENT_SHARDS, fresh)

    def run(self, one: BatchRun, tags: Mapping[str, str]) -> PartitionOutcome:
        key, run_id = one.partition, one.run_id
        from etl_assets.documents.partitions import anew_of

        runs = PartitionRuns(
            lambda: self._platform, run_id=run_id, watch=self._watch, wait_s=self._wait_s, anew=anew_of(tags)
        )  # fmt: skip
        started = time.monotonic()
        result: dg.ExecuteInProcessResult | None = None
        try:
            result = self._job.execute_in_process(
                instance=self._instance, partition_key=key, run_id=run_id, tags=dict(tags), raise_on_error=False,
                resources={"partition_runs": runs}, run_config=_QUIET,
            )  # fmt: skip
        except KeyboardInterrupt:
            if self._stopped_by() is None:
                raise
        finally:
            report = runs.report(key)
            error = None if self._stopped_by() is None else KeyboardInterrupt("canceled")
            was_canceled = runs.was_canceled(key)
            runs.close(error)
        state = self._state(run_id, result, was_canceled=was_canceled)
        message = None if state == "succeeded" else "canceled" if state == "canceled" else _error_of(result)
        return PartitionOutcome(
            key, run_id, state, message, report, _checks_of(result), time.monotonic() - started
        )  # fmt: skip

    def _state(self, run_id: str, result: "dg.ExecuteInProcessResult | None", *, was_canceled: bool) -> State:
        if self._stopped_by() is None and not was_canceled:
            return "succeeded" if result is not None and result.success else "failed"
        run = self._instance.get_run_by_id(run_id)
        if run is not None and run.is_success:
            return "succeeded"  # the signal came after the last step
        if run is not None:
            why = "Canceled by a person." if was_canceled else "Interrupted by the person or system that began it."
            self._instance.report_run_canceled(run, why)
        return "canceled"


def follow_controls(settings: Settings, ledger: Ledger) -> int:
    """Tell the runs that wait in Dagster's queue what is paused and urgent now; how many of them are held back.

    A home in which Dagster never ran has no queue, and gets none.
    """
    from etl_assets.documents import partitions
    from etl_assets.ledger.controls import controls

    with _known_instance(settings) as instance:
        return 0 if instance is None else partitions.follow_controls(instance, controls(ledger))


def instance_runs(settings: Settings, name: str | None = None) -> "list[InstanceRun]":
    """Ingestion runs of Dagster's that have not ended; or those whose id, or whose backfill's, begins with ``name``."""
    with _known_instance(settings) as instance:
        if instance is None:
            return []
        from etl_assets.resources import instance_runs

        return instance_runs.unfinished_runs(instance) if name is None else instance_runs.runs_named(instance, name)


def cancel_run(settings: Settings, run_id: str) -> bool:
    """Let Dagster stop a run, or take it out of the queue; whether it could."""
    with _known_instance(settings) as instance:
        if instance is None:
            return False
        from etl_assets.resources import instance_runs

        return instance_runs.cancel(instance, run_id)


@contextmanager
def _known_instance(settings: Settings) -> "Iterator[dg.DagsterInstance | None]":
    """The instance of a home in which Dagster has been; none is made."""
    if not (settings.home.dagster / "dagster.yaml").exists():
        yield None
        return
    with _instance(settings) as instance:
        yield instance


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Events go to the instance; the terminal belongs to whoever called."""


def _error_of(result: "dg.ExecuteInProcessResult | None") -> str:
    """The first failure of a run in one message: a step's own, else why the run could not go on."""
    from etl_assets.failures import without_secrets

    problems: list[str] = []
    for event in result.all_events if result is not None else ():
        data = event.event_specific_data
        error = getattr(data, "error", None)
        if event.is_step_failure and error is not None:
            failure = getattr(data, "user_failure_data", None)
            problems.insert(0, f"{event.step_key}: {(failure and failure.description) or error.message.strip()}")
        elif event.is_failure and error is not None:
            problems.append(error.message.strip())
    blocked = [check for check in _checks_of(result) if not check.passed and check.severity == "error"]
    problems += [f"check {check.name}: {check.details or 'did not pass'}" for check in blocked]
    return without_secrets(problems[0]) if problems else "the run ended without a reason; see the run in the UI"


def _checks_of(result: "dg.ExecuteInProcessResult | None") -> tuple[CheckOutcome, ...]:
    if result is None:
        return ()
    return tuple(
        CheckOutcome(
            one.check_name, one.asset_key.to_user_string(), one.passed,
            "warn" if one.severity.value == "WARN" else "error", "" if one.passed else one.description or "",
        )
        for one in result.get_asset_check_evaluations()
    )  # fmt: skip


@contextmanager
def _instance(settings: Settings) -> Iterator["dg.DagsterInstance"]:
    """The Dagster instance of the home, its configuration written if it is not there yet."""
    import dagster as dg

    folder = render_instance(settings)
    try:
        with opening_storage(folder):
            opened = dg.DagsterInstance.from_config(str(folder))
        with opened as instance:
            yield instance
    except dg.DagsterInvalidConfigError as e:
        raise ConfigError(f"{folder / 'dagster.yaml'}: {e}") from e
    except EtlAssetsError:
        raise
    except Exception as e:
        if (problem := _database_problem(e)) is not None:
            raise TransientError(
                f"Dagster's storage in PostgreSQL: {problem}; check ETL_DAGSTER_POSTGRES_URL and the server, run again"
            ) from None  # the library's own errors hold the address, and the address holds the password
        if (problem := _storage_problem(e)) is None:
            raise
        raise PermanentError(
            f"Dagster's storage in {folder}: {problem}; free some space and check rights, then run again"
        ) from e


def _database_problem(error: BaseException | None) -> str | None:
    """What PostgreSQL's driver says is wrong, in its words without credentials, if that is why Dagster failed."""
    from etl_assets.failures import without_secrets

    while error is not None:
        if type(error).__module__.startswith("psycopg2"):
            return without_secrets(" ".join(str(error).split()))
        error = error.__cause__ or error.__context__
    return None


def _storage_problem(error: BaseException | None) -> str | None:
    """What SQLite says is wrong, if that is why Dagster failed: a disk that is full, or a file out of reach."""
    while error is not None:
        if isinstance(error, sqlite3.OperationalError):
            return str(error)
        error = error.__cause__ or error.__context__
    return None

"""The runs that one process does one after the other. What is paused, urgent or canceled is asked before each."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from uuid import uuid4

from etl_assets.ledger import waiting_runs
from etl_assets.ledger.controls import Controls, controls
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import Lease


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A run that is to be done."""

    run_id: str
    partition: str


class Batch:
    """Runs of partitions, entered in the ledger as waiting until each begins. Use it as a context manager.

    ``lease_s``: after a kill -9, so long others may take the runs for waiting (on PostgreSQL; at once on SQLite).
    """

    def __init__(self, ledger: Ledger, partitions: Sequence[str], *, source: str, lease_s: float) -> None:
        self.batch_id = str(uuid4())
        self._ledger = ledger
        self._source = source
        self._lease_s = lease_s
        self._lease: Lease | None = None
        self._left = [BatchRun(str(uuid4()), key) for key in dict.fromkeys(partitions)]
        self._begun: BatchRun | None = None
        self.canceled: list[BatchRun] = []

    def __enter__(self) -> "Batch":
        self._lease = waiting_runs.hold_batch(self._ledger, self.batch_id, self._lease_s)
        now = controls(self._ledger)
        rows = [(one.run_id, one.partition, now.priority_of(one.partition, self.batch_id)) for one in self._left]
        with self._ledger.writing() as connection:
            waiting_runs.enter(connection, self.batch_id, self._source, rows)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lease, self._lease = self._lease, None
        left = [*self._left, self._begun] if self._begun is not None else self._left
        try:
            with self._ledger.writing() as connection:
                waiting_runs.give_up(connection, [one.run_id for one in left], error=None)
        finally:
            if lease is not None:
                lease.discard()

    def next(self) -> BatchRun | None:
        """The most urgent run that may begin; ``None`` when there is none.

        Runs that were canceled meanwhile are moved to ``canceled``.
        """
        now = self._look()
        ready = [one for one in self._left if now.pause_of(one.partition, self.batch_id) is None]
        if not ready:
            return None
        chosen = max(ready, key=lambda one: now.priority_of(one.partition, self.batch_id) or 0)
        self._left.remove(chosen)
        self._begun = chosen
        return chosen

    def held_back(self) -> list[BatchRun]:
        """Take out what is left, since it is paused."""
        self._look()
        held, self._left = self._left, []
        with self._ledger.writing() as connection:
            waiting_runs.withdraw(connection, [one.run_id for one in held])
        return held

    def ended(self, run: BatchRun, error: str | None) -> None:
        """Note how a run ended that never took its partition; of others the ledger knows."""
        with self._ledger.writing() as connection:
            waiting_runs.give_up(connection, [run.run_id], error=error)

    def _look(self) -> Controls:
        with self._ledger.reading() as connection:
            waiting = waiting_runs.waiting(connection, self.batch_id)
        self.canceled += [one for one in self._left if one.run_id not in waiting]
        self._left = [one for one in self._left if one.run_id in waiting]
        return controls(self._ledger)

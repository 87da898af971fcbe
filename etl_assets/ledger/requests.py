"""Runs that were asked for, one row per partition: so that a run is asked for once per change, and again when it must.

The run key is ``partition:digest:revision``. Dagster starts no second run under a key it has seen, so a digest alone
would let a file that goes A -> B -> A, or whose run failed, be skipped for ever: the revision rises with every request
that is settled, and never falls.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import clock, draw, upsert

BACKOFF_S = 30.0
LONGEST_BACKOFF_S = 3600.0
WHATEVER = "*"
"""In place of what a run was asked for: nothing is asked for before ``retry_at``, whatever changes."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The last request of a partition. ``open`` until Dagster reports its run finished, or does not know it.

    ``arrivals`` is the digest of the changed keys it was asked for ("" when there were none). ``failures`` in a row;
    nothing is asked for again before ``retry_at`` (Unix seconds UTC), unless other keys changed.
    """

    partition: str
    run_key: str
    arrivals: str
    revision: int
    open: bool
    requested_at: float
    failures: int = 0
    retry_at: float = 0.0

    def settled(self, *, succeeded: bool, at: float) -> "RunRequest":
        """This request once its run has ended, or was never started."""
        failures = 0 if succeeded else self.failures + 1
        wait = min(BACKOFF_S * 2.0 ** (failures - 1), LONGEST_BACKOFF_S) if failures else 0.0
        return replace(
            self, open=False, revision=self.revision + 1, failures=failures, retry_at=at + wait if failures else 0.0
        )

    def is_due(self, arrivals: str, *, at: float) -> bool:
        """Whether work that is there now may be asked for."""
        if self.open:
            return False
        return at >= self.retry_at or (arrivals != "" and self.arrivals not in (arrivals, WHATEVER))


def next_request(last: RunRequest | None, partition: str, digest: str, arrivals: str, *, at: float) -> RunRequest:
    """The request that follows ``last``."""
    revision = last.revision if last else 0
    key = f"{partition}:{digest}:{revision}"
    return RunRequest(partition, key, arrivals, revision, True, at, last.failures if last else 0)


def requests(connection: Connection, only: Collection[str] | None = None) -> dict[str, RunRequest]:
    """The last request of every partition that ever had one, or of ``only`` these."""
    table = schema.run_requests
    query = select(*[table.c[name] for name in RunRequest.__dataclass_fields__])
    if only is not None:
        query = query.where(table.c.partition.in_(sorted(only)))
    found = (RunRequest(*row) for row in connection.execute(query))
    return {one.partition: replace(one, open=bool(one.open)) for one in found}


def save(connection: Connection, changed: Mapping[str, RunRequest]) -> None:
    """Write these requests, each in place of the partition's last one."""
    if not changed:
        return
    upsert(connection, schema.run_requests, [_row(one) for one in changed.values()])


def put_off(connection: Connection, partition: str) -> None:
    """Ask for nothing in a partition for ``LONGEST_BACKOFF_S``: a person canceled a run of it."""
    hold(connection)
    at = clock(connection)
    last = requests(connection, [partition]).get(partition) or RunRequest(partition, "", "", 0, False, at)
    ended = replace(last.settled(succeeded=False, at=at), arrivals=WHATEVER, retry_at=at + LONGEST_BACKOFF_S)
    save(connection, {partition: ended})


def ask_again(connection: Connection, partitions: Collection[str]) -> None:
    """Let what was put off be asked for at once."""
    table = schema.run_requests
    put_off = set(connection.scalars(select(table.c.partition).where(table.c.arrivals == WHATEVER)))
    for key in sorted(put_off.intersection(partitions)):
        again = update(table).where(table.c.partition == key)
        connection.execute(again.values(retry_at=0.0, arrivals="", failures=0))


def hold(connection: Connection) -> None:
    """Let no other sensor enter requests before this transaction has committed: what is read now stays true."""
    draw(connection, "request")


def _row(request: RunRequest) -> dict[str, object]:
    row = {name: getattr(request, name) for name in RunRequest.__dataclass_fields__}
    return row | {"open": int(request.open)}

"""Two workers against one, each pinned to a core with one model thread: ``python benchmarks/workers.py``.

PostgreSQL, RabbitMQ and MinIO are the tests' servers, started here and left to the kernel on all cores, as is the
daemon; each worker is a machine with a home of its own. Every partition is the same set of real documents, of a tenant
of its own, so that nothing computed for one serves another. Measured is the steady state: from the moment at which
every worker has done one run to the moment at which the first of them finds no more. DATA: ``ETL_SHARED_DATA``.
"""

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import dagster as dg

from etl_assets.asset_keys import TENANT_TAG
from etl_assets.resources.run_heart import WORKER_TAG
from etl_assets_tests.real.queued_runs import Machines, instance_of, machines, platform_of
from etl_assets_tests.servers.sharing import shared_folder, variables_of

DATA = Path(os.environ.get("ETL_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PARTS = (
    "nist-sp800/NIST.SP.800-38b.pdf", "cisa-csaf", "debian-handbook", "owasp-cheatsheets", "vendor-reports-text",
)  # fmt: skip
COLLECTIONS = "defaults:\n  publications: {vector: true, keyword: true, graph: false}\n"
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
POLL_S = 2.0
"""Looking costs the cores that are measured."""

SETTINGS = {
    "lease_s": 20.0, "search_time_limit_s": 2.0, "embedder_threads": 1, "parser_processes": 1, "max_runs": 4,
    "arrivals_interval_s": 30,
}  # fmt: skip


@dataclass(frozen=True)
class Done:
    """One run: who executed it, and when, in seconds."""

    worker: str
    began: float
    ended: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of one worker and of two, in turn")
    parser.add_argument(
        "--runs", type=int, default=6, help="partitions for each worker in a round; the first is left out"
    )
    parser.add_argument("--documents", type=int, default=1000, help="of each partition, at most")
    given = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder, machines_of(Path(folder)) as place:
        for number in range(given.rounds):
            for count in (1, 2):
                done = work_off(place, f"r{number}w{count}", count, given.runs * count, documents(given.documents))
                rates[count].append(rate(done) * 60)
                print(f"round {number + 1}, {count} worker(s): {rates[count][-1]:6.2f} partitions a minute", flush=True)
    one, two = (statistics.median(rates[count]) for count in (1, 2))
    print(f"one worker  {one:6.2f} partitions a minute  1.00 x (baseline)")
    print(f"two workers {two:6.2f} partitions a minute  {two / one:4.2f} x")


@contextmanager
def machines_of(folder: Path) -> Iterator[Machines]:
    servers: dict[str, str] = {}
    shared = shared_folder(uuid4().hex)
    for name in ("postgres", "rabbitmq", "minio"):
        servers.update(variables_of(name, shared, install=True))
    with machines(folder, servers, f"b{os.getpid()}_", collections=COLLECTIONS, **SETTINGS) as place:
        yield place


def work_off(place: Machines, name: str, count: int, partitions: int, given: dict[str, Path]) -> list[Done]:
    """All partitions of a round by so many workers, each alone on its core."""
    daemon, *hosts = (place.machine(f"{name}-{part}") for part in ("daemon", *range(count)))
    with instance_of(daemon) as instance, platform_of(daemon) as platform:
        for number in range(partitions):
            for path, source in given.items():
                platform.arrivals.put(f"{name}-{number}/reports/{path}", source)
        processes = [place.workers(host, "--min", "1", "--max", "1") for host in hosts]
        for core, process in zip(sorted(os.sched_getaffinity(0)), processes, strict=False):
            os.sched_setaffinity(process.pid, {core})
        processes.append(place.daemon(daemon))

        while len(records := ended(instance, f"{name}-")) < partitions:
            time.sleep(POLL_S)
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait()
    assert all(one.dagster_run.is_success for one in records), "a run failed; see its events"
    return [Done(one.dagster_run.tags[WORKER_TAG], one.start_time or 0.0, one.end_time or 0.0) for one in records]


def ended(instance: dg.DagsterInstance, tenants: str) -> list[dg.RunRecord]:
    """Runs of tenants whose names begin so."""
    records = instance.get_run_records(dg.RunsFilter(statuses=list(FINISHED)))
    return [one for one in records if one.dagster_run.tags[TENANT_TAG].startswith(tenants)]


def documents(most: int) -> dict[str, Path]:
    root = DATA / "documents" / "docs"
    found = {}
    for part in PARTS:
        assert (root / part).exists(), f"ETL_SHARED_DATA: {root / part} is not there"
        files = [path for path in (root / part, *sorted((root / part).glob("*"))) if path.is_file()]
        found.update({str(path.relative_to(root)): path for path in files})
    return dict(list(found.items())[:most])


def rate(done: list[Done]) -> float:
    """Runs a second while every worker is warm and has work, runs that lie partly in that time counted in part."""
    of = {
        worker: sorted((one for one in done if one.worker == worker), key=lambda one: one.began)
        for worker in {one.worker for one in done}
    }
    begin = max(runs[1].began for runs in of.values())
    end = min(runs[-1].ended for runs in of.values())
    inside = sum(max(0.0, min(one.ended, end) - max(one.began, begin)) / (one.ended - one.began) for one in done)
    return inside / (end - begin)


if __name__ == "__main__":
    main()

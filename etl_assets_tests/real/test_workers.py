"""Several machines: homes of their own, one queue of runs, and workers that come, go and are killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import func, select

from etl_assets.documents.platform import Platform
from etl_assets.ledger import schema
from etl_assets.resources.run_heart import heart_of
from etl_assets_tests.real.queued_runs import Machines, awaited, instance_of, machines, platform_of
from etl_assets_tests.servers.fixtures import Variables

ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@pytest.fixture
def place(
    tmp_path: Path, postgres: Variables, rabbitmq: Variables, minio: Variables, databases: str
) -> Iterator[Machines]:
    with machines(tmp_path, {**postgres, **rabbitmq, **minio}, databases) as made:
        yield made


def put(platform: Platform, folder: Path, collection: str, count: int) -> None:
    part = folder / "part"
    for i in range(count):
        part.write_text(f"{collection} {i}: APT28 used EMOTET.")
        platform.arrivals.put(f"{collection}/{i}.txt", part)


def published(platform: Platform) -> int:
    p = schema.publications
    with platform.ledger.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(p).where(p.c.end_seq.is_(None))) or 0)


def test_workers_of_two_machines_share_the_work_and_a_killed_one_is_replaced(place: Machines, tmp_path: Path) -> None:
    daemon, one, other = (place.machine(name) for name in ("daemon", "one", "other"))
    with instance_of(daemon) as instance, platform_of(daemon) as platform:
        for collection in ("acme/a", "acme/b", "acme/c", "umbrella/a"):
            put(platform, tmp_path, collection, 3)
        place.daemon(daemon)
        first = place.workers(one, "--min", "1", "--max", "1", "--check-every", "1")
        began: dict[str, str] = {}
        most_of_a_tenant = 0

        def a_run_has_begun() -> str | None:
            return next((heart for run in instance.get_runs() if (heart := heart_of(instance, run.run_id))), None)

        pid = int(awaited("a worker takes a run", a_run_has_begun).split()[0].rpartition(":")[2])
        os.kill(pid, signal.SIGKILL)  # in the middle of the run; the process that took the message lives
        place.workers(other, "--min", "1", "--max", "2", "--check-every", "1")

        def all_is_published() -> bool:
            nonlocal most_of_a_tenant
            runs = instance.get_runs()
            at_work = [
                r.tags["tenant"]
                for r in runs
                if r.status in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
            ]
            most_of_a_tenant = max([most_of_a_tenant, *(at_work.count(tenant) for tenant in set(at_work))])
            began.update({r.run_id: heart.split()[0] for r in runs if (heart := heart_of(instance, r.run_id))})
            return published(platform) == 12 and all(run.status in ENDED for run in runs)

        awaited("everything is published", all_is_published)
        assert most_of_a_tenant == 2, "a tenant has two runs at one time, on all machines together"
        assert len(set(began.values())) >= 3, "the killed one, the one in its place and one of the other machine"
        failed = [run for run in instance.get_runs() if run.status == dg.DagsterRunStatus.FAILURE]
        assert len(failed) == 1, "the run of the killed worker, which was started anew"
        with platform.ledger.reading() as connection:
            outputs = connection.scalar(select(func.count()).select_from(schema.outputs))
            twice = select(schema.publications.c.document_id).group_by("document_id").having(func.count() > 1)
            assert outputs == 12 * 3 and connection.scalars(twice).all() == [], (
                "nothing was computed or published twice"
            )
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=60) == 0, "its worker was idle, so it is drained at once"

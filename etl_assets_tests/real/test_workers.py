"""Several machines: homes of their own, one queue of runs, and workers that come, go and are killed."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
from sqlalchemy import func, select

from etl_assets.documents.model import STAGES
from etl_assets.documents.platform import Platform
from etl_assets.ledger import schema
from etl_assets.resources.run_heart import WORKER_TAG
from etl_assets.resources.run_queue import broker_url, open_queue, waiting
from etl_assets.settings import Settings
from etl_assets_tests.real.held_models import COLLECTIONS, HELD, HeldJina
from etl_assets_tests.real.queued_runs import Machines, awaited, hearts, instance_of, machines, platform_of
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.model import Server

SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
AT_WORK = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
ENDED = {SUCCESS, FAILURE, CANCELED}


@pytest.fixture
def model() -> Iterator[HeldJina]:
    with HeldJina() as standin:
        yield cast("HeldJina", standin)


@pytest.fixture
def place(
    tmp_path: Path, postgres: Variables, rabbitmq: Variables, minio: Variables, databases: str, model: HeldJina
) -> Iterator[Machines]:
    servers = {**postgres, **rabbitmq, **minio}
    with machines(tmp_path, servers, databases, collections=COLLECTIONS, jina=model.place, pool_limit=1) as made:
        yield made
        model.let_go.set()


def put(platform: Platform, folder: Path, collection: str, count: int, *words: str) -> None:
    part = folder / "part"
    for i in range(count):
        part.write_text(f"{collection} {i}: APT28 used EMOTET. {' '.join(words)}")
        platform.arrivals.put(f"{collection}/{i}.txt", part)


def published(platform: Platform) -> int:
    p = schema.publications
    with platform.ledger.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(p).where(p.c.end_seq.is_(None))) or 0)


def done_once(platform: Platform, documents: int) -> bool:
    """Whether every stage of every document was computed, and every document published, once."""
    with platform.ledger.reading() as connection:
        outputs = connection.scalar(select(func.count()).select_from(schema.outputs))
        publications = connection.scalar(select(func.count()).select_from(schema.publications))
    return outputs == documents * len(STAGES) and publications == documents


def run_of(instance: dg.DagsterInstance, collection: str) -> dg.DagsterRun | None:
    """The newest run of a collection such as ``acme/a``."""
    tenant, _, name = collection.partition("/")
    filters = dg.RunsFilter(tags={"tenant": tenant, "collection": name})
    return next(iter(instance.get_runs(filters, limit=1)), None)


def state_of(instance: dg.DagsterInstance, collection: str) -> dg.DagsterRunStatus | None:
    run = run_of(instance, collection)
    return None if run is None else run.status


def run_id_of(instance: dg.DagsterInstance, collection: str) -> str:
    run = run_of(instance, collection)
    assert run is not None
    return run.run_id


def pid_of(instance: dg.DagsterInstance, collection: str) -> int:
    """The process that executes the run of a collection; the one that took the message is its parent."""
    run = run_of(instance, collection)
    assert run is not None
    return int(run.tags[WORKER_TAG].rpartition(":")[2])


def said(settings: Settings) -> str:
    return (settings.home.logs / "etl_assets.cli.log").read_text()


def test_a_killed_run_gives_its_pool_slot_back_and_goes_on_by_itself(
    place: Machines, tmp_path: Path, model: HeldJina
) -> None:
    daemon, one, other = (place.machine(name) for name in ("daemon", "one", "other"))
    with instance_of(daemon) as instance, platform_of(daemon) as platform:
        put(platform, tmp_path, "acme/a", 2, HELD)
        place.daemon(daemon)
        workers = [place.workers(machine, "--min", "1", "--max", "1") for machine in (one, other)]
        awaited("a run waits for the model, with the only slot of its pool", lambda: model.is_asked("acme/a"))
        for collection in ("acme/b", "acme/c", "umbrella/a"):
            put(platform, tmp_path, collection, 1)
        pool = instance.event_log_storage.get_concurrency_info
        awaited("another run waits for the slot", lambda: pool("embeddings").pending_step_count)
        most_of_a_tenant = 0

        def all_is_published() -> bool:
            nonlocal most_of_a_tenant
            at_work = [run.tags["tenant"] for run in instance.get_runs(dg.RunsFilter(statuses=AT_WORK))]
            most_of_a_tenant = max([most_of_a_tenant, *(at_work.count(tenant) for tenant in set(at_work))])
            return published(platform) == 5 and not instance.get_runs(dg.RunsFilter(statuses=AT_WORK))

        killed = run_id_of(instance, "acme/a")
        os.kill(pid_of(instance, "acme/a"), signal.SIGKILL)
        model.let_go.set()
        awaited("its documents are published by another run", lambda: published(platform) >= 2)
        awaited("everything is published", all_is_published)
        assert most_of_a_tenant == 2, "a tenant has two runs at one time, on all machines together"
        failed = {run.run_id for run in instance.get_runs() if run.status == FAILURE}
        assert killed in failed, "its worker was killed; another run went on with its work"
        assert done_once(platform, 5)
        awaited("no heart is left", lambda: hearts(place) == [])
        assert not pool("embeddings").claimed_slots
        for process in workers:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0, "its worker was idle, so it is drained at once"


def test_workers_outlive_a_restart_of_the_broker_idle_and_at_work(
    tmp_path: Path, postgres: Variables, minio: Variables, databases: str, model: HeldJina,
    own_server: Callable[[str, Mapping[str, str]], Server],
) -> None:  # fmt: skip
    broker = own_server("rabbitmq", {})
    servers = {**postgres, **minio, **broker.variables}
    with machines(tmp_path, servers, databases, collections=COLLECTIONS, jina=model.place) as place:
        machine = place.machine("one")
        with instance_of(machine) as instance, platform_of(machine) as platform:
            put(platform, tmp_path, "acme/a", 2, HELD)
            place.daemon(machine)
            place.workers(machine, "--min", "2", "--max", "2")
            awaited("one worker is at work", lambda: model.is_asked("acme/a"))
            broker.restart()
            put(platform, tmp_path, "umbrella/a", 1)
            awaited("the idle one works on", lambda: state_of(instance, "umbrella/a") == SUCCESS)
            assert state_of(instance, "acme/a") == dg.DagsterRunStatus.STARTED
            model.let_go.set()
            awaited("the busy one goes on", lambda: state_of(instance, "acme/a") == SUCCESS)
            queue = open_queue(broker_url(machine))
            awaited("no message is left", lambda: waiting(queue) == 0)
            assert len(instance.get_runs()) == 2 and done_once(platform, 3)


def test_workers_come_with_the_queue_stop_what_is_canceled_and_finish_before_they_go(
    place: Machines, tmp_path: Path, model: HeldJina, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = place.machine("one")
    for name, value in machine.as_environment().items():
        monkeypatch.setenv(name, value)
    with instance_of(machine) as instance, platform_of(machine) as platform:
        for collection in ("acme/a", "umbrella/a"):
            put(platform, tmp_path, collection, 1, HELD)
        daemon = place.daemon(machine)
        workers = place.workers(machine, "--min", "1", "--max", "2", "--check-every", "2")
        awaited("a second worker has come", lambda: "2 workers" in said(machine))
        awaited("one run is in its step", lambda: model.asked)
        put(platform, tmp_path, "other/a", 1)
        awaited("a third run waits in the queue", lambda: state_of(instance, "other/a") in AT_WORK)
        stop(daemon)  # it would start canceled work anew

        held, waits = ("acme/a", "umbrella/a") if model.is_asked("acme/a") else ("umbrella/a", "acme/a")
        stopped = (waits, "other/a")
        for collection in stopped:
            assert instance.run_launcher.terminate(run_id_of(instance, collection))
        awaited("both are canceled", lambda: {state_of(instance, one) for one in stopped} == {CANCELED})
        leases = schema.leases
        with platform.ledger.reading() as connection:
            names = select(leases.c.name).where(leases.c.expires_at > 0, leases.c.name.not_like("%/%"))
            mine = [name for name in connection.scalars(names) if name.startswith(waits.replace("/", "."))]
        assert mine == [], "a canceled run lets its partition go"
        started = {r.dagster_run.tags["tenant"] for r in instance.get_run_records() if r.start_time is not None}
        assert "other" not in started, "canceled in the queue, it never starts"
        awaited("their hearts are gone", lambda: hearts(place) == [run_id_of(instance, held)])

        awaited("the idle worker is not needed", lambda: "has finished" in said(machine))
        workers.send_signal(signal.SIGTERM)
        awaited("the workers are drained", lambda: "draining" in said(machine))
        assert workers.poll() is None and state_of(instance, held) == dg.DagsterRunStatus.STARTED
        model.let_go.set()
        assert workers.wait(timeout=60) == 0
        assert state_of(instance, held) == SUCCESS, "the run was finished before its worker went"


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)

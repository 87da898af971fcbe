"""Signs of life of queued runs: a run that shall stop is interrupted, a lost one holds nothing, and nothing stays."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from etl_assets.resources.pool_waits import wait_asleep
from etl_assets.resources.run_heart import WORKER_TAG, beating, forget, heart_of, is_alive, report_lost

CANCELING, FAILURE = dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.FAILURE


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    limited = {"concurrency": {"pools": {"granularity": "op", "default_limit": 1}}}
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster")), overrides=limited) as made:
        yield made


def stopping(status: dg.DagsterRunStatus) -> dg.JobDefinition:
    """A job that is told to stop while it runs, and goes on until it is interrupted."""

    @dg.op
    def goes_on(context: dg.OpExecutionContext) -> None:
        run = context.instance.get_run_by_id(context.run_id)
        assert run is not None and heart_of(context.instance, context.run_id)
        if status == CANCELING:
            context.instance.report_run_canceling(run)
        else:
            context.instance.report_run_failed(run)
        threading.Event().wait(60)
        context.instance.add_run_tags(context.run_id, {"interrupted": "no"})

    @dg.job(executor_def=dg.in_process_executor)
    def told_to_stop() -> None:
        goes_on()

    return told_to_stop


@pytest.mark.parametrize(
    ("told", "ends"), [(CANCELING, dg.DagsterRunStatus.CANCELED), (FAILURE, FAILURE)], ids=["canceled", "lost"]
)
def test_a_run_that_shall_stop_is_interrupted(
    instance: dg.DagsterInstance, told: dg.DagsterRunStatus, ends: dg.DagsterRunStatus
) -> None:
    job = stopping(told)
    run = instance.create_run_for_job(job)
    with beating(instance, run.run_id, worker="here:1", beat_s=0.05):
        execute_run(InMemoryJob(job), run, instance)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert (ended.status, ended.tags[WORKER_TAG]) == (ends, "here:1")
    assert "interrupted" not in ended.tags
    assert heart_of(instance, run.run_id) is None, "nothing stays of a run that has ended"


def test_a_canceled_run_does_not_go_on_waiting_for_a_pool(instance: dg.DagsterInstance) -> None:
    @dg.op(pool="taken")
    def waits() -> None:
        """It never gets its turn."""

    @dg.job(executor_def=dg.in_process_executor)
    def waiting() -> None:
        waits()

    wait_asleep()
    events = instance.event_log_storage
    events.initialize_concurrency_limit_to_default("taken")
    assert events.claim_concurrency_slot("taken", "another run", "waits").is_claimed
    run = instance.create_run_for_job(waiting)

    def cancel() -> None:
        while not events.get_concurrency_info("taken").pending_step_count:
            time.sleep(0.05)
        instance.report_run_canceling(run)

    with ThreadPoolExecutor(1) as thread, beating(instance, run.run_id, worker="here:1", beat_s=0.05):
        canceled = thread.submit(cancel)
        execute_run(InMemoryJob(waiting), run, instance)
        canceled.result()
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.status == dg.DagsterRunStatus.CANCELED


def test_a_heart_that_beats_is_alive_and_one_that_stands_still_is_not(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(stopping(CANCELING))
    with beating(instance, run.run_id, worker="here:1", beat_s=0.05):
        assert is_alive(instance, run.run_id)
    instance.run_storage.set_cursor_values({f"etl_assets/heart/{run.run_id}": "here:1 7"})
    assert not is_alive(instance, run.run_id, within_s=0.6)
    forget(instance, run.run_id)
    forget(instance, run.run_id)
    assert heart_of(instance, run.run_id) is None


@pytest.mark.parametrize("canceled", [False, True])
def test_a_lost_run_holds_no_pool_slot_and_no_heart(instance: dg.DagsterInstance, canceled: bool) -> None:
    run = instance.create_run_for_job(stopping(CANCELING))
    events = instance.event_log_storage
    pool = f"pool {canceled}"
    events.set_concurrency_slots(pool, 1)
    assert events.claim_concurrency_slot(pool, run.run_id, "knowledge_graph").is_claimed
    instance.run_storage.set_cursor_values({f"etl_assets/heart/{run.run_id}": "here:1 7"})
    if canceled:
        instance.report_run_canceling(run)
    current = instance.get_run_by_id(run.run_id)
    assert current is not None
    report_lost(instance, current, "its worker was lost")
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == (dg.DagsterRunStatus.CANCELED if canceled else FAILURE), "a canceled run is not begun anew"
    assert events.claim_concurrency_slot(pool, "another run", "knowledge_graph").is_claimed
    assert heart_of(instance, run.run_id) is None

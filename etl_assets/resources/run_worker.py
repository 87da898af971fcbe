"""What a worker process executes: ``celery --app etl_assets.resources.run_worker worker``, see ``workers.py``.

Imported in worker processes only: here, and nowhere else, the settings are read at import.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._cli.api import _execute_run_command_body

from etl_assets.resources.document_runs import settings_from_environment
from etl_assets.resources.free_workers import TakesWhenFree
from etl_assets.resources.pool_waits import wait_asleep
from etl_assets.resources.run_heart import beating, forget, heart_of, is_alive, report_lost
from etl_assets.resources.run_queue import BUSY_FILE, EXECUTE_RUN, broker_url, open_queue

wait_asleep()
app = open_queue(broker_url(settings_from_environment()))
app.steps["consumer"].add(TakesWhenFree)


@app.task(name=EXECUTE_RUN, bind=True)  # type: ignore[untyped-decorator]
def execute_run(task: Any, run_id: str) -> None:
    """Execute a run of which the storage says that it shall be executed; the message may come more than once."""
    with dg.DagsterInstance.get() as instance, _busy():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            forget(instance, run_id)  # its worker was killed, and the monitoring daemon noticed before this one
            return
        if heart_of(instance, run_id) is not None:
            _after_another(instance, run)
            return
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, "Canceled before a worker began.")
            return
        with beating(instance, run_id, worker=f"{socket.gethostname()}:{os.getpid()}"):
            _execute_run_command_body(
                run_id=run_id, instance=instance, write_stream_fn=_drop, set_exit_code_on_failure=False
            )


def _after_another(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """The message was delivered before. If that worker lives the run is its own; if not, the run has to begin anew."""
    alive = is_alive(instance, run.run_id)
    current = instance.get_run_by_id(run.run_id)
    if current is None or current.is_finished:
        forget(instance, run.run_id)  # somebody else noticed first that its worker was lost
    elif not alive:
        report_lost(instance, current, "The worker of this run was lost; the daemon starts it anew.")


@contextmanager
def _busy() -> Iterator[None]:
    """Keep a file locked while something is executed: the kernel frees it when this process dies."""
    path = os.environ.get(BUSY_FILE)
    if path is None:
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _drop(_event: Any) -> None:
    """Events are in the storage already."""

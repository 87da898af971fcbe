"""Pausing, resuming, killing and canceling with Dagster's own daemon at work."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets.asset_keys import INGEST_JOB
from etl_assets.launching import cancel_run, follow_controls, instance_runs
from etl_assets.ledger import controls
from etl_assets.ledger.run_records import RunRecord, run_records
from etl_assets_tests.real.test_webserver import LAUNCH, REPOSITORY, SERVE, Ui
from etl_assets_tests.small_homes import STATIC, SmallHome

KEY = "acme.reports.00-of-01"
DOCUMENTS = 600
_PROCESS = re.compile(r"Started process for run \(pid: (\d+)\)")


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[Ui]:
    home = SmallHome.at(tmp_path / "home", {}, collections=STATIC)
    (home.settings.home.objects / "acme" / "reports").mkdir(parents=True)
    command = [sys.executable, "-c", SERVE, str(home.settings.home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "the UI did not start"
        try:
            yield Ui(home, address, process)
        finally:
            process.send_signal(signal.SIGTERM)


def process_of(ui: Ui, run_id: str) -> int | None:
    """The id of the process that executes a run."""
    with dg.DagsterInstance.from_config(str(ui.home.settings.home.dagster)) as instance:
        told = (_PROCESS.search(one.message or one.user_message or "") for one in instance.all_logs(run_id))
        return next((int(one[1]) for one in told if one), None)


def at_work(ui: Ui) -> RunRecord | None:
    """The run that has begun to compute something."""
    found = run_records(ui.home.platform.ledger, states=["started"])
    return next((one for one in found if one.progress and one.progress["stage"] != "raw_documents"), None)


def eventually(ui: Ui, condition: Callable[[], Any], what: str) -> Any:
    found: list[Any] = []
    ui.eventually(lambda: bool(found.append(condition()) or found[-1]), what)
    return found[-1]


def test_what_is_paused_waits_what_is_killed_goes_on_and_what_is_canceled_stops(ui: Ui) -> None:
    ledger, settings = ui.home.platform.ledger, ui.home.settings
    controls.pause(ledger, "*", reason="", by="me")
    for number in range(DOCUMENTS):
        ui.home.write(f"{number}.txt", f"APT28 used CVE-2021-{number:05} against a bank. " * 20)
    ui.home.partition()
    launched = ui.ask(
        LAUNCH,
        params={
            "selector": {**REPOSITORY, "pipelineName": INGEST_JOB},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": KEY}]},
            "runConfigData": {},
        },
    )["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    first = launched["run"]["runId"]
    # The queue is looked at every second: what it has not begun by now it does not begin.
    until = time.monotonic() + 10
    eventually(ui, lambda: time.monotonic() > until, "ten seconds")
    (waits,) = instance_runs(settings)
    assert (waits.run_id, waits.state, waits.is_held) == (first, "queued", True) and not ui.home.published()

    controls.resume(ledger, "*", by="me")
    assert follow_controls(settings, ledger) == 0
    begun = eventually(ui, lambda: at_work(ui), "a run at work")
    assert begun.run_id == first
    killed = process_of(ui, first)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    again = eventually(ui, lambda: (one := at_work(ui)) and one.run_id != first and one, "the work of the dead run")
    states = {one.run_id: one.state for one in run_records(ledger)}
    assert states[first] == "lost"

    assert cancel_run(settings, again.run_id)
    eventually(ui, lambda: all(one.run_id != again.run_id for one in instance_runs(settings)), "the end of the run")
    # Whatever was canceled where, the sensor brings it to its end.
    eventually(ui, lambda: len(ui.home.published()) == DOCUMENTS, "every document")
    assert not ui.home.held()

"""Listing, showing and canceling runs by command."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets.asset_keys import INGEST_JOB, PRIORITY_TAG
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.partitions import PARTITION_TAG
from etl_assets.launching import render_instance
from etl_assets.settings import Settings
from etl_assets_tests.cli.conftest import SETTINGS, Command, put
from etl_assets_tests.cli.steps_alone import StepsAlone
from etl_assets_tests.cli.test_control import queued_run

ACME, ZETA = "acme.reports.00-of-01", "zeta.mail.00-of-01"
DEADLINE_S = 180.0


def test_runs_that_ended_are_listed_and_shown(etl: Command, home: Path) -> None:
    listed = etl("runs", "list", "--json", home=home).records
    assert {(one["partition"], one["state"], one["source"]) for one in listed} == {
        (ACME, "succeeded", "sync"), (ZETA, "succeeded", "sync"),
    }  # fmt: skip
    (one,) = etl("runs", "list", "--tenant", "zeta", "--json", home=home).records
    (shown,) = etl("runs", "show", one["run_id"], "--json", home=home).records
    assert shown["steps"]["pages"]["computed"] == 1 and shown["seconds"] >= 0 and shown["batch"] == listed[0]["batch"]
    told = etl("runs", "show", one["run_id"][:8], home=home).out
    assert "state: succeeded" in told and "published_documents" in told
    assert "succeeded" in etl("runs", "list", home=home).out
    ended = etl("runs", "cancel", one["run_id"], home=home)
    assert ended.code == 1 and "ended already (succeeded)" in ended.out
    assert etl("runs", "list", "--open", home=home).out == "no such run\n"


def test_a_home_without_runs_tells_how_to_begin_one(etl: Command, tmp_path: Path) -> None:
    assert "etl-assets sync" in etl("runs", "list", home=tmp_path).out


@pytest.mark.parametrize("name", ["ffffffff-0000", "a b c d", "xyz", "../../etc", ""])
def test_a_name_of_no_run_is_refused(etl: Command, made_home: Path, name: str) -> None:
    for command in ("show", "cancel"):
        assert etl("runs", command, name, home=made_home).code == 2


def test_a_run_in_the_queue_is_listed_with_why_it_waits_and_can_be_canceled(etl: Command, home: Path) -> None:
    folder = render_instance(Settings(home_folder=str(home)))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        tags = {PARTITION_TAG: ACME, "dagster/sensor_name": "document_arrivals", PRIORITY_TAG: "3"}
        run_id = queued_run(instance, INGEST_JOB, tags)
        assert etl("pause", "acme", "--reason", "full", home=home).code == 0
        (one,) = etl("runs", "list", "--open", "--json", home=home).records
        assert (one["run_id"], one["state"], one["priority"], one["source"]) == (
            run_id, "queued", 3, "document_arrivals",
        )  # fmt: skip
        assert one["held"].startswith("acme is paused since") and "(full)" in one["held"]
        assert etl("runs", "cancel", run_id[:8], "--json", home=home).records[0]["outcome"] == "canceled"
        ended = instance.get_run_by_id(run_id)
        assert ended is not None and ended.status == dg.DagsterRunStatus.CANCELED
        assert etl("runs", "cancel", run_id, home=home).code == 1


def test_a_sync_at_work_is_canceled_with_what_waits_and_the_next_goes_on(
    etl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    put(home, {f"acme/{name}/1.txt": "EMOTET" for name in "abc"})
    (home / "collections.yaml").write_text(SETTINGS)
    whole, canceled = PartitionRun.pages, []

    def canceled_at_work(run: PartitionRun) -> Any:
        open_runs = etl("runs", "list", "--open", "--json", home=home).records
        canceled.append(etl("runs", "cancel", open_runs[0]["batch"], "--json", home=home))
        return whole(run)

    with monkeypatch.context() as at_work:
        at_work.setattr(PartitionRun, "pages", canceled_at_work)
        stopped = etl("sync", home=home)
    (outcome,) = canceled
    assert outcome.code == 0 and len(outcome.records) == 3
    assert stopped.code == 1 and stopped.err.count("was canceled") == 3, stopped.err
    assert [one["state"] for one in etl("runs", "list", "--json", home=home).records] == ["canceled"] * 3
    monkeypatch.setattr("etl_assets.launching._Runner", StepsAlone)
    assert etl("sync", home=home).code == 0
    assert [one["current"] for one in etl("status", "--json", home=home).records] == [1, 1, 1]


def test_the_monitor_shows_what_is_paused_waits_and_is_left(etl: Command, home: Path) -> None:
    assert etl("pause", "acme", "--reason", "full\x1b[2J", home=home).code == 0
    (found,) = etl("monitor", "--once", "--json", home=home).records
    assert found["paused"] == [{"scope": "acme", "reason": "full\x1b[2J"}] and found["queue"]["most_at_once"] == 5
    assert found["last_hour"]["succeeded"] == 2 and found["last_hour"]["documents"] == 6 and found["quarantined"] >= 1
    assert found["machine"]["disk_free_bytes"] > 0 and found["machine"]["memory_total_bytes"] > 0
    told = etl("monitor", "--once", home=home).out
    assert "paused: acme (full\\x1b[2J)" in told and "0 at work (at most 5)" in told and "2 succeeded" in told
    assert "\x1b" not in told


def test_the_monitor_draws_in_a_terminal_and_ends_with_ctrl_c(home: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    env = {**os.environ, "ETL_HOME": str(home), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    command = [sys.executable, "-m", "etl_assets.cli", "monitor", "--every", "0.2"]
    # A test that is run in the background has SIGINT ignored, and its children would have.
    with subprocess.Popen(
        command, env=env, stdin=follower, stdout=follower, stderr=follower,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as shown:  # fmt: skip
        os.close(follower)
        try:
            drawn = b""
            while drawn.count(b"last hour: 2 succeeded") < 2:
                drawn += _read(leader)
            shown.send_signal(signal.SIGINT)
            while _read(leader):
                pass
            assert shown.wait(DEADLINE_S) == 0
        finally:
            shown.kill()
    os.close(leader)


def _read(terminal: int) -> bytes:
    """What a terminal shows next; nothing when its other end is closed."""
    ready, _, _ = select.select([terminal], [], [], DEADLINE_S)
    assert ready, "nothing was drawn"
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""

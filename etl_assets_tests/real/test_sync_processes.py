"""Syncs in a process of their own: interrupted, and canceled from another one.

What they hold at less cost in every ``make test`` is in ``cli/test_runs`` and ``test_launching``.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import SETTINGS, Command, put

DEADLINE_S = 180.0


@pytest.mark.usefixtures("without_dagster")
def test_a_sync_that_is_interrupted_lets_its_partition_go(tmp_path: Path, etl: Command) -> None:
    home = tmp_path / "home"
    put(home, {f"acme/box/{n}.txt": " ".join(f"word{n}x{k}" for k in range(100)) for n in range(30)})
    (home / "collections.yaml").write_text(SETTINGS)
    env = {**os.environ, "ETL_HOME": str(home), "ETL_PARSER_PROCESSES": "1", "ETL_LEASE_S": "600"}
    command = [sys.executable, "-m", "etl_assets.cli", "sync"]
    # A shell's background jobs ignore SIGINT, and so would what they start.
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        wait_until(lambda: any((home / "originals").rglob("acme/*")), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    outcome = etl("sync", home=home)  # the lease would last for ten minutes
    assert outcome.code == 0, outcome.err
    assert etl("status", "--json", home=home).records[0]["current"] == 30


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Ask again and again as long as the process lives, leaving it the core in between."""
    while not happened():
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
            return


@pytest.mark.usefixtures("without_dagster")
def test_a_sync_in_another_process_is_canceled_and_the_next_goes_on(etl: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    documents = {"a": 150, "b": 2, "c": 2}  # the first is at work long enough to be canceled, and the others wait
    put(
        home,
        {f"acme/{name}/{number}.txt": f"EMOTET {number}" for name in documents for number in range(documents[name])},
    )
    (home / "collections.yaml").write_text(SETTINGS)
    env = {**os.environ, "ETL_HOME": str(home), "ETL_PARSER_PROCESSES": "1", "ETL_SEARCH_TIME_LIMIT_S": "0.1"}
    command = [sys.executable, "-m", "etl_assets.cli", "sync"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sync:
        deadline = time.monotonic() + DEADLINE_S
        while not (batch := etl("runs", "list", "--open", "--json", home=home).records):
            assert time.monotonic() < deadline
            with suppress(subprocess.TimeoutExpired):  # leave it the core until it has begun
                pytest.fail(f"the sync ended before it was canceled: {sync.wait(timeout=0.2)}")
        outcome = etl("runs", "cancel", batch[0]["batch"], "--json", home=home)
        out, err = sync.communicate(timeout=DEADLINE_S)
    assert outcome.code == 0 and len(outcome.records) == 3, (outcome, out, err)
    assert sync.returncode == 1 and err.count("was canceled") == 3, (out, err)
    states = [one["state"] for one in etl("runs", "list", "--json", home=home).records]
    assert states == ["canceled"] * 3
    assert etl("sync", home=home).code == 0
    assert [one["current"] for one in etl("status", "--json", home=home).records] == list(documents.values())

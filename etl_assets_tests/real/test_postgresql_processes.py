"""Real processes with the ledger on PostgreSQL, straight and through a pooler: killed, stopped, raced, cut off."""

import json
import os
import random
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from etl_assets_tests.faults.processes import Order, durable_home, gated, started
from etl_assets_tests.faults.test_processes import (  # noqa: F401  they are tests of this module too
    assert_equal_to_an_undisturbed_run,
    test_a_run_stopped_beyond_its_lease_is_fenced_when_it_wakes,
    test_four_processes_on_four_partitions_lose_nothing,
    test_four_processes_on_one_partition_take_turns_and_compute_everything_once,
    text_of,
)
from etl_assets_tests.ledgers import SERVER_FILE, close_all
from etl_assets_tests.servers.model import Server

pytestmark = pytest.mark.usefixtures("ledgers_on_postgresql")

KILLS = 6
SHORT_LEASE_S = 1.0


def test_kills_lose_nothing(tmp_path: Path) -> None:
    source = random.Random(3)
    home = durable_home(tmp_path / "home")
    files = {}
    for n in range(KILLS):
        for i in range(12) if n == 0 else source.sample(range(14), 3):
            files[f"{i}.txt"] = text_of(i, n)
            home.put(f"{i}.txt", files[f"{i}.txt"])
        worker = started(Order(home.folder, f"run-{n}", ttl_s=SHORT_LEASE_S, wait_s=60.0))
        for _ in range(source.randint(1, 160)):
            said = worker.said()
            assert not said.startswith("failed"), said
            if said in ("", "done"):
                break
        os.kill(worker.process.pid or 0, signal.SIGKILL)
        worker.process.join()
    assert started(Order(home.folder, "last", wait_s=60.0)).outcome() == "done"
    assert_equal_to_an_undisturbed_run(home, durable_home(tmp_path / "clean"), files)


def test_four_processes_may_make_a_new_ledger_at_the_same_moment(
    tmp_path: Path, ledgers_on_postgresql: dict[str, str]
) -> None:
    empty = ledgers_on_postgresql | {"template": "template0"}
    (tmp_path / SERVER_FILE).write_text(json.dumps(empty))
    opening = [gated(tmp_path / "new.sqlite") for _ in range(4)]
    for _, gate in opening:
        gate.send("go")
    for process, gate in opening:
        assert gate.poll(100.0)
        assert gate.recv() == ""
        process.join()


def test_a_server_that_is_killed_in_the_middle_costs_a_run_and_nothing_else(
    own_server: Callable[[str, Mapping[str, str]], Server], tmp_path: Path, ledgers_on_postgresql: dict[str, str]
) -> None:
    server = own_server("postgres", {})
    admin = url = server.variables["ETL_TEST_POSTGRES_URL"]
    pooled = ledgers_on_postgresql["pooled"]
    if pooled == "1":
        url = own_server("pgbouncer", server.variables).variables["ETL_TEST_PGBOUNCER_URL"]
    settings = {"admin": admin, "url": url, "prefix": "t_", "template": "template0", "pooled": pooled}
    (tmp_path / SERVER_FILE).write_text(json.dumps(settings))
    home = durable_home(tmp_path / "home")
    files: dict[str, str] = {}
    for n, moment in enumerate(("pages", "embeddings", "before vector.write", "after a transaction")):
        for i in range(8):
            files[f"{i}.txt"] = text_of(i, n)
            home.put(f"{i}.txt", files[f"{i}.txt"])
        worker = started(Order(home.folder, f"run-{n}", ttl_s=SHORT_LEASE_S, wait_s=60.0, pause_at=moment))
        while (said := worker.said()) != moment:
            assert said and not said.startswith("failed"), said
        server.kill()
        server.restart()
        worker.line.send("go")
        outcome = worker.outcome()
        assert outcome == "done" or outcome.startswith(("failed: TransientError", "failed: LeaseLost")), outcome
    assert started(Order(home.folder, "last", wait_s=60.0)).outcome() == "done"
    assert_equal_to_an_undisturbed_run(home, durable_home(tmp_path / "clean"), files)
    close_all()  # before their server ends

"""Each server does what its readers need, is one for all workers of a run, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest

from etl_assets_tests.servers.fixtures import Variables, server
from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.processes import is_alive
from etl_assets_tests.servers.registry import RECIPES

Start = Callable[[str, Mapping[str, str]], Server]


@pytest.mark.parametrize("name", RECIPES)
def test_a_server_is_there_and_is_asked_for_twice_but_started_once(name: str) -> None:
    first = server(name)
    assert set(first) == set(RECIPES[name].variables)
    assert server(name) == first


def test_the_pooler_serves_transactions_and_not_sessions(pgbouncer: Variables) -> None:
    with psycopg.connect(pgbouncer["ETL_TEST_PGBOUNCER_URL"], prepare_threshold=None, autocommit=True) as admin:
        mode = admin.execute("SELECT current_setting('server_version_num')::int >= 150000").fetchone()
    assert mode == (True,)


def test_a_restarted_server_has_its_data_and_its_address(own_server: Start) -> None:
    one = own_server("postgres", {})
    url = one.variables["ETL_TEST_POSTGRES_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    before = one.pid
    one.kill()
    one.restart()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    assert one.pid != before


def test_a_server_dies_with_the_last_process_that_uses_it(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from etl_assets_tests.servers.registry import RECIPES
server = RECIPES["redis"].start(Path(sys.argv[1]) / "redis", remove=True)
print(server.process.keeper, server.pid, flush=True)
sys.stdin.read()
"""
    server("redis")  # installed, or the test ends here
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        keeper, pid = map(int, user.stdout.readline().split())
        ended = os.pidfd_open(keeper)
        assert is_alive(pid)
        user.send_signal(signal.SIGKILL)
        user.wait()
    _await_end(ended)
    assert not is_alive(pid)
    assert not (tmp_path / "redis").exists()


def _await_end(descriptor: int) -> None:
    import select

    ready = select.select([descriptor], [], [], 60)[0]
    os.close(descriptor)
    assert ready, "the keeper is still there"

"""Redis, from Debian, in memory only."""

import socket
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import debian, find_program
from etl_assets_tests.servers.processes import ports

VERSION = "7"


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, "redis")["redis"]
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(folder)}
    command = [str(debian("redis-server", ["redis-server"]))]
    command += [part for name, value in options.items() for part in (f"--{name}", value)]

    def probe() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"SET ready 1\r\n")
            if connection.recv(16) != b"+OK\r\n":
                raise ConnectionError("SET was refused")

    return kept(folder, command, probe, remove=remove), {"ETL_TEST_REDIS_URL": f"redis://127.0.0.1:{port}/0"}


RECIPE = Recipe(
    "redis", VERSION, ("ETL_TEST_REDIS_URL",), lambda: debian("redis-server", ["redis-server"]),
    lambda: find_program("redis-server") is not None, _run,
)  # fmt: skip

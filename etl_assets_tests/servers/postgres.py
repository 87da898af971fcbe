"""PostgreSQL 15, from Debian. It refuses root: as root, it runs as the user ``postgres``.

Its data outlive ``kill -9``, and no power cut.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, NotReady, Recipe, kept
from etl_assets_tests.servers.packages import debian, find_program
from etl_assets_tests.servers.processes import as_user, ports

VERSION = "15"
_FOLDER = f"/usr/lib/postgresql/{VERSION}/bin"
_OPTIONS = {
    # The kernel keeps what a killed server wrote, so fsync may be off; synchronous_commit may not.
    "fsync": "off", "full_page_writes": "off", "max_connections": "200",
    "listen_addresses": "127.0.0.1", "shared_buffers": "64MB", "max_prepared_transactions": "0",
}  # fmt: skip


def _install() -> Path:
    return debian("postgres", [f"postgresql-{VERSION}"], _FOLDER)


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    import psycopg

    programs = _install().parent
    prefix, uid, gid = as_user("postgres", "nobody")
    data = folder / "data"
    port = ports(folder, "postgres")["postgres"]
    if not (data / "PG_VERSION").exists():
        data.mkdir(mode=0o700, exist_ok=True)
        os.chown(data, uid, gid)
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]
        made = subprocess.run(
            [*_without_death_signal(prefix), *initdb, "--locale=C.UTF-8"], capture_output=True, text=True, cwd=folder
        )
        if made.returncode:
            raise NotReady(f"initdb: {made.stderr[-2000:]}")
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]

    def probe() -> None:
        with psycopg.connect(url, connect_timeout=2, autocommit=True) as connection:
            connection.execute("CREATE TEMPORARY TABLE ready AS SELECT 1 AS one")

    command = [*prefix, str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", "", *options]
    # SIGINT is its fast shutdown: it removes its shared memory, and waits for nobody's session.
    process = kept(folder, command, probe, stop=signal.SIGINT, remove=remove)
    return process, {"ETL_TEST_POSTGRES_URL": url}


def _without_death_signal(prefix: list[str]) -> list[str]:
    return [part for part in prefix if not part.startswith("--pdeathsig")]


RECIPE = Recipe(
    "postgres", VERSION, ("ETL_TEST_POSTGRES_URL",), _install,
    lambda: find_program("postgres", _FOLDER) is not None, _run,
)  # fmt: skip

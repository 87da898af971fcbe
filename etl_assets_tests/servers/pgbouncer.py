"""PgBouncer in transaction mode before PostgreSQL: what hosted PostgreSQL offers as its pooler. Any database passes."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import debian, find_program
from etl_assets_tests.servers.processes import as_user, ports

VERSION = "1.18"


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    import psycopg

    program = debian("pgbouncer", ["pgbouncer"])
    prefix, _, _ = as_user("postgres", "nobody")
    target = urlsplit(given["ETL_TEST_POSTGRES_URL"])
    port = ports(folder, "pgbouncer")["pgbouncer"]
    user = target.username or "postgres"
    upstream = f"host={target.hostname} port={target.port or 5432} user={user}"
    if target.password:
        upstream += f" password={target.password}"
    settings = {
        "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "any",
        # Few server connections for many clients, so that a session is never a client's own by accident.
        "pool_mode": "transaction", "default_pool_size": 4, "max_client_conn": 200, "server_idle_timeout": 5,
        "server_login_retry": 1, "query_wait_timeout": 60, "log_connections": 0, "log_disconnections": 0,
    }  # fmt: skip
    lines = ["[databases]", f"* = {upstream}", "[pgbouncer]", *(f"{k} = {v}" for k, v in settings.items())]
    configuration = folder / "pgbouncer.ini"
    configuration.write_text("\n".join(lines) + "\n")
    url = f"postgresql://{user}@127.0.0.1:{port}/postgres"

    def probe() -> None:
        with psycopg.connect(url, connect_timeout=2, prepare_threshold=None) as connection:
            connection.execute("SELECT 1")

    os.chmod(configuration, 0o644)
    process = kept(folder, [*prefix, str(program), str(configuration)], probe, remove=remove)
    return process, {"ETL_TEST_PGBOUNCER_URL": url}


RECIPE = Recipe(
    "pgbouncer", VERSION, ("ETL_TEST_PGBOUNCER_URL",), lambda: debian("pgbouncer", ["pgbouncer"]),
    lambda: find_program("pgbouncer") is not None, _run, needs=("postgres",),
)  # fmt: skip

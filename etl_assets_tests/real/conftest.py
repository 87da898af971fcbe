"""Real servers for the tests of this folder, which only ``make test-backends`` collects, and databases of their own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from etl_assets.ledger.database import Ledger
from etl_assets_tests.ledgers import SERVER_FILE, close_all, open_on
from etl_assets_tests.servers.fixtures import Variables, minio, moto, neo4j, own_server, pgbouncer, postgres, redis

__all__ = ["minio", "moto", "neo4j", "own_server", "pgbouncer", "postgres", "redis"]


@pytest.fixture
def databases(postgres: Variables) -> Iterator[str]:
    """A prefix for names of databases; all that begin with it go when the test ends."""
    prefix = f"t{os.getpid()}_{uuid4().hex[:8]}_"
    yield prefix
    with psycopg.connect(postgres["ETL_TEST_POSTGRES_URL"], autocommit=True) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix])
        for (name,) in names.fetchall():
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload]


@pytest.fixture(params=["direct", "pooled"])
def ledger_server(request: pytest.FixtureRequest, postgres: Variables, databases: str) -> dict[str, str]:
    """How ``ledgers.open_on`` reaches PostgreSQL: itself, and through a pooler in transaction mode."""
    admin = postgres["ETL_TEST_POSTGRES_URL"]
    if request.param == "direct":
        return {"admin": admin, "url": admin, "prefix": databases, "pooled": "0"}
    url = request.getfixturevalue("pgbouncer")["ETL_TEST_PGBOUNCER_URL"]
    return {"admin": admin, "url": url, "prefix": databases, "pooled": "1"}


@pytest.fixture
def ledgers_on_postgresql(
    ledger_server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Every ledger that the test or its processes open below ``tmp_path`` is on PostgreSQL."""
    (tmp_path / SERVER_FILE).write_text(json.dumps(ledger_server))
    monkeypatch.setattr(Ledger, "sqlite", lambda path: open_on(ledger_server, path))
    yield ledger_server
    close_all()

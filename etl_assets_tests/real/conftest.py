"""Real servers for the tests of this folder, which only ``make test-backends`` collects, and databases of their own."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import update

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import Lease
from etl_assets_tests.cli.conftest import etl, without_dagster
from etl_assets_tests.faults.chains import die_holding as die_at_once
from etl_assets_tests.ledgers import SERVER_FILE, close_all, open_on
from etl_assets_tests.real.databases import drop_database, new_database
from etl_assets_tests.real.graphs import access_to, alone_with
from etl_assets_tests.servers.fixtures import (
    Variables,
    arcadedb,
    elasticmq,
    minio,
    moto,
    neo4j,
    openbao,
    own_server,
    pgbouncer,
    postgres,
    rabbitmq,
    redis,
    seaweedfs,
    toxiproxy,
)

__all__ = [
    "arcadedb",
    "elasticmq",
    "etl",
    "minio",
    "moto",
    "neo4j",
    "openbao",
    "own_server",
    "pgbouncer",
    "postgres",
    "rabbitmq",
    "redis",
    "seaweedfs",
    "toxiproxy",
    "without_dagster",
]


@pytest.fixture
def databases(postgres: Variables) -> Iterator[str]:
    """A prefix for names of databases; all that begin with it go when the test ends."""
    prefix = f"t{os.getpid()}_{uuid4().hex[:8]}_"
    yield prefix
    with psycopg.connect(postgres["ETL_TEST_POSTGRES_URL"], autocommit=True) as connection:
        query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        names = connection.execute(query, [prefix]).fetchall()
    for (name,) in names:
        drop_database(postgres["ETL_TEST_POSTGRES_URL"], name)


@pytest.fixture
def database(postgres: Variables, databases: str) -> str:
    """The URL of an empty database."""
    return new_database(postgres["ETL_TEST_POSTGRES_URL"], f"{databases}one")


@pytest.fixture
def lone_neo4j(neo4j: Variables) -> Iterator[Variables]:
    """Neo4j, emptied, for nobody else meanwhile: to another home it would say that it belongs to one already."""
    with alone_with(access_to(neo4j)):
        yield neo4j


@pytest.fixture(scope="session")
def template(postgres: Variables) -> Iterator[str]:
    """A database with an empty ledger, for copies: making one by its migrations takes ten times as long."""
    name = f"template_{os.getpid()}_{uuid4().hex[:8]}"
    url = new_database(postgres["ETL_TEST_POSTGRES_URL"], name)
    Ledger.postgresql(url, transaction_pooling=False).close()
    yield name
    drop_database(postgres["ETL_TEST_POSTGRES_URL"], name)


@pytest.fixture(params=["direct", "pooled"])
def ledger_server(request: pytest.FixtureRequest, postgres: Variables, databases: str, template: str) -> dict[str, str]:
    """How ``ledgers.open_on`` reaches PostgreSQL: itself, and through a pooler in transaction mode."""
    admin = postgres["ETL_TEST_POSTGRES_URL"]
    if request.param == "direct":
        return {"admin": admin, "url": admin, "prefix": databases, "template": template, "pooled": "0"}
    url = request.getfixturevalue("pgbouncer")["ETL_TEST_PGBOUNCER_URL"]
    return {"admin": admin, "url": url, "prefix": databases, "template": template, "pooled": "1"}


def _die_and_expire(lease: Lease) -> None:
    """``kill -9`` of a holder, and the time until its lease has expired: no lock file tells that it died."""
    die_at_once(lease)
    table = schema.leases
    with lease._ledger.writing() as connection:
        mine = update(table).where(table.c.name == lease.partition, table.c.token == lease.token)
        connection.execute(mine.values(expires_at=1.0))


@pytest.fixture
def ledgers_on_postgresql(
    ledger_server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Every ledger that the test or its processes open below ``tmp_path`` is on PostgreSQL."""
    (tmp_path / SERVER_FILE).write_text(json.dumps(ledger_server))
    monkeypatch.setattr(Ledger, "sqlite", lambda path: open_on(ledger_server, path))
    for name in list(sys.modules):
        if name.startswith(("etl_assets_tests.faults.", "etl_assets_tests.stages.")) and hasattr(
            sys.modules[name], "die_holding"
        ):
            monkeypatch.setattr(f"{name}.die_holding", _die_and_expire)
    yield ledger_server
    close_all()


@pytest.fixture
def ledger(ledgers_on_postgresql: dict[str, str], tmp_path: Path) -> Ledger:
    """An empty ledger on PostgreSQL; its database goes by the path that other tests give to SQLite."""
    return open_on(ledgers_on_postgresql, tmp_path / "ledger.sqlite")

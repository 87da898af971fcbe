"""Pytest fixtures, one per server: its variables. Started at the first use and shared by the workers of a test run.

Import the fixtures that a conftest needs. A server that cannot be had fails the test when ETL_TEST_REQUIRE_SERVERS is
set, and skips it, by name, when it is not.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from etl_assets_tests.servers.model import Server, Unavailable
from etl_assets_tests.servers.processes import NotReady
from etl_assets_tests.servers.registry import RECIPES
from etl_assets_tests.servers.sharing import given_variables, required, shared_folder, variables_of

Variables = Mapping[str, str]

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid4().hex
"""The workers of one run share this id, and so their servers."""


@contextmanager
def _or_skip(name: str) -> Iterator[None]:
    try:
        yield
    except (Unavailable, NotReady) as e:
        if required():
            pytest.fail(f"the server {name} is needed (ETL_TEST_REQUIRE_SERVERS) and cannot be had: {e}", pytrace=False)
        pytest.skip(f"the server {name} cannot be had: {e}")


def server(name: str) -> Variables:
    """The variables of a shared server; the test is skipped, or fails, without it."""
    with _or_skip(name):
        return variables_of(name, shared_folder(_RUN), install=required())


@pytest.fixture(scope="session")
def postgres() -> Variables:
    """``ETL_TEST_POSTGRES_URL``: a superuser's URL of a database in which others can be made."""
    return server("postgres")


@pytest.fixture(scope="session")
def pgbouncer(postgres: Variables) -> Variables:
    """``ETL_TEST_PGBOUNCER_URL``: the same databases through a pooler in transaction mode."""
    return server("pgbouncer")


@pytest.fixture(scope="session")
def redis() -> Variables:
    """``ETL_TEST_REDIS_URL``."""
    return server("redis")


@pytest.fixture(scope="session")
def minio() -> Variables:
    """``ETL_TEST_S3_ENDPOINT``, ``_ACCESS_KEY`` and ``_SECRET_KEY``; make a bucket of your own."""
    return server("minio")


@pytest.fixture(scope="session")
def moto() -> Variables:
    """``ETL_TEST_MOTO_ENDPOINT``, ``_ACCESS_KEY`` and ``_SECRET_KEY``; make a bucket of your own."""
    return server("moto")


@pytest.fixture(scope="session")
def neo4j() -> Variables:
    """``ETL_TEST_NEO4J_URI``, ``_USER`` and ``_PASSWORD``; Community has one database: use tenants of your own."""
    return server("neo4j")


@pytest.fixture(scope="session")
def rabbitmq() -> Variables:
    """``ETL_TEST_AMQP_URL``, ``ETL_TEST_RABBITMQ_MANAGEMENT_URL``."""
    return server("rabbitmq")


@pytest.fixture(scope="session")
def openbao() -> Variables:
    """``ETL_TEST_VAULT_ADDR``, ``ETL_TEST_VAULT_TOKEN``."""
    return server("openbao")


@pytest.fixture(scope="session")
def elasticmq() -> Variables:
    """``ETL_TEST_SQS_ENDPOINT``; any credentials do."""
    return server("elasticmq")


@pytest.fixture(scope="session")
def toxiproxy() -> Variables:
    """``ETL_TEST_TOXIPROXY_URL``; ``toxiproxy.proxied`` puts a proxy before another server."""
    return server("toxiproxy")


@pytest.fixture(scope="session")
def seaweedfs() -> Variables:
    """``ETL_TEST_SEAWEEDFS_ENDPOINT``, ``_ACCESS_KEY`` and ``_SECRET_KEY``; make a bucket of your own."""
    return server("seaweedfs")


@pytest.fixture(scope="session")
def arcadedb() -> Variables:
    """``ETL_TEST_ARCADEDB_URI``, ``_USER`` and ``_PASSWORD``; its database is ``neo4j``."""
    return server("arcadedb")


@pytest.fixture
def own_server() -> Iterator[Callable[[str, Mapping[str, str]], Server]]:
    """``own_server(name, variables of what it needs)``: a server of the test alone, to kill, stop and restart."""
    started: list[Server] = []
    folder = shared_folder(_RUN)

    def start(name: str, given: Mapping[str, str]) -> Server:
        with _or_skip(name):
            if not RECIPES[name].is_installed():
                if given_variables(name) is not None:
                    pytest.skip(f"the {name} that is set is somebody's own: it is not killed for a test")
                if not required():
                    raise Unavailable("it is not installed; `make test-backends` installs it")
                RECIPES[name].install()
            started.append(RECIPES[name].start(Path(folder) / f"{name}-{uuid4().hex[:8]}", given))
        return started[-1]

    yield start
    for one in reversed(started):
        one.end()

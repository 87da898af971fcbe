"""Real servers for the tests of this folder, which only ``make test-backends`` collects, and databases of their own."""

import itertools
import os
from collections.abc import Callable, Iterator

import psycopg
import pytest

from etl_assets_tests.servers.fixtures import Variables, minio, moto, neo4j, own_server, pgbouncer, postgres, redis

__all__ = ["minio", "moto", "neo4j", "own_server", "pgbouncer", "postgres", "redis"]

_numbers = itertools.count()


@pytest.fixture
def database(postgres: Variables) -> Iterator[Callable[[], str]]:
    """``database()``: the name of a new, empty database; all of them go when the test ends."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(postgres["ETL_TEST_POSTGRES_URL"], autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[call-overload]
        made.append(name)
        return name

    yield make
    with psycopg.connect(postgres["ETL_TEST_POSTGRES_URL"], autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]

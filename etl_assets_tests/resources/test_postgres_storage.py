"""Dagster's storage on PostgreSQL, as far as it needs no server."""

import logging

import pytest
import sqlalchemy as sa
from dagster_postgres.utils import DagsterPostgresException, retry_pg_connection_fn

from etl_assets.resources.postgres_storage import quieten_retries


def refused() -> None:
    raise sa.exc.OperationalError("", {}, Exception("connection refused"))


def test_attempts_to_connect_are_told_by_the_error_alone(caplog: pytest.LogCaptureFixture) -> None:
    quieten_retries()
    with pytest.raises(DagsterPostgresException):
        retry_pg_connection_fn(refused, retry_limit=1, retry_wait=0.01)
    logging.warning("what others say")
    assert [one.message for one in caplog.records] == ["what others say"]

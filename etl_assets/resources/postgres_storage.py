"""Dagster's storage on PostgreSQL, with its connections kept open, and with one method mended.

Dagster opens and closes a connection for each statement: on 1.13.27 a daemon and one worker made 23 of them a second.

Two processes that reach a pool first at one moment both insert its limit; one of them goes on to update it in the same
transaction, which PostgreSQL has given up by then. So its run failed, and once the limit was changed every run did.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dagster._config.config_schema import UserConfigSchema
from dagster._core.storage.config import pg_config
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine, pg_url_from_config

if TYPE_CHECKING:
    from dagster._core.storage.config import PostgresStorageConfig


KEPT_CONNECTIONS = 2
"""Open in a process while nobody uses them; more are opened when they are needed, and closed after use."""

RECYCLED_AFTER_S = 600

_SET_DEFAULT_LIMIT = """
INSERT INTO concurrency_limits (concurrency_key, "limit", using_default_limit) VALUES (%s, %s, true)
ON CONFLICT (concurrency_key) DO UPDATE SET "limit" = EXCLUDED."limit" WHERE concurrency_limits.using_default_limit
"""


class PostgresEvents(PostgresEventLogStorage):
    """The same tables as Dagster's own."""

    def dispose(self) -> None:
        """Close every connection."""
        super().dispose()
        self._engine.dispose()

    def initialize_concurrency_limit_to_default(self, concurrency_key: str) -> bool:
        """Give a pool the instance's default limit, unless somebody has set another one for it."""
        limit = self._instance.global_op_concurrency_default_limit if self.has_instance else None
        if limit is None:
            return bool(super().initialize_concurrency_limit_to_default(concurrency_key))
        with self.index_transaction() as connection:
            if connection.exec_driver_sql(_SET_DEFAULT_LIMIT, (concurrency_key, limit)).rowcount:
                self._allocate_concurrency_slots(connection, concurrency_key, limit)
        return True


def quieten_retries() -> None:
    """Keep Dagster's word on each attempt to connect off the terminal: what fails in the end is raised, and told once.

    It is told to the root logger, without a name to silence it by.
    """
    logging.getLogger().addFilter(_is_no_retry)


def _is_no_retry(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Retrying failed database")


class PostgresStorage(DagsterPostgresStorage):
    """As ``dagster.yaml`` configures it: ``postgres_url``, as for Dagster's own."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        quieten_retries()
        super().__init__(postgres_url, inst_data=inst_data)
        self._event_log_storage = PostgresEvents(postgres_url)
        engine = create_pg_engine(
            postgres_url, isolation_level="AUTOCOMMIT", pool_size=KEPT_CONNECTIONS, max_overflow=-1,
            pool_pre_ping=True, pool_recycle=RECYCLED_AFTER_S,
        )  # fmt: skip
        for part in (self._run_storage, self._event_log_storage, self._schedule_storage):
            part._engine = engine

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """As for Dagster's own."""
        return pg_config()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PostgresStorage":
        """As Dagster makes it."""
        return cls(pg_url_from_config(cast("PostgresStorageConfig", config_value)), inst_data)

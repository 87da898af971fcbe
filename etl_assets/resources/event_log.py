"""Dagster's SQLite event log with its connections kept open.

Dagster opens and closes a connection for every event, and closing the last one writes the log back to the database:
measured on 1.13.27, a run of our 18 steps that computes nothing cost 1.3 CPU-seconds, and 0.6 with this.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._serdes import ConfigurableClassData

KEPT_SHARDS = 16
"""Every run has a file of its own, and the UI may look at many: the longest unused is closed."""

BUSY_TIMEOUT_S = 30.0


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """The same files as ``SqliteEventLogStorage``, so that either can read what the other wrote."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Any] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledSqliteEventLogStorage":
        """As ``dagster.yaml`` configures it; ``base_dir`` is a folder."""
        return cls(inst_data=inst_data, **config_value)

    def dispose(self) -> None:
        """Close every connection."""
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()
        super().dispose()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Any]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection:
                # Events need not reach the disk before the next step: a power cut costs the last of them, no more.
                connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
                connection.rollback()  # a statement has begun a transaction by itself
                with connection.begin():
                    yield connection

    def _engine(self, shard: str) -> Any:
        if shard in self._engines:
            self._engines.move_to_end(shard)
            return self._engines[shard]
        # One connection each is kept: the lock lets one thread in at a time. Making the tables takes two.
        engine = create_engine(
            self.conn_string_for_shard(shard), pool_size=1, max_overflow=1,
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        )  # fmt: skip
        self._engines[shard] = engine
        if len(self._engines) > KEPT_SHARDS:
            self._engines.popitem(last=False)[1].dispose()
        return engine

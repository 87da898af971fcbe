"""The event log keeps its connections and is Dagster's own in every byte that matters."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from etl_assets.resources import event_log
from etl_assets.resources.event_log import PooledSqliteEventLogStorage


@pytest.fixture
def pooled(tmp_path: Path) -> Iterator[PooledSqliteEventLogStorage]:
    storage = PooledSqliteEventLogStorage(str(tmp_path / "ours"))
    yield storage
    storage.dispose()


def inside(path: Path) -> tuple[list[str], list[str], str]:
    """(statements that make the tables, migrations it is at, journal) of a run's file."""
    with closing(sqlite3.connect(path)) as file:
        made = [sql for (sql,) in file.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql")]
        (journal,) = file.execute("PRAGMA journal_mode").fetchone()
        return made, [at for (at,) in file.execute("SELECT version_num FROM alembic_version")], journal


def test_few_files_stay_open(pooled: PooledSqliteEventLogStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "KEPT_SHARDS", 2)
    for run in ("a", "b", "c", "a"):
        with pooled.run_connection(run):
            pass
    assert list(pooled._engines) == ["c", "a"]
    assert sorted(SqliteEventLogStorage(pooled._base_dir).get_all_run_ids()) == ["a", "b", "c"]
    pooled.dispose()
    assert not pooled._engines


def test_a_run_s_file_is_what_dagster_s_own_migrations_make(
    pooled: PooledSqliteEventLogStorage, tmp_path: Path
) -> None:
    plain = SqliteEventLogStorage(str(tmp_path / "theirs"))
    for storage in (pooled, plain):
        for run in ("first", "second"):
            with storage.run_connection(run):
                pass
    theirs = inside(tmp_path / "theirs" / "first.db")
    assert theirs[1] and theirs[2] == "wal"
    assert inside(tmp_path / "ours" / "first.db") == inside(tmp_path / "ours" / "second.db") == theirs
    assert not [path for path in (tmp_path / "ours").iterdir() if ".db." in path.name], "no draft is left behind"


def test_whoever_is_second_to_make_a_run_s_file_uses_the_first_one_s(tmp_path: Path) -> None:
    storages = [PooledSqliteEventLogStorage(str(tmp_path)) for _ in range(4)]

    def note(number: int) -> None:
        with storages[number].run_connection("shared") as connection:
            connection.exec_driver_sql("INSERT INTO event_logs (run_id, event) VALUES (?, ?)", ("shared", str(number)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(note, range(4)))
    with storages[0].run_connection("shared") as connection:
        noted = connection.exec_driver_sql("SELECT event FROM event_logs ORDER BY event").scalars().all()
    assert noted == ["0", "1", "2", "3"]
    for storage in storages:
        storage.dispose()


def test_a_file_system_without_links_gets_its_files_from_dagster(
    pooled: PooledSqliteEventLogStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(event_log.os, "link", refused)
    with pooled.run_connection("a") as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM event_logs").scalar() == 0
    assert not list(Path(pooled._base_dir).glob("a.db.*"))


def test_a_table_that_was_found_is_not_looked_for_again(
    pooled: PooledSqliteEventLogStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not pooled.has_table("no_such_table")
    assert pooled.has_table("dynamic_partitions")
    asked: list[str] = []
    monkeypatch.setattr(SqliteEventLogStorage, "has_table", lambda _, name: asked.append(name))
    assert pooled.has_table("dynamic_partitions") and not asked
    assert not pooled.has_table("no_such_table") and asked == ["no_such_table"]

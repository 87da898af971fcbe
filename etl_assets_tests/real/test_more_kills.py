"""What tests of ``make test`` claim of processes that are killed or race, for more of them than it has time for."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from etl_assets_tests.backends import test_lancedb_indexes, test_sqlite_graph
from etl_assets_tests.backends.index_worker import BATCHES
from etl_assets_tests.backups import another, back_up, bring_back, differences, opened, shown
from etl_assets_tests.documents.consistency.test_repair import CLEAN, repairs_killed_every
from etl_assets_tests.faults import test_backup_faults, test_crash_points, test_processes
from etl_assets_tests.small_homes import SmallHome


def test_a_repair_that_is_killed_at_any_write_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = SmallHome.ran(tmp_path / "home")
    CLEAN.setdefault("contents", shown(home.platform))
    killed = repairs_killed_every(11, home, tmp_path, monkeypatch)
    assert len(killed) > 5 and {"before vector.write", "before a transaction"} & set(killed)


def test_processes_that_make_write_tidy_and_read_one_table_lose_nothing(tmp_path: Path) -> None:
    test_lancedb_indexes.check_processes(tmp_path / "keywords", workers=(1, 2, 3), batches=BATCHES)


def test_processes_that_make_write_and_walk_one_graph_lose_nothing(tmp_path: Path) -> None:
    test_sqlite_graph.check_processes(tmp_path, workers=(1, 2, 3, 4))


def test_ten_kills_lose_nothing_and_repeat_one_batch_each_at_most(tmp_path: Path) -> None:
    test_processes.check_kills(tmp_path, kills=10)


def test_kills_over_the_real_indexes_end_equal_too(tmp_path: Path) -> None:
    test_processes.check_kills_over_the_real_indexes(tmp_path, kills=4)


@pytest.mark.parametrize("first", range(2))
def test_a_kill_at_any_step_of_a_publication_is_finished_by_the_next_run(first: int, tmp_path: Path) -> None:
    test_crash_points.check_kills_at(test_crash_points.POINTS[first::2], tmp_path)


def test_backups_made_while_another_process_ingests_are_each_one_moment(tmp_path: Path) -> None:
    test_backup_faults.check_backups_beside_an_ingest(SmallHome.ran(tmp_path / "home"), tmp_path, runs=4)


def test_a_restore_that_is_killed_by_the_system_is_begun_again(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home")
    back_up(home.settings, tmp_path / "kept")
    new = another(home.settings, tmp_path / "new")
    environment = {**os.environ, "ETL_HOME": str(tmp_path / "new"), "ETL_PARSER_PROCESSES": "1"}
    words = [sys.executable, "-m", "etl_assets.cli", "restore", "--from", str(tmp_path / "kept")]
    killed = subprocess.Popen(words, env=environment)
    while killed.poll() is None and not new.home.collections_file.exists():
        pass
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    bring_back(new, tmp_path / "kept")
    with opened(new) as again:
        assert shown(again.platform) == shown(home.platform) and differences(again.platform) == []

"""What ``faults/test_histories.py`` and ``faults/test_readers.py`` claim, with the ledger on PostgreSQL."""

from pathlib import Path

import pytest

from etl_assets_tests.faults import test_generation_histories, test_histories, test_readers

pytestmark = pytest.mark.usefixtures("ledgers_on_postgresql")


@pytest.mark.parametrize("seed", range(100, 103))
def test_after_any_history_one_undisturbed_run_equals_a_clean_build(seed: int, tmp_path: Path) -> None:
    test_histories.test_after_any_history_one_undisturbed_run_equals_a_clean_build(seed, tmp_path)


@pytest.mark.parametrize("seed", range(100, 103))
def test_every_search_sees_each_document_whole_and_once(seed: int, tmp_path: Path) -> None:
    test_readers.test_every_search_sees_each_document_whole_and_once(seed, tmp_path)


def test_every_search_answers_from_one_generation_whatever_happens(tmp_path: Path) -> None:
    test_generation_histories.check_histories(tmp_path / "histories", examples=2, steps=12)


def test_a_kill_in_the_middle_of_a_promotion_leaves_the_old_generation_answering(tmp_path: Path) -> None:
    test_generation_histories.test_a_kill_in_the_middle_of_a_promotion_leaves_the_old_generation_answering(tmp_path)


def test_a_promotion_and_commits_that_race_leave_both_generations_equal(tmp_path: Path) -> None:
    test_generation_histories.test_a_promotion_and_commits_that_race_leave_both_generations_equal(tmp_path)

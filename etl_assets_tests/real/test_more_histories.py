"""What the random histories of every ``make test`` claim, for more draws than it has time for."""

from pathlib import Path

import pytest

from etl_assets_tests.documents.arrivals.test_event_watch import ORDERS, check_orders
from etl_assets_tests.documents.arrivals.test_listing_pass import SEEDS, check_stories
from etl_assets_tests.faults import test_generation_histories, test_histories, test_readers, test_steps
from etl_assets_tests.small_homes import SmallHome

MOST_ORDERS = 200
MOST_STORIES = 24
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_any_order_of_events_ends_as_the_store_does_and_takes_nothing_in_twice(part: int, tmp_path: Path) -> None:
    check_orders(SmallHome.at(tmp_path / "home", {}), range(ORDERS.stop + part, MOST_ORDERS, PARTS))


def test_any_changes_faults_and_restarts_between_pages_end_as_the_store_does(tmp_path: Path) -> None:
    check_stories(SmallHome.at(tmp_path / "home", {}), range(SEEDS.stop, MOST_STORIES))


@pytest.mark.parametrize("seed", range(3, 8))
def test_of_two_attempts_of_a_step_the_newest_alone_writes(seed: int, tmp_path: Path) -> None:
    test_steps.test_of_two_attempts_of_a_step_the_newest_alone_writes(seed, tmp_path)


@pytest.mark.parametrize("seed", range(3, 16))
def test_after_any_history_one_undisturbed_run_equals_a_clean_build(seed: int, tmp_path: Path) -> None:
    test_histories.test_after_any_history_one_undisturbed_run_equals_a_clean_build(seed, tmp_path)


@pytest.mark.parametrize("seed", range(1, 6))
def test_every_search_sees_each_document_whole_and_once(seed: int, tmp_path: Path) -> None:
    test_readers.test_every_search_sees_each_document_whole_and_once(seed, tmp_path)


def test_every_search_answers_from_one_generation_whatever_happens(tmp_path: Path) -> None:
    test_generation_histories.check_histories(tmp_path / "histories", examples=12, steps=14)

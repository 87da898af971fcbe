"""What ``faults/test_histories.py`` and ``faults/test_readers.py`` claim, with the ledger on PostgreSQL."""

from pathlib import Path

import pytest

from etl_assets_tests.faults import test_histories, test_readers

pytestmark = pytest.mark.usefixtures("ledgers_on_postgresql")


@pytest.mark.parametrize("seed", range(100, 103))
def test_after_any_history_one_undisturbed_run_equals_a_clean_build(seed: int, tmp_path: Path) -> None:
    test_histories.test_after_any_history_one_undisturbed_run_equals_a_clean_build(seed, tmp_path)


@pytest.mark.parametrize("seed", range(100, 103))
def test_every_search_sees_each_document_whole_and_once(seed: int, tmp_path: Path) -> None:
    test_readers.test_every_search_sees_each_document_whole_and_once(seed, tmp_path)

"""Runs that wait, stop or died, update modes and forced runs, with the ledger on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etl_assets.ledger import controls, schema
from etl_assets.ledger.database import Ledger
from etl_assets_tests.documents import test_anew
from etl_assets_tests.documents.arrivals import test_update_modes
from etl_assets_tests.ledger.test_waiting_runs import (  # noqa: F401  they are tests of this module too
    test_a_batch_takes_what_is_urgent_first_and_leaves_out_what_is_paused_or_canceled,
    test_a_canceled_partition_is_not_asked_for_again_before_its_time,
    test_a_run_that_is_asked_to_stop_does_and_the_next_one_goes_on,
    test_a_run_that_takes_a_partition_over_closes_the_one_that_died_there,
    test_what_is_left_of_a_batch_that_is_stopped_is_canceled,
)

pytestmark = pytest.mark.usefixtures("ledgers_on_postgresql")


def test_people_who_change_one_scope_at_once_lose_nothing(ledger: Ledger) -> None:
    def change(number: int) -> None:
        if number % 2:
            controls.prioritise(ledger, "acme", number, by="me")
        else:
            controls.pause(ledger, "acme", reason=str(number), by="me")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(32)))
    found = controls.controls(ledger).by_scope["acme"]
    assert found.paused and found.priority is not None and found.reason
    with ledger.reading() as connection:
        assert len(connection.execute(schema.audit.select()).all()) == 32


def test_a_mode_keeps_out_what_it_does_and_a_forced_run_replaces_what_is_there(tmp_path: Path) -> None:
    test_update_modes.test_a_mode_takes_in_what_it_says_and_shows_what_it_keeps_out(tmp_path / "modes", "add-only")
    test_anew.test_all_of_it_is_computed_anew_and_what_is_shown_rests_on_it(tmp_path / "anew")

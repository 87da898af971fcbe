"""What a unit takes and what a beginning takes, told apart as far as the measurements tell them apart."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.ledger.rate_fit import LEAST_ERROR, ONE_RUN_ERROR, Measured, Rate, fitted

USUAL = Rate(0.1, 1.0, False)


def runs(start: float, each: float, *sizes: float) -> list[Measured]:
    """A first batch of so many units in each run."""
    return [Measured(size, start + each * size, True, str(n)) for n, size in enumerate(sizes)]


def test_nothing_measured_is_no_rate() -> None:
    assert fitted([], USUAL) is None
    assert fitted([Measured(0, 3.0, True, "a")], USUAL) is None


def test_one_run_tells_how_fast_the_machine_is_and_that_it_is_one() -> None:
    found = fitted([Measured(10, 4.0, True, "a")], USUAL)
    assert found == Rate(pytest.approx(0.2), pytest.approx(2.0), error=ONE_RUN_ERROR)
    assert found.seconds(10) == pytest.approx(4.0) and found.seconds(0) == 0.0


@settings(max_examples=20)
@given(start=st.floats(0.3, 3.0), each=st.floats(0.03, 0.3))
def test_runs_of_several_sizes_tell_a_start_from_a_unit(start: float, each: float) -> None:
    found = fitted(runs(start, each, 2, 20, 200), USUAL)
    assert found is not None
    assert all(found.seconds(n) == pytest.approx(start + each * n, rel=0.2) for n in (5, 50, 500))


def test_further_batches_and_processes_that_went_on_take_no_start() -> None:
    points = [Measured(10, 7.0, True, "a"), Measured(10, 2.0, False, "a"), Measured(20, 4.0, False, "b")]
    found = fitted(points, USUAL, begins=0.5)
    assert found is not None and found.error == LEAST_ERROR
    assert (found.each_s, found.start_s) == (pytest.approx(0.2, rel=0.05), pytest.approx(5.0, rel=0.05))
    assert found.seconds(10, further=True) == pytest.approx(found.each_s * 10 + found.start_s / 2)
    lives_on = fitted(points, USUAL, begins=0.0)
    assert lives_on is not None and lives_on.seconds(10) == pytest.approx(lives_on.each_s * 10)


def test_a_busy_hour_is_left_out_of_account_and_a_spread_is_told() -> None:
    steady = runs(1.0, 0.1, 10, 20, 40, 80, 160)
    found = fitted([*steady, Measured(50, 60.0, True, "busy"), Measured(60, 70.0, True, "busier")], USUAL)
    assert found is not None and found.seconds(50) == pytest.approx(6.0, rel=0.15) and found.error > LEAST_ERROR


@settings(max_examples=30)
@given(
    st.lists(
        st.builds(Measured, st.integers(0, 10**9), st.floats(0, 1e6), st.booleans(), st.sampled_from("abc")), max_size=8
    )
)
def test_no_estimate_is_below_nothing_whatever_was_measured(points: list[Measured]) -> None:
    found = fitted(points, USUAL)
    assert found is None or (found.each_s >= 0 and found.start_s >= 0 and found.seconds(100) >= 0)

"""Calls that must be back in time."""

import threading

import pytest

from etl_assets.errors import PermanentError, TransientError
from etl_assets.search.deadline import Deadline, run_all


def test_every_call_is_answered_for_in_the_order_given() -> None:
    calls = {n: (lambda n=n: n * n) for n in range(20)}
    outcomes = run_all(calls, Deadline(30.0), threads=3)
    assert [(key, outcome.result()) for key, outcome in outcomes.items()] == [(n, n * n) for n in range(20)]


def test_calls_run_beside_one_another() -> None:
    both = threading.Barrier(2, timeout=30)
    outcomes = run_all({"one": both.wait, "two": both.wait}, Deadline(30.0))
    assert {outcome.result() for outcome in outcomes.values()} == {0, 1}


def test_an_error_of_ours_is_an_outcome_and_a_defect_is_raised() -> None:
    def fails() -> int:
        raise PermanentError("no")

    outcomes = run_all({"good": lambda: 1, "bad": fails}, Deadline(30.0))
    assert outcomes["good"].result() == 1
    with pytest.raises(PermanentError, match="no"):
        outcomes["bad"].result()

    def defect() -> int:
        raise KeyError("defect")

    with pytest.raises(KeyError):
        run_all({"bad": defect}, Deadline(30.0))


def test_what_is_late_is_left_behind() -> None:
    free = threading.Event()
    try:
        outcomes = run_all({"late": lambda: free.wait(60), "good": lambda: True}, Deadline(0.5))
    finally:
        free.set()
    assert outcomes["good"].result()
    with pytest.raises(TransientError, match="no answer within 0.5 s"):
        outcomes["late"].result()


def test_after_the_deadline_nothing_is_begun() -> None:
    begun: list[int] = []
    outcomes = run_all({"a": lambda: begun.append(1)}, Deadline(0.0))
    assert outcomes["a"].error is not None and not begun
    assert Deadline(0.0).passed and not Deadline(30.0).passed
    assert Deadline(30.0).earlier(0.5).left_s <= 15.0
    assert run_all({}, Deadline(0.0)) == {}

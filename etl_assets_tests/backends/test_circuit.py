"""A backend that keeps failing is left alone for a while, and what may pass is tried again within bounds."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.backends.circuit import Backoff, Calls, CircuitBreaker, CircuitOpen, Opening, Unavailable
from etl_assets.errors import ConfigError, PermanentError, TransientError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock, openings: list[Opening], failures: int = 3) -> CircuitBreaker:
    return CircuitBreaker("store", failures=failures, pause_s=10, on_open=openings.append, clock=clock)


def failing(problem: str = "no answer") -> Callable[[], str]:
    def attempt() -> str:
        raise Unavailable(problem)

    return attempt


def fail(circuit: CircuitBreaker) -> None:
    with pytest.raises(Unavailable, match="no answer"), circuit.operation():
        raise Unavailable("no answer")


def test_it_opens_after_so_many_failures_in_a_row_and_tells_so_once() -> None:
    openings: list[Opening] = []
    circuit = breaker(Clock(), openings)
    fail(circuit)
    fail(circuit)
    with circuit.operation():
        pass
    for _ in range(3):
        assert openings == []
        fail(circuit)
    assert openings == [Opening("store", 3, 10, "no answer")]
    with pytest.raises(CircuitOpen, match="store is not asked for the next 10 s.*no answer"), circuit.operation():
        pytest.fail("asked")


def test_an_answer_that_refuses_is_no_failure() -> None:
    circuit = breaker(Clock(), [], failures=1)
    for error in (PermanentError("no right"), TransientError("changed while being read"), OSError(28, "full")):
        with pytest.raises(type(error)), circuit.operation():
            raise error
    assert not circuit.is_open


def test_after_the_pause_one_operation_tries_and_its_end_decides() -> None:
    clock, openings = Clock(), list[Opening]()
    circuit = breaker(clock, openings, failures=1)
    fail(circuit)
    clock.now += 10
    with circuit.operation():
        with pytest.raises(CircuitOpen), circuit.operation():
            pytest.fail("a second one was let through")
        circuit.refuse_if_open()
    assert not circuit.is_open
    fail(circuit)
    clock.now += 10
    fail(circuit)
    clock.now += 9
    with pytest.raises(CircuitOpen), circuit.operation():
        pytest.fail("asked before the pause was over")
    assert len(openings) == 3


def test_a_cancelled_probe_leaves_the_next_one_to_try() -> None:
    clock = Clock()
    circuit = breaker(clock, [], failures=1)
    fail(circuit)
    clock.now += 10
    with pytest.raises(KeyboardInterrupt), circuit.operation():
        raise KeyboardInterrupt
    with circuit.operation():
        pass
    assert not circuit.is_open


def test_what_began_before_the_circuit_opened_does_not_count() -> None:
    circuit = breaker(Clock(), [], failures=1)
    slow = circuit.operation()
    slow.__enter__()
    fail(circuit)
    slow.__exit__(None, None, None)
    assert circuit.is_open


def test_many_threads_open_it_once() -> None:
    openings: list[Opening] = []
    circuit = breaker(Clock(), openings, failures=4)
    at_once = threading.Barrier(8)

    def work() -> None:
        with pytest.raises(Unavailable), circuit.operation():
            at_once.wait()
            raise Unavailable("no answer")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(openings) == 1


@given(st.integers(1, 12), st.floats(0, 5), st.floats(5, 60))
def test_waits_are_random_below_a_doubling_bound(attempts: int, base_s: float, cap_s: float) -> None:
    delays = [*Backoff(attempts, base_s, cap_s).delays()]
    assert len(delays) == attempts - 1
    assert all(0 <= delay <= min(cap_s, base_s * 2**n) for n, delay in enumerate(delays))


def test_what_may_pass_is_tried_again_and_what_will_not_is_not() -> None:
    waits: list[float] = []
    calls = Calls(breaker(Clock(), []), Backoff(attempts=4), waits.append)
    outcomes = iter([Unavailable("busy", retry_after_s=3.5), Unavailable("busy"), "answer"])

    def attempt() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, str):
            return outcome
        raise outcome

    assert calls.run(attempt) == "answer"
    assert len(waits) == 2
    assert waits[0] == 3.5
    asked: list[int] = []

    def refused() -> None:
        asked.append(1)
        raise PermanentError("no right")

    with pytest.raises(PermanentError):
        calls.run(refused)
    assert asked == [1]


def test_attempts_end_when_others_find_the_backend_down() -> None:
    circuit = breaker(Clock(), [], failures=1)
    calls = Calls(circuit, Backoff(attempts=9), lambda _: fail(circuit) if not circuit.is_open else None)
    with pytest.raises(CircuitOpen):
        calls.run(failing())


def test_the_last_failure_is_what_is_raised() -> None:
    calls = Calls(breaker(Clock(), []), Backoff(attempts=3), lambda _: None)
    with pytest.raises(Unavailable, match="gone"):
        calls.run(failing("gone"))


@pytest.mark.parametrize(
    "make", [lambda: CircuitBreaker("x", failures=0), lambda: Backoff(0), lambda: Backoff(2, 3, 1)]
)
def test_bounds_that_cannot_work_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        make()

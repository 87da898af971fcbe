"""How many workers there are: as many as runs wait, within limits, and never one that works sent away."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.errors import TransientError
from etl_assets.resources.worker_processes import Worker, Workers, wanted_workers

COUNT = st.integers(0, 50)


@dataclass(eq=False)
class Stub:
    """A worker without a process."""

    name: str = "stub"
    busy: bool = False
    ended: bool = False
    draining: bool = False
    started: float = 0.0
    log: str = ""

    def drain(self) -> None:
        self.draining = True


@dataclass
class Queue:
    """How many runs wait; ``None`` when the broker does not answer."""

    ready: int | None = 0
    said: list[str] = field(default_factory=list)

    def waiting(self) -> int:
        if self.ready is None:
            raise TransientError("the broker does not answer")
        return self.ready


def group(queue: Queue, least: int, most: int) -> Workers:
    return Workers(least, most, lambda: cast("Worker", Stub()), queue.waiting, queue.said.append)


@given(ready=COUNT, busy=COUNT, idle=COUNT, least=COUNT, more=COUNT)
def test_there_are_never_fewer_or_more_than_allowed(ready: int, busy: int, idle: int, least: int, more: int) -> None:
    wanted = wanted_workers(ready=ready, busy=busy, idle=idle, least=least, most=least + more)
    assert least <= wanted <= least + more
    if ready and busy + idle <= least + more:
        assert wanted >= min(busy + idle, least + more), "none goes while a run waits"


def test_workers_come_with_the_queue_and_idle_ones_go_when_it_is_empty() -> None:
    queue = Queue(ready=2)
    workers = group(queue, 1, 3)
    workers.scale()
    assert len(workers.kept) == 2
    workers.kept[0].busy = True  # type: ignore[misc]
    queue.ready = 5
    workers.scale()
    assert len(workers.kept) == 3
    queue.ready = 0
    workers.scale()
    assert not any(one.draining for one in workers.kept), "they may have taken a message in this moment"
    workers.scale()
    assert [one.draining for one in workers.kept] == [False, True, True], "the busy one stays"
    queue.ready = 5
    workers.scale()
    assert len(workers.kept) == 3, "those that are being drained count until they have gone"


def test_without_an_answer_of_the_broker_workers_stay() -> None:
    queue = Queue(ready=2)
    workers = group(queue, 0, 2)
    workers.scale()
    queue.ready = None
    workers.scale()
    assert len(workers.kept) == 2 and not any(one.draining for one in workers.kept)
    assert queue.said[-1] == "the broker does not answer; the workers stay as they are"


@pytest.mark.parametrize("asked", [False, True])
def test_a_lost_worker_is_replaced_and_a_drained_one_is_not(asked: bool) -> None:
    queue = Queue(ready=1)
    workers = group(queue, 0, 2)
    workers.scale()
    lost = cast("Stub", workers.kept[0])
    lost.ended, lost.draining = True, asked
    workers.replace_dead()
    assert len(workers.kept) == (0 if asked else 1)

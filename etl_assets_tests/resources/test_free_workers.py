"""A worker that reconnects while it is at work takes nothing until it is free."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from etl_assets.resources import free_workers
from etl_assets.resources.free_workers import TakesWhenFree
from etl_assets.resources.run_queue import QUEUE, open_queue


@dataclass
class Entry:
    """A timer's entry."""

    look: Any
    canceled: bool = False

    def cancel(self) -> None:
        self.canceled = True


@dataclass
class Consumer:
    """A worker's connection: what it takes from, and its timer, which is moved by hand."""

    app: Any = field(default_factory=lambda: open_queue("amqp://nobody"))
    entries: list[Entry] = field(default_factory=list)

    @property
    def timer(self) -> "Consumer":
        return self

    @property
    def takes(self) -> bool:
        return QUEUE in self.app.amqp.queues.consume_from

    def call_repeatedly(self, _seconds: float, look: Any, args: tuple[Any, ...]) -> Entry:
        self.entries.append(Entry(lambda: look(*args)))
        return self.entries[-1]

    def cancel_task_queue(self, queue: str) -> None:
        self.app.amqp.queues.deselect(queue)

    def add_task_queue(self, queue: str) -> None:
        self.app.amqp.queues.select_add(self.app.amqp.queues[queue])


def test_a_busy_worker_takes_again_once_it_is_free_over_any_number_of_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active: set[str] = set()
    monkeypatch.setattr(free_workers, "active_requests", active)
    consumer, step = Consumer(), TakesWhenFree(None)
    step.start(consumer)
    assert consumer.takes and not consumer.entries
    active.add("a run")
    for _ in range(2):
        step.stop(consumer)
        step.start(consumer)
        assert not consumer.takes
    first, second = consumer.entries
    assert first.canceled
    second.look()
    assert not consumer.takes
    active.clear()
    second.look()
    assert consumer.takes and second.canceled


def test_a_worker_that_became_free_without_a_connection_takes_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    active = {"a run"}
    monkeypatch.setattr(free_workers, "active_requests", active)
    consumer, step = Consumer(), TakesWhenFree(None)
    step.start(consumer)
    step.stop(consumer)
    active.clear()
    step.start(consumer)
    assert consumer.takes

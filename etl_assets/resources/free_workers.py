"""A worker that is at work asks the broker for nothing more, after a lost connection either.

What a worker took is acknowledged when its run has ended, and until then the broker gives it nothing else. A new
connection knows nothing of that: the broker would give a busy worker the next run, which then waits for the end of
the one at work although others are idle.
"""

from typing import Any

from celery import bootsteps
from celery.worker.state import active_requests

from etl_assets.resources.run_queue import QUEUE

LOOK_S = 1.0
"""How often a worker that reconnected at work looks whether it is free."""


class TakesWhenFree(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Leaves the queue alone after a new connection until the run at work has ended."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    _looking: Any = None

    def start(self, consumer: Any) -> None:
        """Called with every connection, before anything is taken."""
        if active_requests:
            consumer.cancel_task_queue(QUEUE)
            self._looking = consumer.timer.call_repeatedly(LOOK_S, self._look, (consumer,))
        elif QUEUE not in consumer.app.amqp.queues.consume_from:
            consumer.add_task_queue(QUEUE)

    def stop(self, _consumer: Any) -> None:
        """Called when a connection ends."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look(self, consumer: Any) -> None:
        if not active_requests:
            self.stop(consumer)
            consumer.add_task_queue(QUEUE)

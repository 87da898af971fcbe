"""How a step of a worker waits for its turn in a pool: asleep.

Dagster 1.13.27 takes the smallest of 0 and the times to the next question, so it asks again without a
pause, and a run that waits takes a whole core from those that work.
"""

import time

from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext


def wait_asleep() -> None:
    """Let this process sleep until a claim may be tried again. To be called once before runs are executed."""
    InstanceConcurrencyContext.interval_to_next_pending_claim_check = _interval  # type: ignore[method-assign]


def _interval(self: InstanceConcurrencyContext) -> float:
    now = time.time()
    return max(0.0, min((at - now for at in self._pending_timeouts.values()), default=0.0))

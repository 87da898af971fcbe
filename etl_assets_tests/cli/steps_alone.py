"""What stands in for Dagster in tests that sync on their way to something else."""

import time
from collections.abc import Mapping, Sequence

from etl_assets.documents.batch import BatchRun
from etl_assets.documents.partition_run import all_steps
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.platform import Platform
from etl_assets.errors import EtlAssetsError
from etl_assets.launching import PartitionOutcome
from etl_assets.stages.report import Watcher


class StepsAlone:
    """Runs the steps of partitions as ``launching`` has Dagster run them, without the checks between them."""

    def __init__(self, _instance: object, platform: Platform, watch: Watcher, wait_s: float, _stopped: object) -> None:
        self._platform = platform
        self._watch = watch
        self._wait_s = wait_s

    def register(self, _keys: Sequence[str]) -> None:
        """Nobody keeps a list."""

    def run(self, one: BatchRun, tags: Mapping[str, str]) -> PartitionOutcome:
        from etl_assets.documents.partitions import anew_of

        started, error = time.monotonic(), None
        runs = PartitionRuns(
            lambda: self._platform, run_id=one.run_id, watch=self._watch, wait_s=self._wait_s, anew=anew_of(tags)
        )  # fmt: skip
        try:
            with runs.step(one.partition) as steps:
                all_steps(steps)
        except EtlAssetsError as e:
            error = str(e)
        report = runs.report(one.partition)
        runs.close()
        state = "succeeded" if error is None else "failed"
        return PartitionOutcome(one.partition, one.run_id, state, error, report, (), time.monotonic() - started)

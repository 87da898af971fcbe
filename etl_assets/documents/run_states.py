"""What a Dagster instance knows of runs: which partitions they keep busy, and which of them died."""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

from etl_assets.documents.partitions import (
    PARTITION_TAG,
)
from etl_assets.documents.platform import Platform
from etl_assets.ledger import settled

RUN_KEY_TAG = "dagster/run_key"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip
CODE_SERVER_TAG = ".dagster/grpc_info"
"""Where the code server is that started a run, as Dagster's own launcher notes it."""
SILENT_S = {dg.DagsterRunStatus.STARTING: 15.0, dg.DagsterRunStatus.STARTED: 300.0, dg.DagsterRunStatus.CANCELING: 15.0}
"""A code server that was replaced ends after its runs and listens no more meanwhile: they are silent for less."""


class InstanceRuns:
    """``RunStates`` of one Dagster instance."""

    def __init__(self, instance: dg.DagsterInstance, platform: Platform) -> None:
        self._instance = instance
        self._platform = platform

    def outcome(self, run_key: str) -> bool | None:
        """See ``RunStates.outcome``. A run that the daemon started again counts by its newest attempt."""
        runs = self._instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: run_key}), limit=1)
        if not runs:
            raise LookupError(run_key)
        return runs[0].is_success if runs[0].is_finished else None

    def busy(self) -> frozenset[str]:
        """See ``RunStates.busy``. Runs whose process died are reported as failed first, and do not count."""
        with self._platform.ledger.reading() as connection:
            expired, holding = settled.expired_runs(connection), settled.holding_runs(connection)
        busy: set[str] = set()
        for record in self._instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
            run = record.dagster_run
            if run.run_id in expired:
                self._instance.report_run_failed(run, "The run's process died: its lease was not renewed any more.")
            elif run.run_id not in holding and self._is_orphan(record):
                self._instance.report_run_failed(run, "The run's process died before it took its partition.")
            elif PARTITION_TAG in run.tags:
                busy.add(run.tags[PARTITION_TAG])
        return frozenset(busy)

    def _is_orphan(self, record: dg.RunRecord) -> bool:
        """Whether a run without a lease has been silent for long and the code server that started it is gone.

        Of a run that holds a lease the ledger tells; of one that has not got so far, or never takes one, nothing else
        does: it would keep its partition busy for ever.
        """
        silent_for_s = SILENT_S.get(record.dagster_run.status)
        server = record.dagster_run.tags.get(CODE_SERVER_TAG)
        if silent_for_s is None or server is None or _answers(json.loads(server)):
            return False
        newest = self._instance.all_logs(record.dagster_run.run_id)[-1:]
        last = newest[0].timestamp if newest else record.create_timestamp.timestamp()
        return time.time() - last > silent_for_s


def _answers(server: Mapping[str, Any]) -> bool:
    """Whether anybody listens at the address that Dagster noted of a code server."""
    family = socket.AF_UNIX if server.get("socket") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(server.get("socket") or (server["host"], server["port"]))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # who knows: another machine's, or too busy to answer
            return True
        return True

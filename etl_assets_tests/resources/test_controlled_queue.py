"""Dagster's queue with what people pause and put first: what goes in held back is not begun until it is let go."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.run_coordinator import SubmitRunContext
from dagster._utils.tags import TagConcurrencyLimitsCounter

from etl_assets.asset_keys import HELD, HELD_TAG, INGEST_JOB, LET_GO, PRIORITY_TAG, TENANT_TAG, VERIFY_JOB
from etl_assets.documents.partitions import BACKFILL_TAG, PARTITION_TAG, follow_controls, origin_of
from etl_assets.launching import render_instance
from etl_assets.ledger import controls
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.runs import Origin
from etl_assets.resources.controlled_queue import ControlledQueue
from etl_assets_tests.cli.test_control import made_run
from etl_assets_tests.small_homes import SmallHome

KEY = "acme.reports.00-of-01"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallHome:
    monkeypatch.setenv("ETL_HOME", str(tmp_path / "home"))
    return SmallHome.at(tmp_path / "home", {})


@pytest.fixture
def instance(home: SmallHome) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(render_instance(home.settings))) as opened:
        yield opened


def submitted(instance: dg.DagsterInstance, job: str = INGEST_JOB, **tags: str) -> dg.DagsterRun:
    run = made_run(instance, job, {PARTITION_TAG: KEY, TENANT_TAG: "acme", **tags}, dg.DagsterRunStatus.NOT_STARTED)
    assert isinstance(instance.run_coordinator, ControlledQueue)
    return instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=None))  # type: ignore[arg-type]


def is_blocked(instance: dg.DagsterInstance, run_id: str) -> bool:
    """As the daemon asks before it begins a run."""
    run = instance.get_run_by_id(run_id)
    assert run is not None and run.status == dg.DagsterRunStatus.QUEUED
    limits = instance.get_concurrency_config().run_queue_config
    assert limits is not None and limits.max_concurrent_runs == 5
    return TagConcurrencyLimitsCounter(limits.tag_concurrency_limits, []).is_blocked(run)


def test_a_run_of_what_is_paused_waits_until_it_is_resumed(home: SmallHome, instance: dg.DagsterInstance) -> None:
    ledger = home.platform.ledger
    assert not is_blocked(instance, submitted(instance).run_id)
    controls.pause(ledger, "acme/reports", reason="", by="me")
    held = submitted(instance)
    assert held.tags[HELD_TAG] == HELD and is_blocked(instance, held.run_id)
    assert not is_blocked(instance, submitted(instance, VERIFY_JOB).run_id), "only taking in documents is paused"
    assert follow_controls(instance, controls.controls(ledger)) == 2, "the one from before the pause, too"
    controls.resume(ledger, "acme/reports", by="me")
    assert follow_controls(instance, controls.controls(ledger)) == 0
    assert not is_blocked(instance, held.run_id)
    again = instance.get_run_by_id(held.run_id)
    assert again is not None and again.tags[HELD_TAG] == LET_GO


def test_a_backfill_may_be_paused_and_a_run_has_the_priority_of_its_narrowest_scope(
    home: SmallHome, instance: dg.DagsterInstance
) -> None:
    ledger: Ledger = home.platform.ledger
    controls.prioritise(ledger, "acme", 3, by="me")
    controls.prioritise(ledger, KEY, -7, by="me")
    controls.pause(ledger, controls.batch_scope("nightly"), reason="", by="me")
    run, other = submitted(instance, **{BACKFILL_TAG: "nightly"}), submitted(instance)
    assert run.tags[PRIORITY_TAG] == other.tags[PRIORITY_TAG] == "-7"
    assert is_blocked(instance, run.run_id) and not is_blocked(instance, other.run_id)
    assert origin_of(run) == Origin("backfill", "nightly", -7) and origin_of(other) == Origin("ui", None, -7)
    controls.prioritise(ledger, KEY, None, by="me")
    follow_controls(instance, controls.controls(ledger))
    changed = instance.get_run_by_id(other.run_id)
    assert changed is not None and changed.tags[PRIORITY_TAG] == "3"

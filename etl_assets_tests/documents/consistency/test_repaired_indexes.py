"""Repairs that start by themselves: what a verification found is repaired, and a failure that stays is given up."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import dagster as dg
import pytest
from sqlalchemy import update

from etl_assets.asset_keys import DOCUMENT_SHARDS, REPAIR_JOB, VERIFY_JOB
from etl_assets.documents.automation import daily_verification, document_repairs
from etl_assets.documents.publication.publisher import Stores
from etl_assets.ledger import schema
from etl_assets_tests.documents.test_assets import execute, materialised
from etl_assets_tests.faulty import Fault, Faults, FaultyRows
from etl_assets_tests.small_homes import SmallHome


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.ran(tmp_path / "home")


@pytest.fixture
def instance(home: SmallHome) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        ephemeral.add_dynamic_partitions(DOCUMENT_SHARDS, [home.key])
        yield ephemeral


def asked(home: SmallHome, instance: dg.DagsterInstance) -> list[str]:
    """Run keys that one tick asks for, once the time to wait has passed."""
    with home.platform.ledger.writing() as connection:
        connection.execute(update(schema.repairs).values(retry_at=0.0))
    context = dg.build_sensor_context(instance=instance)
    result = document_repairs(context, arrivals=SimpleNamespace(platform=home.platform))
    assert isinstance(result, dg.SensorResult)
    assert all(one.partition_key == home.key for one in result.run_requests or [])
    return [str(one.run_key) for one in result.run_requests or []]


def test_what_a_verification_finds_is_repaired_and_a_difference_that_stays_is_given_up(
    home: SmallHome, instance: dg.DagsterInstance
) -> None:
    assert asked(home, instance) == []
    assert execute(home, instance, VERIFY_JOB).success and asked(home, instance) == []
    whole = home.platform
    home.platform.stores.vector.drop(home.platform.stores.vector.spaces()[0])
    faults = Faults({("write", n): Fault.REFUSED for n in range(99)})
    stores = cast("Stores", replace(whole.stores, vector=FaultyRows(whole.stores.vector, faults)))  # type: ignore[arg-type]
    home.platform = replace(whole, stores=stores)
    keys = []
    for _ in range(3):
        assert not execute(home, instance, VERIFY_JOB).success
        (key,) = asked(home, instance)
        keys.append(key)
        (failure,) = [event for event in execute(home, instance, REPAIR_JOB).all_events if event.is_step_failure]
        assert "refused on purpose" in str(failure.event_specific_data)
    assert len(set(keys)) == 3, "Dagster would skip a run key that it has seen"
    assert not execute(home, instance, VERIFY_JOB).success
    assert asked(home, instance) == [], "the same differences were left three times"

    home.platform = whole
    result = execute(home, instance, REPAIR_JOB)
    assert result.success
    made = materialised(result)["repaired_indexes"]
    assert made.partition == home.key and made.metadata["republished"].value == 3
    assert made.metadata["embedded"].value == 0 and made.metadata["left"].value == 0
    assert execute(home, instance, VERIFY_JOB).success and asked(home, instance) == []


def test_a_day_asks_for_one_verification_of_each_partition(home: SmallHome, tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, tzinfo=UTC)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.add_dynamic_partitions(DOCUMENT_SHARDS, [home.key])
        (request,) = daily_verification(dg.build_schedule_context(instance, scheduled_execution_time=at))  # type: ignore[misc]
    assert request.partition_key == home.key and request.run_key == f"verify:2026-01-02:{home.key}"
    assert daily_verification.default_status is dg.DefaultScheduleStatus.STOPPED
    assert document_repairs.default_status is dg.DefaultSensorStatus.STOPPED

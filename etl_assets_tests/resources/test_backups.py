"""The asset ``backups``: what a run of it makes and prunes, and what is told when a target fails."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from etl_assets.documents.assets import backups
from etl_assets.documents.automation import daily_backup
from etl_assets.resources.backups import SetTargets
from etl_assets.settings import Settings
from etl_assets_tests.backups import back_up, damages
from etl_assets_tests.small_homes import SmallHome


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = SmallHome.ran(tmp_path / "home")
    home.platform.close()
    return replace(home.settings, backup_targets=f"{tmp_path / 'kept'}, {tmp_path / 'far'}", backup_keep_days=0.0)


def materialised(settings: Settings) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [backups], resources={"backup_targets": SetTargets(settings)}, raise_on_error=False, instance=instance
        )


def test_a_run_backs_up_to_every_target_and_prunes_what_is_old(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "kept")
    result = materialised(settings)
    assert result.success
    (event,) = result.asset_materializations_for_node("backups")
    assert set(event.metadata) == {str(tmp_path / "kept"), str(tmp_path / "far")}
    for name in ("kept", "far"):
        assert len(list((tmp_path / name / "backups").iterdir())) == 1
        assert damages(settings, tmp_path / name, tmp_path / f"tried-{name}") == []


def test_a_target_that_fails_is_told_and_the_other_stays_good(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "far").write_text("a file in the folder's place")
    result = materialised(settings)
    assert not result.success
    failure = next(event for event in result.all_events if event.event_type_value == "STEP_FAILURE")
    assert str(tmp_path / "far") in str(failure.event_specific_data)
    assert damages(settings, tmp_path / "kept", tmp_path / "tried") == []


def test_the_schedule_starts_nothing_where_no_target_is_set(settings: Settings) -> None:
    nowhere = SetTargets(replace(settings, backup_targets=None))
    with dg.build_schedule_context(resources={"backup_targets": nowhere}) as context:
        assert isinstance(daily_backup(context), dg.SkipReason)

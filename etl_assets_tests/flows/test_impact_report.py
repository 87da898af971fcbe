"""The Dagster job that tells what rests on something, at every asset that it reaches."""

from pathlib import Path

import dagster as dg

from etl_assets.asset_keys import CLASSIFICATIONS, DOCUMENT_ASSETS, KNOWLEDGE
from etl_assets.definitions import impact_report
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets_tests.small_homes import SmallHome


def test_the_job_tells_partitions_and_rows_at_every_asset_that_a_change_reaches(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home")
    runs_of = PartitionRuns(lambda: home.platform, run_id="impact")
    with dg.DagsterInstance.ephemeral() as instance:

        def start(kind: str, name: str) -> dg.ExecuteInProcessResult:
            config = {"ops": {"report_impact": {"config": {"kind": kind, "name": name}}}}
            return impact_report.execute_in_process(
                instance=instance, resources={"partition_runs": runs_of}, run_config=config, raise_on_error=False
            )

        for kind, name in (("setting", "acme/reports:chunking.max_tokens"), ("stage", "chunks")):
            result = start(kind, name)
            assert result.success
            told = {
                event.asset_observation_data.asset_observation.asset_key: event.asset_observation_data.asset_observation
                for event in result.get_asset_observation_events()
            }
            beside = {KNOWLEDGE, CLASSIFICATIONS}  # they read pages alone
            assert set(DOCUMENT_ASSETS) & set(told) == set(DOCUMENT_ASSETS[2:]) - beside
            table = told[DOCUMENT_ASSETS[-1]].metadata["partitions"]
            assert [record.data["partition"] for record in table.value.records] == [home.key]
            assert {one.metadata["documents"].value for one in told.values()} == {3}
        assert start("document", "acme/reports/bear.txt").success
        assert not start("setting", "shards").success and not start("asset", "nothing").success
    home.platform.close()

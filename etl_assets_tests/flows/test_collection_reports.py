"""The Dagster asset with the drawings of a collection."""

import base64
from pathlib import Path
from xml.etree import ElementTree

import dagster as dg

from etl_assets.definitions import collection_reports
from etl_assets.documents.partition_runs import PartitionRuns
from etl_assets.documents.partitions import document_shards
from etl_assets_tests.small_homes import SmallHome


def test_the_drawings_of_a_collection_are_metadata_of_an_asset(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home")
    runs_of = PartitionRuns(lambda: home.platform, run_id="report")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(document_shards.name), [home.key])
        done = dg.materialize(
            [collection_reports], instance=instance, partition_key=home.key, resources={"partition_runs": runs_of}
        )
        (made,) = done.asset_materializations_for_node("collection_reports")
    assert made.metadata["documents"].value == 3
    for name in ("time", "entities", "indicators", "together"):
        text = str(made.metadata[name].value)
        assert text.startswith(f"![{name}](data:image/svg+xml;base64,") and text.endswith(")")
        drawn = base64.b64decode(text.partition("base64,")[2][:-1]).decode()
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
    home.platform.close()

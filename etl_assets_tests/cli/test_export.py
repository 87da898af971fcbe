"""What is exported of a collection, read back by other programs' means."""

import json
from pathlib import Path

import polars as pl
import pytest

from etl_assets_tests.cli.conftest import Command

pytestmark = pytest.mark.usefixtures("without_dagster")


def test_a_bundle_is_valid_by_the_official_validator_and_the_same_each_time(
    made_home: Path, tmp_path: Path, etl: Command
) -> None:
    from stix2validator import ValidationOptions, validate_instance

    file = tmp_path / "found.json"
    (told,) = etl("export", "stix", "acme/reports", str(file), "--json", home=made_home).records
    first = file.read_bytes()
    bundle = json.loads(first)
    assert validate_instance(bundle, ValidationOptions(version="2.1")).is_valid
    named = {one["name"] for one in bundle["objects"] if one["type"] in ("malware", "intrusion-set", "vulnerability")}
    assert {"Emotet", "TrickBot", "APT28", "CVE-2021-44228"} <= named and told["objects"] == len(bundle["objects"])
    assert len([one for one in bundle["objects"] if one["type"] == "report"]) == 4
    assert etl("export", "stix", "acme/reports", str(file), home=made_home).code == 0 and file.read_bytes() == first


def test_tables_have_a_row_for_each_mention_and_their_entities(made_home: Path, tmp_path: Path, etl: Command) -> None:
    (told,) = etl("export", "parquet", "acme", str(tmp_path / "out"), "--json", home=made_home).records
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "entities.parquet", "labels.parquet", "mentions.parquet", "relations.parquet"
    ]  # fmt: skip
    mentions = pl.read_parquet(tmp_path / "out" / "mentions.parquet")
    assert mentions.height == told["rows"]["mentions"] and mentions["tenant"].unique().to_list() == ["acme"]
    entities = pl.read_parquet(tmp_path / "out" / "entities.parquet")
    emotet = entities.row(by_predicate=pl.col("entity_id") == "malware:S0367", named=True)
    assert (emotet["name"], emotet["document_count"], emotet["mention_count"]) == ("Emotet", 3, 3)
    assert entities["mention_count"].sum() == mentions.height


def test_what_is_not_published_is_not_exported(made_home: Path, tmp_path: Path, etl: Command) -> None:
    outcome = etl("export", "stix", "acme/nothing", str(tmp_path / "x.json"), home=made_home)
    assert outcome.code == 2 and not (tmp_path / "x.json").exists()
    (tmp_path / "file").write_text("")
    assert etl("export", "parquet", "acme", str(tmp_path / "file"), home=made_home).code == 2
    assert etl("export", "stix", "acme", str(tmp_path / "no" / "x.json"), home=made_home).code == 1

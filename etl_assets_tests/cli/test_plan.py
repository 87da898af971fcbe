"""``etl-assets plan``: what a sync would take, and why, for people and for programs."""

from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import SETTINGS, Command, copied, put

pytestmark = pytest.mark.usefixtures("without_dagster")


def test_a_plan_tells_counts_and_reasons_and_then_there_is_nothing_to_do(
    etl: Command, made_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    copied(made_home, home)
    put(home, {"acme/reports/new.txt": "A new report about EMOTET."})
    (plan,) = etl("plan", "acme/reports", "--json", home=home).records
    assert (plan["added"], plan["chunks"], plan["money"]) == (1, 1, {})
    shown = etl("plan", "acme/reports", home=home)
    assert shown.code == 0 and "chunks: 1 documents: new document" in shown.out and "in all about" in shown.out
    assert etl("sync", home=home).code == 0
    assert "acme/reports: nothing to do" in etl("plan", home=home).out


def test_a_setting_can_be_tried_before_it_is_decided(etl: Command, made_home: Path) -> None:
    settings = ("--set", "chunking.mode=fixed", "--set", "chunking.size=30", "--set", "chunking.overlap=0")
    (plan,) = etl("plan", "acme/reports", *settings, "--json", home=made_home).records
    assert plan["chunks"] > 3 and plan["stages"][0]["stage"] == "chunks"
    (plan,) = etl("plan", "acme/reports", "--full", "--partitions", "acme.reports.*", "--json", home=made_home).records
    assert plan["stages"][0]["why"] == {"asked for in full": 5}
    wrong = etl("plan", "acme/reports", "--set", "chunking.size", home=made_home)
    assert wrong.code == 2 and "write NAME=VALUE" in wrong.err
    unknown = etl("plan", "acme/reports", "--set", "chunking.colour=red", home=made_home)
    assert unknown.code == 2 and "chunking.colour" in unknown.err


def test_a_home_that_was_never_used_can_be_planned(etl: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "there is no collection yet" in etl("plan", home=home).out
    put(home, {"acme/reports/a.txt": "Some words.", "acme/odd/b.txt": "Others."})
    (home / "collections.yaml").write_text(SETTINGS)
    plans = etl("plan", "--json", home=home).records
    assert [(one["collection"], one["documents"]) for one in plans] == [("odd", 1), ("reports", 1)]
    (plan,) = etl("plan", "--partitions", "acme.odd.*", "--json", home=home).records
    assert plan["collection"] == "odd", "a collection without such a partition is no failure"
    assert not (home / "ledger").exists()
    for unknown in (("acme/none",), ("--partitions", "acme.none.*"), ("acme/odd", "--partitions", "acme.reports.*")):
        assert etl("plan", *unknown, home=home).code == 2

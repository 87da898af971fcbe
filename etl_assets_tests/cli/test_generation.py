"""``etl-assets generation``: what people type, read and pipe into programs."""

from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import SETTINGS, Command

pytestmark = pytest.mark.usefixtures("without_dagster")

PLACE = "acme/reports"
FIXED = ("--set", "chunking.mode=fixed", "--set", "chunking.size=40", "--set", "chunking.overlap=0")


def test_an_index_is_built_compared_promoted_rolled_back_and_collected(etl: Command, home: Path) -> None:
    built = etl("generation", "build", PLACE, *FIXED, home=home)
    assert built.code == 0 and "index generation 3 of acme/reports" in built.out
    assert "index generation 3 is complete and waits for `etl-assets generation promote`" in built.out
    listed = etl("generation", "list", PLACE, "--json", home=home).records
    assert [(one["generation"], one["state"], one["origin"]) for one in listed] == [
        (1, "live", "settings"), (3, "building", "command"),
    ]  # fmt: skip
    assert "fixed 40/0" in etl("generation", "list", PLACE, home=home).out
    told = etl("generation", "compare", PLACE, home=home).out
    assert "recall@10" in told and "agreement of the order (RBO)" in told
    (record,) = etl("generation", "compare", PLACE, "--json", home=home).records
    assert record["passed"] and record["lacking"] == 0 and record["quality"]["recall"] == 1.0
    promoted = etl("generation", "promote", PLACE, home=home)
    assert promoted.code == 0 and "index generation 3 answers now, in place of 1" in promoted.out
    assert etl("generation", "rollback", PLACE, "--json", home=home).records[0]["promoted_at"] > 0
    assert etl("generation", "rollback", PLACE, home=home).code == 0
    collected = etl("generation", "collect", PLACE, home=home)
    assert collected.code == 0 and "index generation 1 is given up; its 4 documents are removed" in collected.out
    assert etl("generation", "rollback", PLACE, home=home).code == 2


def test_what_compares_badly_is_refused_and_told_everywhere(
    etl: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two indexes of so few documents always find the same ones.
    monkeypatch.setattr("etl_assets.search.comparison._shared", lambda *_: 0.5)
    rules = "  generations: {least_overlap: 0.75}\n"
    chunking = "  chunking: {mode: fixed, size: 16, overlap: 0}\n"
    (home / "collections.yaml").write_text(SETTINGS + rules + chunking)
    (home / "queries.jsonl").write_text('{"_id": "q", "text": "EMOTET"}\n')
    synced = etl("sync", "--tenant", "acme", home=home)
    status = {one["collection"]: one for one in etl("status", "--json", home=home).records}
    states = {one["state"]: one["reasons"] for one in status["reports"]["generations"]}
    assert states["building"] and "is not promoted: only " in synced.out
    assert f"{PLACE}: index generation 3 is being built: only " in etl("status", home=home).out
    refused = etl("generation", "promote", PLACE, "--queries", str(home / "queries.jsonl"), home=home)
    assert refused.code == 1 and "was not promoted; 1 goes on answering" in refused.out
    assert "warns   acme.reports.00-of-01  a_built_index_may_answer" in etl(
        "check", "--tenant", "acme", "--sample", "0", home=home
    ).out  # fmt: skip


def test_what_cannot_be_meant_is_told(etl: Command, home: Path) -> None:
    for arguments, words in {
        ("list", "acme"): "name the collection as TENANT/COLLECTION",
        ("list", "no/body"): "there is no collection no/body",
        ("promote", PLACE): "no index generation is building",
        ("rollback", PLACE): "no index generation is previous",
        ("collect", PLACE, "--generation", "1"): "index generation 1 answers searches",
        ("build", PLACE, "--set", "shards=2"): "shards: defines no index generation",
        ("build", PLACE, "--set", "chunking"): "write NAME=VALUE",
        ("build", PLACE, "--set", "embedder.kind=static"): "is made by these settings already",
        ("compare", PLACE, "--qrels", str(home / "collections.yaml")): "--qrels needs --queries",
    }.items():
        outcome = etl("generation", *arguments, home=home)
        assert outcome.code == 2 and words in outcome.err, (arguments, outcome)

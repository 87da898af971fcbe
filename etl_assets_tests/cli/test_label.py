"""Labels and links put right by the command: what holds, who said it, and what is learned from it."""

from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import Command, put

pytestmark = pytest.mark.usefixtures("without_dagster")

BEAR = "acme/reports/apt/bear.txt"


def test_labels_and_links_are_corrected_shown_with_who_said_so_and_undone(home: Path, etl: Command) -> None:
    (made,) = etl("label", BEAR, "add", "ransomware", "--json", home=home).records
    assert (made["subject"], made["value"], made["path"]) == ("threat:ransomware", {"accepted": True}, "apt/bear.txt")
    assert made["made_by"] and made["version"]
    assert etl("label", "remove", BEAR, "sector:energy", home=home).code == 0
    assert etl("label", BEAR, "link", "machines", "malware:S0367", home=home).code == 0
    assert etl("sync", home=home).code == 0
    (shown,) = etl("document", "show", BEAR, "--json", home=home).records
    found = shown["findings"]
    (label,) = (one for one in found["labels"] if one["label"] == "ransomware")
    assert label["score"] == 1.0 and label["classifier"] == "people"
    assert [one["subject"] for one in found["corrections"]] == ["threat:ransomware", "sector:energy", "machines"]
    told = etl("document", "show", BEAR, home=home).out
    assert f"threat:ransomware  1.00  by a person: {made['made_by']}" in told
    (answer,) = etl("search", "bear", "--threat", "ransomware", "--json", home=home).records
    assert {hit["path"] for hit in answer["hits"]} == {"apt/bear.txt"}
    assert etl("label", "undo", str(made["correction_id"]), home=home).code == 0
    assert etl("label", "undo", str(made["correction_id"]), home=home).code == 2
    assert len(etl("label", "list", "--json", home=home).records) == 2
    history = etl("label", "list", "--document", BEAR, "--history", "--json", home=home).records
    assert [one["ended_at"] is None for one in history] == [False, True, True]


def test_what_cannot_be_meant_is_refused_and_says_what_can(home: Path, etl: Command) -> None:
    unknown = etl("label", BEAR, "add", "nonsense", home=home)
    assert unknown.code == 2 and "ransomware" in unknown.err
    assert etl("label", BEAR, "link", " ", "malware:S0367", home=home).code == 2
    assert etl("label", "nowhere/at/all.txt", "add", "ransomware", home=home).code == 2


def test_a_calibration_needs_ten_corrections_of_both_kinds_and_moves_the_scores(home: Path, etl: Command) -> None:
    put(
        home,
        {f"acme/reports/made/{number}.txt": f"Ransomware note {number}: a ransom was paid." for number in range(10)},
    )
    assert etl("sync", home=home).code == 0
    assert "nothing was learned" in etl("label", "calibrate", "acme/reports", home=home).out
    for number in range(10):
        what = "add" if number < 2 else "remove"
        assert etl("label", f"acme/reports/made/{number}.txt", what, "ransomware", home=home).code == 0
    (line,) = etl("label", "calibrate", "acme/reports", "--json", home=home).records
    assert line["subject"] == "threat:ransomware" and line["level"] < 0 and line["judgements"] == 10
    assert etl("sync", home=home).code == 0
    (again,) = etl("label", "calibrate", "acme/reports", "--json", home=home).records
    assert again == line, "it is learned from scores of before any calibration"

"""Catalogues and corrections of entities, by the command."""

import json
from pathlib import Path
from typing import Any

import pytest

from etl_assets_tests.cli.conftest import Command, put

pytestmark = pytest.mark.usefixtures("without_dagster")


def bundle(path: Path, *names: str, extra: tuple[Any, ...] = ()) -> str:
    groups = [
        {"type": "intrusion-set", "spec_version": "2.1", "name": name,
         "id": f"intrusion-set--{number:08d}-0000-4000-8000-000000000000"}
        for number, name in enumerate(names)
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": [*groups, *extra]}))
    return str(path)


def test_a_catalogue_is_brought_listed_and_taken_away(home: Path, tmp_path: Path, etl: Command) -> None:
    file = bundle(tmp_path / "ours.json", "Grey Heron", extra=({"type": "malware", "id": "malware--1"}, 3))
    made = etl("catalogue", "add", file, "--collection", "acme/reports", "--json", home=home)
    assert made.code == 0, made.err
    (record,) = made.records
    assert (record["name"], record["tenant"], record["collection"], record["entries"]) == ("ours", "acme", "reports", 1)
    assert [one["place"] for one in record["refused"]] == [1, 2] and "object 1 malware--1 was left out" in made.err
    listed = etl("catalogue", "show", home=home).out
    assert "packaged (ATT&CK)" in listed and "acme/reports" in listed
    replaced = etl("catalogue", "replace", file, "--name", "all", home=home)
    assert "in place of others, for all" in replaced.out
    gone = etl("catalogue", "remove", str(record["catalogue_id"]), home=home)
    assert gone.code == 0 and "run: etl-assets sync" in gone.out
    assert etl("catalogue", "remove", str(record["catalogue_id"]), home=home).code == 2
    history = etl("catalogue", "show", "--history", "--json", home=home).records
    assert [(one["name"], one.get("ended_at") is None) for one in history] == [
        ("packaged", True), ("ours", False), ("all", True)
    ]  # fmt: skip


def test_a_bundle_that_is_none_and_a_place_that_cannot_be_are_refused(home: Path, tmp_path: Path, etl: Command) -> None:
    (tmp_path / "no.json").write_text("[]")
    assert etl("catalogue", "add", str(tmp_path / "no.json"), home=home).code != 0
    file = bundle(tmp_path / "ours.json", "Grey Heron")
    for place in ("Acme", "acme/", "acme/x.y", "a/b/c"):
        assert etl("catalogue", "add", file, "--collection", place, home=home).code == 2


def test_a_merge_and_a_split_are_remembered_and_taken_back(home: Path, etl: Command) -> None:
    merged = etl("entity", "merge", "APT29", "APT28", "--tenant", "acme", "--json", home=home)
    assert merged.code == 0, merged.err
    (record,) = merged.records
    assert (record["kind"], record["subject"], record["tenant"]) == ("merge", "group:G0007", "acme")
    assert record["value"]["entity"]["entity_id"] == "group:G0016" and record["made_by"]
    split = etl("entity", "split", "Emotet", "EMOTET", "--json", home=home)
    assert split.records[0]["value"] == {
        "text": "EMOTET", "entity": {"entity_id": "malware:emotet", "entity_type": "malware", "name": "EMOTET"}
    }  # fmt: skip
    listed = etl("entity", "corrections", home=home).out
    assert "merge" in listed and "malware:S0367 at “EMOTET”" in listed
    assert etl("entity", "undo", str(record["correction_id"]), home=home).code == 0
    assert etl("entity", "undo", str(record["correction_id"]), home=home).code == 2
    kept = etl("entity", "corrections", "--json", home=home).records
    assert [one["kind"] for one in kept] == ["split"]
    assert len(etl("entity", "corrections", "--history", "--json", home=home).records) == 2


def test_what_would_change_nothing_or_is_ambiguous_is_refused(home: Path, etl: Command) -> None:
    assert "several are meant" in etl("entity", "merge", "APT29", "APT28", home=home).err
    assert "already" in etl("entity", "merge", "Fancy Bear", "APT28", "--tenant", "acme", home=home).err
    assert "would stay" in etl("entity", "split", "Emotet", "x", "--into", "Emotet", home=home).err
    assert etl("entity", "split", "Emotet", " ", home=home).code == 2


def made(etl: Command, home: Path, stage: str) -> list[str]:
    """Paths of the documents whose rows of ``stage`` were ever computed, once for each time."""
    query = (
        "select o.path from outputs x join producers p on p.producer_id = x.producer_id "
        f"join documents o on o.document_id = x.document_id where p.stage = '{stage}' order by 1"
    )
    lines = etl("sql", query, "--format", "json", home=home).out.splitlines()
    return [str(json.loads(line)["path"]) for line in lines]


def computed_by(etl: Command, home: Path, stage: str, *change: str) -> list[str]:
    before = made(etl, home, stage)
    outcome = etl(*change, home=home)
    assert outcome.code == 0, outcome.err
    assert etl("sync", home=home).code == 0
    after = made(etl, home, stage)
    for path in before:
        after.remove(path)
    return after


def test_a_new_group_or_a_merge_links_anew_the_documents_that_name_it_and_no_others(
    home: Path, tmp_path: Path, etl: Command
) -> None:
    put(home, {"acme/reports/heron.txt": "The Grey Heron group attacked a bank with EMOTET."})
    assert etl("sync", home=home).code == 0
    file = bundle(tmp_path / "ours.json", "Grey Heron")
    assert computed_by(etl, home, "mentions", "catalogue", "add", file) == ["heron.txt"]
    (shown,) = etl("entity", "show", "grey heron", "--json", home=home).records
    assert shown["in_catalogue"] and shown["entity_id"] == "group:intrusion-set--00000000-0000-4000-8000-000000000000"
    assert computed_by(etl, home, "mentions", "entity", "merge", "Emotet", "Grey Heron") == ["heron.txt"]
    assert etl("entity", "show", "grey heron", home=home).code == 2
    emotet = etl("entity", "show", "emotet", "--json", home=home).records[0]
    assert next(one["count"] for one in emotet["documents"] if one["path"] == "heron.txt") == 2
    (merge,) = etl("entity", "corrections", "--json", home=home).records
    computed_by(etl, home, "mentions", "entity", "undo", str(merge["correction_id"]))
    assert etl("entity", "show", "grey heron", home=home).code == 0

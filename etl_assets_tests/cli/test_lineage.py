"""Lineage, impact and saved searches as commands."""

import json
from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import TEXTS, Command

pytestmark = pytest.mark.usefixtures("without_dagster")

BEAR = "acme/reports/apt/bear.txt"


def test_a_hit_of_a_search_is_traced_to_its_file(etl: Command, made_home: Path) -> None:
    (answer,) = etl("search", "EMOTET bank", "--json", home=made_home).records
    hit = answer["hits"][0]
    (found,) = etl("lineage", json.dumps(hit), "--json", home=made_home).records
    assert found["kind"] == "hit" and TEXTS[BEAR][found["start"] : found["end"]] == found["quote"]
    text = etl("lineage", f"{hit['document_id']}/{hit['chunk_id']}", home=made_home).out
    assert "└─ object " + BEAR in text and "verified" in text and "chunks/1/" in text


@pytest.mark.parametrize("name", ["APT28", "CVE-2021-44228", "zzz"])
def test_what_several_tenants_have_is_refused_and_a_tenant_decides(name: str, etl: Command, made_home: Path) -> None:
    outcome = etl("lineage", name, home=made_home)
    assert outcome.code == 2 and ("may be any of" in outcome.err or "nothing is known" in outcome.err)
    if name != "zzz":
        out = etl("lineage", name, "--tenant", "zeta", home=made_home)
        assert out.code == 0 and "zeta/mail/one.txt" in out.out


def test_impact_is_told_to_people_and_programs(etl: Command, made_home: Path) -> None:
    (found,) = etl("impact", BEAR, "--json", home=made_home).records
    assert (found["kind"], found["documents"], found["index_entries"]["vector"]) == ("document", 1, 1)
    out = etl("impact", "mentions", home=made_home).out
    assert "partition zeta.mail.00-of-01: 1 documents" in out and "published_documents" in out
    assert etl("impact", "nothing", home=made_home).code == 2


def test_a_saved_search_is_listed_run_again_named_by_impact_and_removed(etl: Command, home: Path) -> None:
    saved = etl("search", "EMOTET bank", "--tenant", "acme", "--limit", "2", "--save", "banks", home=home)
    assert saved.code == 0
    (one,) = etl("searches", "list", "--json", home=home).records
    assert (one["name"], one["tenant"], one["query"], len(one["hits"])) == ("banks", "acme", "EMOTET bank", 2)
    assert all("quote" not in hit for hit in one["hits"])
    (found,) = etl("impact", BEAR, "--json", home=home).records
    assert [search["name"] for search in found["saved_searches"]] == ["banks"]
    (other,) = etl("impact", "zeta/mail/one.txt", "--json", home=home).records
    assert other["saved_searches"] == []
    (home / "objects" / BEAR).unlink()
    assert etl("sync", home=home).code == 0
    (again,) = etl("searches", "run", "banks", "--json", home=home).records
    assert again["is_changed"] and one["hits"][0]["document_id"] in again["removed"]
    (gone,) = etl("impact", BEAR, "--run", "--json", home=home).records
    assert gone["saved_searches"] == []
    assert "EMOTET bank" in etl("searches", "show", "banks", home=home).out
    assert etl("searches", "remove", "banks", home=home).code == 0
    assert etl("searches", "run", "banks", home=home).code == 2

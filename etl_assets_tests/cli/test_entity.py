"""What people ask of the graph, on a real synced home."""

import json
from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import Command, put

pytestmark = pytest.mark.usefixtures("without_dagster")


def page_text(etl: Command, home: Path, path: str) -> str:
    rows = etl("sql", f"select text from pages where path = '{path}'", "--format", "json", home=home).out
    return str(json.loads(rows.splitlines()[0])["text"])


def test_an_entity_is_shown_with_passages_that_stand_where_they_say(made_home: Path, etl: Command) -> None:
    (record,) = etl("entity", "show", "emotet", "--json", home=made_home).records
    assert (record["name"], record["in_catalogue"], record["tenant"]) == ("Emotet", True, "acme")
    assert {one["path"] for one in record["documents"]} == {"apt/bear.txt", "apt/panda.md", "line\nbreak.txt"}
    for document in record["documents"]:
        for cited in document["passages"]:
            text = page_text(etl, made_home, document["path"])
            assert "EMOTET" in cited["quote"] and text[cited["start"] : cited["end"]] == cited["quote"]


def test_another_name_of_the_catalogue_finds_the_entity(made_home: Path, etl: Command) -> None:
    records = etl("entity", "show", "Fancy Bear", "--json", home=made_home).records
    assert [(one["entity_id"], one["tenant"]) for one in records] == [("group:G0007", "acme"), ("group:G0007", "zeta")]
    (one,) = etl("entity", "show", "G0007", "--tenant", "zeta", "--json", home=made_home).records
    assert [document["path"] for document in one["documents"]] == ["one.txt"]


def test_neighbours_come_with_the_passage_that_connects_them(made_home: Path, etl: Command) -> None:
    near = etl("entity", "neighbours", "TrickBot", "--hops", "2", "--json", home=made_home).records
    by_id = {one["entity_id"]: one for one in near}
    assert by_id["malware:S0367"]["hops"] == 1 and by_id["group:G0007"]["hops"] == 2
    (edge,) = by_id["malware:S0367"]["edges"]
    assert "TRICKBOT and EMOTET" in edge["citations"][0]["quote"]
    assert {one["tenant"] for one in near} == {"acme"}
    last = by_id["group:G0007"]["edges"][0]
    assert {last["subject"]["entity_id"], last["object"]["entity_id"]} == {"malware:S0367", "group:G0007"}


def test_a_path_is_told_edge_by_edge_and_never_through_another_tenant(made_home: Path, etl: Command) -> None:
    (way,) = etl("entity", "path", "TrickBot", "APT28", "--json", home=made_home).records
    ends = [(links[0]["subject"]["entity_id"], links[0]["object"]["entity_id"]) for links in way["edges"]]
    assert [set(pair) for pair in ends] == [{"malware:S0266", "malware:S0367"}, {"malware:S0367", "group:G0007"}]
    assert all(links[0]["citations"][0]["quote"] for links in way["edges"])
    # Roses and APT28 meet only in zeta's mail: no document of acme has both, and none of zeta has Trickbot.
    apart = etl("entity", "path", "TrickBot", "CVE-2021-44228", "--json", home=made_home)
    assert apart.code == 1 and apart.records[0]["edges"] == []
    assert etl("entity", "path", "TrickBot", "APT28", "--through", "product", home=made_home).code == 1


def test_answers_read_as_sentences_with_their_places(made_home: Path, etl: Command) -> None:
    shown = etl("entity", "show", "APT28", "--tenant", "acme", home=made_home).out
    assert "APT28 (group:G0007), group, of the catalogue, in 1 document of acme" in shown and "“" in shown
    assert "page 1, characters" in etl("entity", "neighbours", "APT28", home=made_home).out
    way = etl("entity", "path", "TrickBot", "APT28", home=made_home).out
    assert "TrickBot (malware:S0266) to APT28 (group:G0007) in acme: 2 edges" in way and "apt/panda.md" in way


def test_what_no_document_mentions_is_said_so(made_home: Path, etl: Command) -> None:
    outcome = etl("entity", "show", "Nobody At All", home=made_home)
    assert outcome.code == 2 and "no published document mentions it" in outcome.err
    assert etl("entity", "path", "APT28", "APT28", home=made_home).code == 2


def test_an_ambiguous_name_lists_its_candidates(home: Path, etl: Command) -> None:
    # ATT&CK has a technique of this name for machines and one for telephones.
    put(home, {"acme/notes/two.txt": "ATT&CK techniques T1036 and T1655 were seen."})
    assert etl("sync", "--collection", "notes", home=home).code == 0
    outcome = etl("entity", "show", "masquerading", home=home)
    assert outcome.code == 1 and "technique:T1036" in outcome.out and "technique:T1655" in outcome.out
    (record,) = etl("entity", "neighbours", "masquerading", "--json", home=home).records
    assert [one["entity_id"] for one in record["candidates"]] == ["technique:T1036", "technique:T1655"]
    assert etl("entity", "path", "masquerading", "APT28", home=home).code == 1
    assert etl("entity", "show", "technique:T1655", home=home).code == 0

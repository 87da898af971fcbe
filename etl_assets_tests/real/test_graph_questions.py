"""The same questions of the graph give the same answers on Neo4j as on SQLite."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from etl_assets.backends.neo4j_graph import Neo4jGraph
from etl_assets.bindings import search_places
from etl_assets.search.graph_questions import GraphQuestions
from etl_assets_tests.real.graphs import access_to, alone_with
from etl_assets_tests.servers.fixtures import server
from etl_assets_tests.small_homes import SmallHome

TEXTS = {
    "bear.txt": "The bear group used EMOTET against a bank.\n\nIt moved to the mail server of APT28 in May 2020.",
    "panda.md": "# Panda\n\nThe panda group used TRICKBOT and EMOTET. APT29 did not use EMOTET, they said.\n",
    "far.txt": "APT29 was seen with Mimikatz in another place.",
}


def answers(home: SmallHome) -> dict[str, Any]:
    questions = GraphQuestions(replace(search_places(home.platform), time_limit_s=60.0), tenant="acme")
    found: dict[str, Any] = {}
    named = {name: questions.candidates(name)[0][1] for name in ("emotet", "TrickBot", "APT28", "mimikatz")}
    for name, entity in named.items():
        found[name] = questions.show("acme", entity).as_json()
        near = questions.neighbours("acme", entity, hops=3, limit=50).near
        found[f"{name} near"] = [one.as_json() for one in near]
        stated = questions.neighbours("acme", entity, hops=2, stated=True).near
        found[f"{name} stated"] = [one.as_json() for one in stated]
    way = questions.path("acme", named["APT28"], named["mimikatz"]).edges
    assert len(way) == 3
    return found | {"way": [[link.as_json() for link in links] for links in way]}


def test_entities_neighbours_and_paths_are_the_same_on_neo4j(tmp_path: Path) -> None:
    access = access_to(server("neo4j"))
    with alone_with(access):
        embedded = SmallHome.at(tmp_path / "embedded", TEXTS)
        hosted = SmallHome.at(tmp_path / "hosted", TEXTS)
        graph = Neo4jGraph(access)
        hosted.platform = replace(hosted.platform, stores=replace(hosted.platform.stores, graph=graph))
        for home in (embedded, hosted):
            home.run()
        expected = answers(embedded)
        assert expected["emotet near"] and answers(hosted) == expected
        graph.close()
        for home in (embedded, hosted):
            home.platform.close()

"""What the page on the graph shows for Neo4j Browser is asked of a real server, and answers what it says."""

import re
from pathlib import Path

from neo4j import GraphDatabase

from etl_assets.backends.neo4j_graph import Neo4jGraph
from etl_assets_tests.conformance.test_knowledge_graph import relation
from etl_assets_tests.real.graphs import access_to, alone_with
from etl_assets_tests.servers.fixtures import server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "ask-the-graph.md"
SAID = [
    relation(1, "group:G0007", "USES", "malware:m1"), relation(2, "group:G0007", "USES", "malware:m1", negated=True),
    relation(3, "malware:m1", "EXPLOITS", "cve:CVE-2021-44228"), relation(3, "group:G0007", "TARGETS", "sector:energy"),
    relation(4, "group:G0007", "USES", "malware:theirs", tenant="globex"),
]  # fmt: skip


def test_every_question_that_the_page_shows_is_answered() -> None:
    questions = re.findall(r"^```cypher\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    access = access_to(server("neo4j"))
    with alone_with(access):
        graph = Neo4jGraph(access)
        graph.write([], SAID)
        graph.close()
        with GraphDatabase.driver(access.uri, auth=(access.user, access.password)) as driver:
            used, exploited, contradicted = (
                [record.values() for record in driver.execute_query(one).records] for one in questions
            )
    sentence = "\u201cgroup:G0007\u201d USES malware:m1"
    assert [row[:4] for row in used] == [["M1", False, "likely", sentence], ["M1", True, "likely", sentence]]
    assert sorted(name for name, _ in exploited) == ["G0007", "M1"]
    assert contradicted == [["G0007", "USES", "M1", sentence, sentence]]

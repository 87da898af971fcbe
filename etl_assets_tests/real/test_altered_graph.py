"""Every property in Neo4j that an answer goes by is part of what is read back, and a new write mends it."""

from collections.abc import Iterator

import pytest

from etl_assets.backends.neo4j_graph import Neo4jGraph
from etl_assets_tests.backends.test_altered_graph import MENTIONS, RELATION
from etl_assets_tests.conformance.test_knowledge_graph import EVERYTHING, PLACE, edge, held, relation, stored
from etl_assets_tests.real.graphs import access_to, alone_with, empty
from etl_assets_tests.servers.fixtures import Variables

EDGE = "MATCH (d:Document {publication: 2})-[m:MENTIONS]->(e:Entity {entity_id: 'malware:y'}) SET "
USES = "MATCH ()-[m:USES]->() SET "
CHANGES = [
    *(
        f"{EDGE} m.{name} = 'other'"
        for name in ("name", "entity_type", "chunk_id", "folded", "tenant", "collection", "entity")
    ),
    *(f"{EDGE} m.{name} = m.{name} + 1" for name in ("publication", "count", "page", "start", "end", "confidence")),
    *(f"{EDGE} e.{name} = 'other'" for name in ("tenant", "folded", "key")),
    *(
        f"{USES} m.{change}"
        for change in ("sentence = 'other'", "negated = true", "certainty = 'other'", "start = 7", "subject = 'other'")
    ),
]


@pytest.fixture(scope="module")
def graph(neo4j: Variables) -> Iterator[Neo4jGraph]:
    access = access_to(neo4j)
    with alone_with(access):
        graph = Neo4jGraph(access)
        yield graph
        graph.close()


@pytest.mark.parametrize("statement", CHANGES)
def test_an_altered_property_is_told_of_its_edge_and_mended_by_a_new_publication(
    graph: Neo4jGraph, neo4j: Variables, statement: str
) -> None:
    from neo4j import GraphDatabase

    access = access_to(neo4j)
    empty(access)
    graph.write(MENTIONS, [RELATION])
    whole = stored([*MENTIONS, RELATION])
    assert held(graph) == whole
    with GraphDatabase.driver(access.uri, auth=(access.user, access.password)) as driver:
        assert driver.execute_query(statement).summary.counters.properties_set == 1
    changed = {(one.publication, one.edge_id) for one in set(held(graph)) ^ set(whole)}
    assert changed and {number for number, _ in changed} == {2}
    assert all("malware:y" in name for _, name in changed), "what else the document says is as it was"

    anew = [edge(3, "group:bear"), edge(3, "malware:y")], [relation(3, "group:bear", "USES", "malware:y")]
    graph.write(*anew)
    graph.remove(*PLACE, [2])
    assert held(graph) == stored([*MENTIONS[:2], *anew[0], *anew[1]]) and [*graph.orphans("acme")] == []
    assert [one.entity_id for one in graph.find(EVERYTHING, "malware:Y", limit=9)] == ["malware:y"]

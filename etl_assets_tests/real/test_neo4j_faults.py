"""Neo4j's adapter beside other writers, through restarts, and with what it must refuse."""

import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from neo4j import GraphDatabase

from etl_assets.backends.circuit import CircuitBreaker, CircuitOpen
from etl_assets.backends.neo4j_driver import Neo4jAccess
from etl_assets.backends.neo4j_graph import Neo4jGraph
from etl_assets.backends.neo4j_server import SCHEMA_VERSION
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.protocols.graph import DOCUMENTS_PER_ENTITY, DOCUMENTS_PER_HOP, MentionEdge
from etl_assets_tests.conformance.test_knowledge_graph import CHAIN, EVERYTHING, PLACE, edge, held, relation, stored
from etl_assets_tests.real.graphs import access_to, alone_with
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.model import Server

Start = Callable[[str, Mapping[str, str]], Server]


@pytest.fixture
def access(neo4j: Variables) -> Iterator[Neo4jAccess]:
    access = access_to(neo4j)
    with alone_with(access):
        yield access


@pytest.fixture
def graph(access: Neo4jAccess) -> Iterator[Neo4jGraph]:
    graph = Neo4jGraph(access)
    yield graph
    graph.close()


def together(*works: Callable[[], object]) -> list[BaseException]:
    """What they raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as e:  # noqa: BLE001 - handed to the test
            raised.append(e)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def ask(access: Neo4jAccess, query: str, **parameters: object) -> list[list[object]]:
    with GraphDatabase.driver(access.uri, auth=(access.user, access.password)) as driver:
        return [record.values() for record in driver.execute_query(query, parameters_=parameters).records]


@pytest.mark.filterwarnings("default")
def test_writers_and_removers_at_once_lose_nothing_and_leave_nothing_behind(
    access: Neo4jAccess, graph: Neo4jGraph
) -> None:
    kept: list[MentionEdge] = []

    def worker(number: int) -> None:
        own, chance = Neo4jGraph(access), random.Random(number)
        for publication in range(number * 1_000, number * 1_000 + 15):
            edges = [edge(publication, f"x:{entity}") for entity in chance.sample(range(10), 5)]
            own.write(edges)
            if chance.random() < 0.7:
                own.remove(*PLACE, [publication])
            else:
                kept.extend(edges)
        own.close()

    assert together(*(lambda number=n: worker(number) for n in range(5))) == []  # type: ignore[misc]
    assert held(graph) == stored(kept)
    assert graph.orphans("acme") == []
    publications = sorted({one.publication for one in kept})
    assert together(*(lambda p=p: graph.remove(*PLACE, [p]) for p in publications)) == []  # type: ignore[misc]
    assert ask(access, "MATCH (n) WHERE n:Document OR n:Entity RETURN count(n)") == [[0]]


def test_a_migration_is_made_once_whoever_makes_it(access: Neo4jAccess, graph: Neo4jGraph) -> None:
    ask(access, "MATCH (s:EtlAssetsSchema) DELETE s")
    for name, kind in (("etl_document_key", "CONSTRAINT"), ("etl_entity_folded", "INDEX")):
        ask(access, f"DROP {kind} {name} IF EXISTS")
    others = [Neo4jGraph(access) for _ in range(3)]
    try:
        assert together(*(other.migrate for other in others)) == []
    finally:
        for other in others:
            other.close()
    graph.migrate()
    assert graph.version().startswith("Neo4j/5")
    states = ask(access, "SHOW INDEXES YIELD name, state WHERE name STARTS WITH 'etl_' RETURN DISTINCT state")
    assert states == [["ONLINE"]]


def test_a_database_of_an_earlier_release_gets_the_indexes_of_relations(access: Neo4jAccess, graph: Neo4jGraph) -> None:
    said = relation(1, "group:g1", "USES", "malware:m1")
    graph.write(CHAIN, [said])
    ask(access, "MATCH (s:EtlAssetsSchema {name: 'graph'}) SET s.version = 1")
    ask(access, "DROP INDEX etl_uses_publication")
    ask(access, "MATCH ()-[m]->() REMOVE m.entity, m.subject, m.object")
    other = Neo4jGraph(access)
    near = [one.entity.entity_id for one in other.neighbours(EVERYTHING, ["group:g1"], hops=3, limit=9)]
    assert near == ["malware:m1", "group:g2", "group:g3"], "whoever asks first fills in what older edges lack"
    assert other.relations(EVERYTHING, ["malware:m1"], each=9) == [said]
    assert held(other) == stored([*CHAIN, said])
    other.close()
    found = ask(access, "SHOW INDEXES YIELD name, state WHERE name STARTS WITH 'etl_uses_' RETURN name, state")
    names = ("object", "place", "publication", "subject")
    assert sorted(found) == [[f"etl_uses_{name}", "ONLINE"] for name in names]
    assert ask(access, "MATCH (s:EtlAssetsSchema {name: 'graph'}) RETURN s.version") == [[SCHEMA_VERSION]]


def test_relations_written_and_removed_at_once_are_there_once_or_not_at_all(
    access: Neo4jAccess, graph: Neo4jGraph
) -> None:
    def worker(number: int) -> None:
        own = Neo4jGraph(access)
        said = [relation(number, "group:hub", "USES", f"tool:t{n}", at=n) for n in range(6)]
        for _ in range(3):
            own.write([], said)
        own.write([], [relation(99, "group:hub", "USES", "tool:t1")])
        if number % 2:
            own.remove(*PLACE, [number])
        own.close()

    assert together(*(lambda number=n: worker(number) for n in range(1, 6))) == []  # type: ignore[misc]
    assert graph.counts(*PLACE, range(1, 100)) == {2: 6, 4: 6, 99: 1}
    assert graph.orphans("acme") == []


def test_a_newer_schema_is_refused(access: Neo4jAccess, graph: Neo4jGraph) -> None:
    graph.migrate()
    ask(access, "MATCH (s:EtlAssetsSchema) SET s.version = $version", version=SCHEMA_VERSION + 1)
    other = Neo4jGraph(access)
    try:
        with pytest.raises(PermanentError, match="install the newer etl-assets"):
            other.write(CHAIN)
    finally:
        ask(access, "MATCH (s:EtlAssetsSchema) SET s.version = $version", version=SCHEMA_VERSION)
        other.close()


def test_wrong_credentials_are_permanent_and_never_told(access: Neo4jAccess, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = replace(access, password="canary-7f3a9e")
    graph = Neo4jGraph(wrong)
    with pytest.raises(PermanentError, match="NEO4J_PASSWORD") as told:
        graph.write(CHAIN)
    graph.close()
    assert "canary" not in str(told.value) + repr(wrong)
    assert not [record for record in caplog.records if record.name.startswith("etl_assets")]
    with pytest.raises(ConfigError, match="no credentials") as refused:
        Neo4jGraph(replace(access, uri="bolt://neo4j:canary@localhost:7687"))
    assert "canary" not in str(refused.value)


def test_a_database_that_is_not_there_is_permanent(access: Neo4jAccess) -> None:
    graph = Neo4jGraph(replace(access, database="nowhere"))
    with pytest.raises(PermanentError, match="nowhere|exist"):
        graph.orphans("acme")
    graph.close()
    with pytest.raises(ConfigError, match=r"NEO4J_URI.*bolt"):
        Neo4jGraph(replace(access, uri="http://localhost:1"))


def test_a_server_that_is_not_there_is_left_alone_after_a_while() -> None:
    nobody = Neo4jAccess("bolt://127.0.0.1:9", "neo4j", "x", connect_timeout_s=1, retry_time_s=0.1)
    graph = Neo4jGraph(nobody, CircuitBreaker("Neo4j", failures=2, pause_s=60))
    for _ in range(2):
        with pytest.raises(TransientError, match=r"bolt://127\.0\.0\.1:9"):
            graph.counts(*PLACE, [1])
    with pytest.raises(CircuitOpen):
        graph.counts(*PLACE, [1])
    graph.close()


def test_the_pool_recovers_from_a_server_that_was_killed(own_server: Start) -> None:
    server = own_server("neo4j", {})
    graph = Neo4jGraph(access_to(server.variables, retry_time_s=60))
    graph.write(CHAIN)
    server.kill()
    restart = threading.Thread(target=server.restart)
    restart.start()
    graph.write([edge(9, "group:later")])  # waits for the server, inside the driver's retries
    restart.join()
    assert held(graph) == stored([*CHAIN, edge(9, "group:later")])
    graph.close()


def test_a_hop_follows_the_newest_documents_of_a_busy_entity(graph: Neo4jGraph) -> None:
    total = DOCUMENTS_PER_HOP + 50
    graph.write([one for p in range(1, total + 1) for one in (edge(p, "x:hub"), edge(p, f"x:leaf-{p}"))])
    found = graph.neighbours(EVERYTHING, ["x:hub"], hops=1, limit=10**6)
    assert {n.entity.entity_id for n in found} == {f"x:leaf-{p}" for p in range(51, total + 1)}
    assert len(graph.mentioning(EVERYTHING, ["x:hub"])) == total
    starts = [f"x:leaf-{p}" for p in range(1, total + 1)]
    assert graph.neighbours(EVERYTHING, starts, hops=1, limit=1)[0].weight == total
    assert total > DOCUMENTS_PER_ENTITY
    few = [one.publication for one in graph.edges("acme", "reports", publications=[7, 8, 10**9])]
    assert sorted(few) == [7, 7, 8, 8]

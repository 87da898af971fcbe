"""The suite of every knowledge graph over Neo4j Community."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl_assets.backends.neo4j_graph import Neo4jGraph
from etl_assets.protocols.graph import KnowledgeGraph
from etl_assets_tests.conformance import test_knowledge_graph as suite
from etl_assets_tests.real.graphs import access_to, alone_with, empty
from etl_assets_tests.servers.fixtures import Variables

globals().update({name: found for name, found in vars(suite).items() if name.startswith("test_")})


@pytest.fixture(scope="module")
def build(neo4j: Variables) -> Iterator[Callable[[Path], KnowledgeGraph]]:
    access = access_to(neo4j)
    graph = Neo4jGraph(access)

    def make(folder: Path) -> KnowledgeGraph:
        empty(access)
        return graph

    with alone_with(access):
        yield make
    graph.close()


@pytest.fixture
def graph(build: Callable[[Path], KnowledgeGraph], tmp_path: Path) -> KnowledgeGraph:
    return build(tmp_path)

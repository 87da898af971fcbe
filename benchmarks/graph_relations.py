"""What relations add to the graph: its writes with and without them, and answers about an entity of 100,000 edges.

    python benchmarks/graph_relations.py [EDGES] [--neo4j]

Documents of ten mentions and five relations, 4,096 edges a write, against the same writes without relations; then one
entity that EDGES documents (100,000) relate to others, against one that a single document does. ``--neo4j`` asks a
server of its own instead of a SQLite file. Figures are wall time: a server's work is not this process's.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from etl_assets.backends.neo4j_graph import Neo4jGraph
from etl_assets.backends.sqlite_graph import SqliteGraph
from etl_assets.protocols.graph import RELATION_KINDS, Entity, KnowledgeGraph, MentionEdge, RelationEdge, Scope
from etl_assets.protocols.visibility import Visibility

MENTIONS, RELATIONS, DOCUMENTS_PER_WRITE, DOCUMENTS = 10, 5, 273, 2_730
EVERYTHING = Scope("bench", {"rows": Visibility(1, 10**9, tuple((n, n) for n in range(1, 500, 3)))})
HUB = "group:hub"
REPEATS = 5

Edges = tuple[list[MentionEdge], list[RelationEdge]]


def entity(name: str) -> Entity:
    """An entity whose type stands before the colon."""
    return Entity(name, name.partition(":")[0], name.partition(":")[2])


def mention(number: int, name: str) -> MentionEdge:
    """One mention in document ``number``."""
    return MentionEdge("bench", "rows", f"d{number}", number, entity(name), 1, 0.9, "c", 1, 0, 5)


def relation(number: int, at: int, subject: str, target: str) -> RelationEdge:
    """One relation, stated by a sentence of usual length."""
    sentence = f"According to what was seen in {number}, {subject} made use of {target} against banks of the country."
    return RelationEdge(
        "bench", "rows", f"d{number}", number, RELATION_KINDS[at % 5], entity(subject), entity(target), 1, at * 120,
        at * 120 + len(sentence), sentence, number % 9 == 0, "stated", 0.8,
    )  # fmt: skip


def usual(number: int) -> Edges:
    """A document as reports are: ten entities of two thousand, five relations between them."""
    names = [f"malware:m{(number * 7 + n * n) % 2_000}" for n in range(MENTIONS)]
    pairs = zip(names[:RELATIONS], names[RELATIONS:], strict=True)
    return [mention(number, name) for name in names], [relation(number, at, *pair) for at, pair in enumerate(pairs)]


def of_hub(number: int) -> Edges:
    """A document that relates the hub to one of twenty thousand others."""
    leaf = f"malware:leaf-{number % 20_000}"
    return [mention(number, HUB), mention(number, leaf)], [relation(number, 0, HUB, leaf)]


def write(graph: KnowledgeGraph, documents: range, made: Callable[[int], Edges], size: int, *, bare: bool) -> float:
    """Seconds to write these documents, ``size`` at a time; ``bare``: without their relations."""
    seconds = 0.0
    for first in range(documents.start, documents.stop, size):
        given = [made(number) for number in documents[first - documents.start :][:size]]
        mentions = [edge for one, _ in given for edge in one]
        relations = [] if bare else [edge for _, one in given for edge in one]
        started = time.perf_counter()
        graph.write(mentions, relations)
        seconds += time.perf_counter() - started
    return seconds


def seconds_of(call: Callable[[], object]) -> float:
    """The best of some calls."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


def added_cost(graph: KnowledgeGraph) -> None:
    """Edges a second with and without relations, each into a graph that holds as much already."""
    write(graph, range(1, DOCUMENTS), usual, DOCUMENTS_PER_WRITE, bare=False)
    plain = write(graph, range(10**6, 10**6 + DOCUMENTS), usual, DOCUMENTS_PER_WRITE, bare=True)
    whole = write(graph, range(2 * 10**6, 2 * 10**6 + DOCUMENTS), usual, DOCUMENTS_PER_WRITE, bare=False)
    few, many = DOCUMENTS * MENTIONS, DOCUMENTS * (MENTIONS + RELATIONS)
    print(f"write mentions alone               {few / plain:>10,.0f} edges/s, {DOCUMENTS / plain:,.0f} documents/s")
    print(f"write mentions and relations       {many / whole:>10,.0f} edges/s, {DOCUMENTS / whole:,.0f} documents/s")
    print(f"a document with relations takes    {whole / plain:>10.2f} x one without")


def answers(graph: KnowledgeGraph, edges: int) -> None:
    """What is asked of the hub, beside the same of an entity of one document."""
    write(graph, range(3 * 10**6, 3 * 10**6 + edges), of_hub, 1_000, bare=False)
    some = [f"malware:leaf-{n}" for n in range(220)]
    asked: dict[str, Callable[[str], object]] = {
        "newest 100 relations": lambda name: graph.relations(EVERYTHING, [name], each=100),
        "newest 2,000 relations": lambda name: graph.relations(EVERYTHING, [name], each=2_000),
        "relations to 220 others": lambda name: graph.relations(EVERYTHING, some, among=[name], each=20),
        "neighbours, 2 hops": lambda name: graph.neighbours(EVERYTHING, [name], hops=2, limit=2_020),
        "newest 200 documents": lambda name: graph.mentioning(EVERYTHING, [name], limit=200),
        "every document": lambda name: graph.mentioning(EVERYTHING, [name]),
    }
    for what, ask in asked.items():
        hub, leaf = (seconds_of(lambda name=name, ask=ask: ask(name)) * 1e3 for name in (HUB, "malware:leaf-3"))  # type: ignore[misc]
        print(f"{what:<30}{hub:>9.1f} ms of {edges:,} edges, {leaf:>8.1f} ms of a few")


@contextmanager
def opened(neo4j: bool) -> Iterator[KnowledgeGraph]:
    """An empty graph."""
    if not neo4j:
        with tempfile.TemporaryDirectory() as folder:
            yield SqliteGraph(Path(folder) / "graph.sqlite")
        return
    from etl_assets_tests.real.graphs import access_to, alone_with
    from etl_assets_tests.servers.fixtures import server

    access = access_to(server("neo4j"))
    with alone_with(access):
        graph = Neo4jGraph(access)
        graph.migrate()
        yield graph
        graph.close()


def main() -> None:
    """Print every line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edges", type=int, nargs="?", default=100_000)
    parser.add_argument("--neo4j", action="store_true")
    given = parser.parse_args()
    with opened(given.neo4j) as graph:
        added_cost(graph)
        answers(graph, given.edges)


if __name__ == "__main__":
    main()

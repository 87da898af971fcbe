"""Every column of the SQLite graph that an answer goes by is part of what is read back, and a new write mends it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from etl_assets.backends.sqlite_graph import SqliteGraph
from etl_assets.protocols.graph import StoredEdge
from etl_assets_tests.conformance.test_knowledge_graph import EVERYTHING, PLACE, edge, held, relation, stored

MENTIONS = [edge(1, "group:bear"), edge(1, "malware:x"), edge(2, "group:bear"), edge(2, "malware:y")]
RELATION = relation(2, "group:bear", "USES", "malware:y")
OF_Y = "(SELECT entity_key FROM entities WHERE entity_id = 'malware:y')"
OF_2 = "(SELECT document_key FROM documents WHERE publication = 2)"
EDGE = f"WHERE document_key = {OF_2} AND entity_key = {OF_Y}"


def alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement).rowcount == 1


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE edges SET {column} = {column} + 1 {EDGE}" for column in ("publication", "count", "page", "start")),
        *(f"UPDATE edges SET {column} {EDGE}" for column in ('"end" = 77', "confidence = 0.9", "chunk_id = 'other'")),
        f"UPDATE entities SET folded = 'other' WHERE entity_key = {OF_Y}",
        f"UPDATE labels SET folded = 'other' WHERE entity_key = {OF_Y}",
        f"UPDATE labels SET name = 'Other' WHERE entity_key = {OF_Y}",
        *(
            f"UPDATE relations SET {change}"
            for change in ("publication = 9", "sentence = 'other'", "negated = 1", "certainty = 'other'", "kind = 'x'")
        ),
    ],
)
def test_an_altered_column_is_told_of_its_edge_and_mended_by_a_new_publication(tmp_path: Path, statement: str) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")
    graph.write(MENTIONS, [RELATION])
    whole = stored([*MENTIONS, RELATION])
    assert held(graph) == whole
    alter(tmp_path / "graph.db", statement)
    changed = {(one.publication, one.edge_id) for one in set(held(graph)) ^ set(whole)}
    assert changed and {number for number, _ in changed} == {2}
    assert all("malware:y" in name for _, name in changed), "what else the document says is as it was"

    anew = [edge(3, "group:bear"), edge(3, "malware:y")], [relation(3, "group:bear", "USES", "malware:y")]
    graph.write(*anew)
    graph.remove(*PLACE, [2])
    expected: list[StoredEdge] = stored([*MENTIONS[:2], *anew[0], *anew[1]])
    assert held(graph) == expected and [*graph.orphans("acme")] == []
    assert [one.entity_id for one in graph.find(EVERYTHING, "malware:Y", limit=9)] == ["malware:y"]
    assert [one.entity_id for one in graph.find(EVERYTHING, "y", limit=9)] == ["malware:y"]
    graph.close()


@pytest.mark.parametrize("erased", [False, True])
def test_edges_whose_document_is_gone_are_told_by_their_entities_and_swept(tmp_path: Path, erased: bool) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")
    graph.write(MENTIONS, [RELATION])
    alter(tmp_path / "graph.db", "DELETE FROM documents WHERE publication = 2")
    assert held(graph) == stored(MENTIONS[:2])
    assert [*graph.orphans("acme")] == ["group:bear", "malware:y"], "one of them is kept by nothing else"
    if erased:
        graph.erase()
    else:
        assert graph.sweep("acme") == 1
    assert [*graph.orphans("acme")] == [] and held(graph) == stored(MENTIONS[:2])
    graph.close()
    assert b"malware:y" not in (tmp_path / "graph.db").read_bytes() or not erased
    with closing(sqlite3.connect(tmp_path / "graph.db")) as db:
        assert db.execute("SELECT count(*) FROM edges").fetchone() == (2,)
        assert db.execute("SELECT count(*) FROM relations").fetchone() == (0,)

"""What is particular to the SQLite graph: processes, threads, forks, kills, bounded hubs, bad files."""

import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.backends import sqlite_graph
from etl_assets.backends.sqlite_graph import SqliteGraph
from etl_assets.backends.sqlite_graph_file import SCHEMA_VERSION, GraphFile
from etl_assets.errors import PermanentError, TransientError
from etl_assets.protocols.damage import DamagedError
from etl_assets.protocols.graph import Scope
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.backends.disks import folder_for_everybody, small_volume, without_rights
from etl_assets_tests.backends.processes import finished, killed_after, started
from etl_assets_tests.conformance.test_knowledge_graph import EVERYTHING, PLACE, edge, held, relation, stored


def test_processes_that_make_write_and_walk_one_graph_lose_nothing(tmp_path: Path) -> None:
    check_processes(tmp_path, workers=(1, 2))


def check_processes(folder: Path, *, workers: Sequence[int]) -> None:
    """Each worker writes, removes and walks in a process of its own."""
    finished([started("write_edges", folder, worker) for worker in workers])
    graph = SqliteGraph(folder / "graph.db")
    kept = [n for worker in workers for n in range(worker * 1_000 + 1, worker * 1_000 + 41) if n % 2]
    expected = [edge(n, entity) for n in kept for entity in ("group:shared", f"group:of-{n % 7}")]
    assert held(graph) == stored(expected)
    assert [*graph.orphans("acme")] == []


def test_a_killed_writer_leaves_whole_publications(tmp_path: Path) -> None:
    acknowledged = killed_after(started("write_edges_for_ever", tmp_path), 20)
    counts = SqliteGraph(tmp_path / "graph.db").counts(*PLACE, range(1, 10_000))
    assert set(acknowledged) <= set(counts)
    assert set(counts.values()) == {50}


def test_threads_share_one_graph(tmp_path: Path) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")

    def work(number: int) -> int:
        graph.write([edge(number, "group:shared"), edge(number, f"group:{number}")])
        return len(graph.neighbours(EVERYTHING, ["group:shared"], hops=1, limit=100))

    with ThreadPoolExecutor(6) as pool:
        assert min(pool.map(work, range(1, 41))) >= 1
    assert graph.counts(*PLACE, range(1, 41)) == dict.fromkeys(range(1, 41), 2)
    graph.close()
    assert graph.counts(*PLACE, [1]) == {1: 2}
    graph.close()


def test_a_forked_child_opens_a_connection_of_its_own(tmp_path: Path) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")
    graph.write([edge(1, "group:a")])
    child = os.fork()
    if child == 0:
        code = 2
        try:
            graph.write([edge(2, "group:b")])
            code = 0 if graph.counts(*PLACE, [1, 2]) == {1: 1, 2: 1} else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    graph.write([edge(3, "group:c")])
    assert graph.counts(*PLACE, [1, 2, 3]) == {1: 1, 2: 1, 3: 1}
    graph.close()


def test_a_half_read_enumeration_neither_blocks_a_writer_nor_sees_its_rows(tmp_path: Path) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")
    edges = [edge(n, f"group:{n % 9}") for n in range(1, 6_000)]
    graph.write(edges)
    reading = graph.edges("acme", "reports")
    first = next(reading)
    graph.remove(*PLACE, [5_999])
    assert len([first, *reading]) == 5_999
    abandoned = graph.edges("acme", "reports")
    next(abandoned)
    abandoned.close()  # type: ignore[attr-defined]
    assert len(held(graph)) == 5_998
    graph.close()


def test_a_hub_is_followed_through_its_newest_documents_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_graph, "DOCUMENTS_PER_HOP", 30)
    graph = SqliteGraph(tmp_path / "graph.db")
    graph.write([edge(n, e) for n in range(1, 101) for e in ("group:hub", f"group:{n}")])
    found = graph.neighbours(EVERYTHING, ["group:hub"], hops=2, limit=1_000)
    assert {n.entity.entity_id for n in found} == {f"group:{n}" for n in range(71, 101)}
    some_hidden = Scope("acme", {"reports": Visibility(1, 90, ((81, 89),))})
    found = graph.neighbours(some_hidden, ["group:hub"], hops=2, limit=1_000)
    assert {n.entity.entity_id for n in found} == {"group:90", *(f"group:{n}" for n in range(52, 81))}
    assert len(graph.mentioning(EVERYTHING, ["group:hub"])) == 100
    monkeypatch.setattr(sqlite_graph, "EDGES_PER_HOP", 7)
    found = graph.neighbours(EVERYTHING, ["group:hub"], hops=2, limit=1_000)
    assert {n.entity.entity_id for n in found} == {f"group:{n}" for n in range(97, 101)}
    graph.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "graph.db"
    graph = SqliteGraph(path)
    graph.write([edge(1, "group:a")])
    graph.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION + 1,))
    db.close()
    with pytest.raises(PermanentError, match=f"graph.db has schema version {SCHEMA_VERSION + 1}.*newer etl-assets"):
        SqliteGraph(path).counts(*PLACE, [1])


def test_a_graph_of_an_earlier_release_keeps_its_edges_and_takes_relations(tmp_path: Path) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")
    graph.write([edge(1, "group:a")])
    graph.close()
    with closing(sqlite3.connect(tmp_path / "graph.db")) as db, db:
        db.execute("DROP TABLE relations")
        db.execute("UPDATE schema_version SET version = 1")
    said = relation(2, "group:a", "USES", "malware:m")
    graph.write([], [said])
    assert held(graph) == stored([edge(1, "group:a"), said])
    graph.close()


def test_an_empty_file_becomes_a_graph(tmp_path: Path) -> None:
    (tmp_path / "graph.db").touch()
    graph = SqliteGraph(tmp_path / "graph.db")
    assert graph.counts(*PLACE, [1]) == {}
    graph.write([edge(1, "group:a")])
    assert graph.counts(*PLACE, [1]) == {1: 1}
    graph.close()


@pytest.mark.parametrize("content", [b"not a database at all, though long enough to look like one" * 40])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph.db").write_bytes(content)
    with pytest.raises(PermanentError, match=r"graph\.db: .*not a database.*rebuild the graph from the lake"):
        SqliteGraph(tmp_path / "graph.db").find(EVERYTHING, "x", limit=1)


def test_a_lock_held_too_long_is_transient_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "graph.db"
    graph = SqliteGraph(path)
    graph.write([edge(1, "group:a")])
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    impatient = GraphFile(path, busy_timeout_s=0.01)
    with pytest.raises(TransientError, match=r"graph\.db: held by another process for 0\.01 s"), impatient.writing():
        raise AssertionError("the lock was not held")
    assert graph.counts(*PLACE, [1]) == {1: 1}
    holder.rollback()
    holder.close()
    graph.close()


def test_a_failed_write_leaves_nothing_of_itself(tmp_path: Path) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")
    graph.write([edge(1, "group:a")])
    unfit = replace(edge(3, "group:c"), confidence=float("nan"))
    with pytest.raises(PermanentError, match="NOT NULL"):
        graph.write([edge(2, "group:b"), unfit])
    assert held(graph) == stored([edge(1, "group:a")])
    assert [*graph.orphans("acme")] == []
    graph.close()


def test_a_full_disk_is_permanent_and_the_graph_stays_whole(tmp_path: Path) -> None:
    with small_volume(tmp_path / "small", 600_000) as volume:
        graph = SqliteGraph(volume / "graph.db")
        graph.write([edge(1, "group:a")])
        with pytest.raises(PermanentError, match=r"graph\.db: .*(full|disk I/O).*free space"):
            graph.write([edge(2, "group:" + f"{n:05d}" * 40) for n in range(5_000)])
        assert graph.counts(*PLACE, [1, 2]) == {1: 1}
        graph.close()


def test_a_folder_without_rights_is_permanent() -> None:
    with folder_for_everybody() as folder:
        (folder / "g").mkdir(mode=0o500)
        with without_rights(), pytest.raises(PermanentError, match=r"graph\.db"):
            SqliteGraph(folder / "g" / "graph.db").write([edge(1, "group:a")])


def test_a_file_that_was_removed_is_begun_anew_by_whoever_has_it_open(tmp_path: Path) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")
    graph.write([edge(1, "group:g1")])
    for name in ("graph.db", "graph.db-wal", "graph.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    assert graph.counts(*PLACE, [1]) == {}
    graph.write([edge(2, "group:g2")])
    assert SqliteGraph(tmp_path / "graph.db").counts(*PLACE, [1, 2]) == {2: 1}


def test_a_graph_that_cannot_be_read_can_be_discarded(tmp_path: Path) -> None:
    (tmp_path / "graph.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    graph = SqliteGraph(tmp_path / "graph.db")
    with pytest.raises(DamagedError):
        graph.counts(*PLACE, [1])
    graph.discard()
    graph.write([edge(1, "group:g1")])
    assert graph.counts(*PLACE, [1]) == {1: 1}


def test_a_sweep_deletes_entities_without_an_edge_and_no_other(tmp_path: Path) -> None:
    graph = SqliteGraph(tmp_path / "graph.db")
    graph.write([edge(1, "group:g1"), edge(1, "group:g2")])
    with closing(sqlite3.connect(tmp_path / "graph.db")) as db, db:
        of_one = "(SELECT entity_key FROM entities WHERE entity_id = 'group:g1')"
        db.execute(f"DELETE FROM edges WHERE entity_key = {of_one}")
    assert [*graph.orphans("acme")] == ["group:g1"]
    assert graph.sweep("acme") == 1 and [*graph.orphans("acme")] == []
    assert graph.counts(*PLACE, [1]) == {1: 1}

"""What the embedded indexes and the graph cost, as ratios to plain baselines taken in the same run.

    python benchmarks/embedded_indexes.py [ROWS]

Vectors against a NumPy product over everything, words against SQLite FTS5, edges against one bare SQLite table.
Rows are synthetic and seeded; figures are CPU milliseconds of this process.
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from etl_assets.backends.lancedb_keywords import LanceKeywords
from etl_assets.backends.lancedb_vectors import LanceVectors
from etl_assets.backends.sqlite_graph import SqliteGraph
from etl_assets.protocols.graph import Entity, MentionEdge, Scope
from etl_assets.protocols.indexes import Filters, IndexSpace, keyword_rows, vector_rows
from etl_assets.protocols.visibility import Visibility

DIMENSION, QUERIES, ROWS_PER_DOCUMENT = 384, 40, 10
SPACE = IndexSpace("bench", "rows", 1)


def cpu_ms(call: Callable[[], object], times: int = 1) -> float:
    """CPU milliseconds of one call, the mean of ``times``."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) * 1e3 / times


def show(what: str, ours: float, baseline: float, named: str) -> None:
    """One line: our figure, and how many times the baseline it is."""
    print(f"{what:<44}{ours:>9.2f} ms  {ours / baseline:>7.2f} x {named} ({baseline:.2f} ms)")


def id_columns(count: int) -> list[pa.Array]:
    """Publications of ROWS_PER_DOCUMENT rows each, from 1."""
    publications = np.arange(count) // ROWS_PER_DOCUMENT + 1
    return [
        pa.array(publications), pa.array([f"d{p}" for p in publications]), pa.array([f"c{n}" for n in range(count)]),
        pa.nulls(count, pa.string()), pa.nulls(count, pa.date32()),
    ]  # fmt: skip


def vectors(folder: Path, count: int, views: dict[str, tuple[Visibility, Filters]]) -> None:
    """Exact search under each view, against one product over all rows."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), DIMENSION)
    table = pa.table(
        [*id_columns(count), column, pa.nulls(count, pa.list_(pa.string()))], schema=vector_rows(DIMENSION)
    )
    index = LanceVectors(folder, ann_rows=sys.maxsize)
    index.write(SPACE, table.slice(0, 1))
    baseline = cpu_ms(lambda: np.save(folder / "rows.npy", rows))
    show(f"vectors: write {count} rows", cpu_ms(lambda: index.write(SPACE, table.slice(1))), baseline, "numpy.save")
    index.optimise(SPACE, now=True)
    product = cpu_ms(lambda: np.argpartition(rows @ rows[0], -20)[-20:], QUERIES)
    for name, (visible, only) in views.items():

        def query(visible: Visibility = visible, only: Filters = only) -> object:
            return index.query(SPACE, rows[0], k=20, visible=visible, filters=only)

        show(f"vectors: top 20, {name}", cpu_ms(query, QUERIES), product, "NumPy product")


def keywords(folder: Path, count: int, views: dict[str, tuple[Visibility, Filters]]) -> None:
    """Top 20 of two words under each view, against FTS5 without any filter."""
    rng = np.random.default_rng(2)
    words = np.array([f"w{n}" for n in range(20_000)])
    texts = [" ".join(words[(rng.pareto(1.0, 60) * 20).astype(int) % len(words)]) for _ in range(count)]
    table = pa.table(
        [*id_columns(count), pa.array(texts), pa.nulls(count, pa.list_(pa.string()))], schema=keyword_rows()
    )
    index, plain = LanceKeywords(folder), sqlite3.connect(":memory:")
    plain.execute("CREATE VIRTUAL TABLE rows USING fts5(text, tokenize='porter unicode61')")

    def fill() -> None:
        index.write(SPACE, table)
        index.optimise(SPACE, now=True)

    index.write(SPACE, table.slice(0, 1))
    baseline = cpu_ms(lambda: plain.executemany("INSERT INTO rows VALUES (?)", [(text,) for text in texts]))
    show(f"keywords: write and index {count} rows", cpu_ms(fill), baseline, "FTS5")
    ranked = "SELECT rowid FROM rows WHERE rows MATCH 'w150 OR w400' ORDER BY bm25(rows) LIMIT 20"
    searched = cpu_ms(lambda: plain.execute(ranked).fetchall(), QUERIES)
    for name, (visible, only) in views.items():

        def query(visible: Visibility = visible, only: Filters = only) -> object:
            return index.query(SPACE, "w150 w400", k=20, visible=visible, filters=only)

        show(f"keywords: top 20, {name}", cpu_ms(query, QUERIES), searched, "FTS5, unfiltered")


def edges(folder: Path) -> None:
    """10,000 edges over 2,000 entities in one write, and a walk of two hops."""
    rng = np.random.default_rng(3)
    entities = (rng.pareto(1.0, 10_000) * 50 + np.arange(10_000)).astype(int) % 2_000
    made = [
        MentionEdge(
            "bench", "rows", f"d{n // 20}", n // 20 + 1, Entity(f"group:{entities[n]}", "group", "G"), count=1,
            confidence=0.9, chunk_id="c", page=1, start=0, end=5,
        )
        for n in range(10_000)
    ]  # fmt: skip
    graph, plain = SqliteGraph(folder / "graph.db"), sqlite3.connect(folder / "plain.db")
    graph.write(made[:1])
    plain.execute("CREATE TABLE edges (publication, entity, PRIMARY KEY (publication, entity))")
    pairs = [(edge.publication, edge.entity.entity_id) for edge in made]
    baseline = cpu_ms(lambda: plain.executemany("INSERT OR REPLACE INTO edges VALUES (?, ?)", pairs))
    show("graph: write 10,000 edges", cpu_ms(lambda: graph.write(made)), baseline, "bare table")
    scope = Scope("bench", {"rows": Visibility(1, 10**9, tuple((n, n) for n in range(1, 500, 3)))})
    start = made[0].entity.entity_id
    both = """
        SELECT count(*) FROM edges a JOIN edges b USING (publication) JOIN edges c ON c.entity = b.entity
        WHERE a.entity = ?
    """
    plain.execute("CREATE INDEX by_entity ON edges (entity)")
    joined = cpu_ms(lambda: plain.execute(both, (start,)).fetchall(), QUERIES)
    walked = cpu_ms(lambda: graph.neighbours(scope, [start], hops=2, limit=50), QUERIES)
    show("graph: two hops, a third hidden", walked, joined, "bare join")


def main(count: int) -> None:
    """Print every line."""
    documents = count // ROWS_PER_DOCUMENT
    everything = Visibility(1, 10**9)
    views = {
        "all visible": (everything, Filters()),
        "every other document hidden": (
            Visibility(1, 10**9, tuple((n, n) for n in range(1, documents, 2))), Filters(),
        ),
        "10 documents allowed": (everything, Filters(publications=tuple(range(1, documents, documents // 10)))),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for part in ("vectors", "keywords", "graph"):
            (Path(folder) / part).mkdir()
        vectors(Path(folder) / "vectors", count, views)
        keywords(Path(folder) / "keywords", count, views)
        edges(Path(folder) / "graph")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)

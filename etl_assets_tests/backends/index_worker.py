"""What the processes do that tests of the indexes start: write beside others, tidy, read, or write until killed."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from etl_assets.backends.lancedb_keywords import LanceKeywords
from etl_assets.backends.lancedb_s3 import S3Tables
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_settings import S3Settings
from etl_assets.backends.sqlite_graph import SqliteGraph
from etl_assets_tests.conformance.index_rows import ALL, NO_FILTERS, SPACE, Row, keyword_table
from etl_assets_tests.conformance.test_knowledge_graph import EVERYTHING, PLACE, edge

BATCHES = 8
ROWS = 5


def batch(number: int) -> list[Row]:
    """One publication of ROWS rows."""
    return [Row(number, f"chunk-{n}", text=f"zebra {number} {n}") for n in range(ROWS)]


def keywords(folder: Path) -> LanceKeywords:
    """The index in ``folder``, or in the bucket of which its file ``s3.json`` tells."""
    told = folder / "s3.json"
    if not told.exists():
        return LanceKeywords(folder)
    return LanceKeywords(S3Tables(S3Bucket(S3Settings(**json.loads(told.read_text())))))


def write_rows(folder: Path, worker: int, batches: int = BATCHES) -> None:
    """Write ``batches`` publications, two at a time; rewrite some, remove every third, and tidy in between."""
    index = keywords(folder)
    for number in range(worker * 1_000, worker * 1_000 + batches):
        index.write(SPACE, keyword_table(batch(number)))
        if number % 4 == 1:
            index.write(SPACE, keyword_table(batch(number)))
        if number % 3 == 0:
            index.remove(SPACE, [number])
        if number % 5 == 0:
            index.optimise(SPACE, now=True)


def read_rows(folder: Path) -> None:
    """Search and read back until a file ``stop`` appears: nothing may fail, and no publication may be seen in part.

    Ten times a second: reading without a pause took as much of the machine as all the writers.
    """
    index = keywords(folder)
    rounds = 0
    print("reading", flush=True)
    while not (folder / "stop").exists() or rounds < 5:
        index.query(SPACE, "zebra", k=10_000, visible=ALL, filters=NO_FILTERS)
        held = list(index.rows(SPACE))
        assert all(count == ROWS for count in Counter(row.publication for row in held).values()), held
        rounds += 1
        time.sleep(0.1)


def write_rows_for_ever(folder: Path) -> None:
    """Write publication after publication, and say so after each."""
    index = keywords(folder)
    for number in range(1, 100_000):
        index.write(SPACE, keyword_table(batch(number)))
        print(number, flush=True)


def write_edges(folder: Path, worker: int) -> None:
    """Write and remove publications that share entities with every other worker, walking in between."""
    graph = SqliteGraph(folder / "graph.db")
    for number in range(worker * 1_000 + 1, worker * 1_000 + 41):
        graph.write([edge(number, "group:shared"), edge(number, f"group:of-{number % 7}")])
        if number % 2 == 0:
            graph.remove(*PLACE, [number])
        assert graph.neighbours(EVERYTHING, ["group:shared"], hops=2, limit=50)


def write_edges_for_ever(folder: Path) -> None:
    """Write publication after publication of 50 edges, and say so after each."""
    graph = SqliteGraph(folder / "graph.db")
    for number in range(1, 100_000):
        graph.write([edge(number, f"group:of-{number}-{n}") for n in range(50)])
        print(number, flush=True)


TASKS: dict[str, Callable[..., None]] = {
    task.__name__: task for task in (write_rows, read_rows, write_rows_for_ever, write_edges, write_edges_for_ever)
}

if __name__ == "__main__":
    name, where, *numbers = sys.argv[1:]
    TASKS[name](Path(where), *map(int, numbers))

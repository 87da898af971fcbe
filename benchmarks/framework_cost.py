"""What the engine costs with a trivial parser, a trivial embedder and an SQLite sink, beside doing it all anew.

    python -m benchmarks.framework_cost [1000 10000]

Four runs over N small files in a fresh home: first, unchanged, 1 % changed, 1 % removed. The baseline, in the same
process, is a plain script that reads, embeds and writes every file to SQLite each time; LangChain's ``index()`` with
its SQL record manager runs too where ``langchain-core`` and ``langchain-classic`` are installed. Figures are CPU
milliseconds per document of the collection, imports excluded; ratios are to the baseline's same run.
"""

import gc
import hashlib
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from etl_assets.documents.parameters import Publications
from etl_assets.documents.publication.publisher import Stores
from etl_assets.protocols.indexes import (
    Filters,
    IndexHit,
    IndexSpace,
    StoredRow,
)
from etl_assets.protocols.row_digests import row_digest
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.trivial import Chain, Home, vector_of

PHASES = ("first", "unchanged", "1 % changed", "1 % removed")


class SqliteSink:
    """A row index that stores and nothing else: the cheapest honest sink. ``value`` names the searched column."""

    def __init__(self, path: Path, value: str) -> None:
        self._value = value
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS rows (space TEXT, publication INT, document TEXT, chunk TEXT, value BLOB, "
            "PRIMARY KEY (space, publication, chunk)) WITHOUT ROWID"
        )

    def write(self, space: IndexSpace, rows: pa.Table) -> None:
        values = rows[self._value].to_pylist()
        if self._value == "vector":
            values = [np.asarray(one, dtype="<f4").tobytes() for one in values]
        columns = (rows[name].to_pylist() for name in ("publication", "document_id", "chunk_id"))
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)",
                [(space.name, *row, value) for *row, value in zip(*columns, values, strict=True)],
            )

    def counts(self, space: IndexSpace, publications: Sequence[int]) -> Mapping[int, int]:
        if not publications:
            return {}
        low, high, wanted = min(publications), max(publications), set(publications)
        found = self._db.execute(
            "SELECT publication, count(*) FROM rows WHERE space = ? AND publication BETWEEN ? AND ? GROUP BY 1",
            (space.name, low, high),
        )
        return {number: count for number, count in found if number in wanted}

    def remove(self, space: IndexSpace, publications: Sequence[int]) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "DELETE FROM rows WHERE space = ? AND publication = ?", [(space.name, one) for one in publications]
            )

    def rows(self, space: IndexSpace) -> Iterator[StoredRow]:
        query = "SELECT publication, document, chunk, value FROM rows WHERE space = ?"
        for publication, document, chunk, value in self._db.execute(query, (space.name,)):
            whole = value if isinstance(value, str) else np.frombuffer(value, "<f4")
            yield StoredRow(publication, document, chunk, row_digest(whole, {}))

    def spaces(self) -> Sequence[IndexSpace]:
        names = [name.split(".") for (name,) in self._db.execute("SELECT DISTINCT space FROM rows")]
        return [IndexSpace(tenant, collection, int(number)) for tenant, collection, number in names]

    def drop(self, space: IndexSpace) -> None:
        self._db.execute("DELETE FROM rows WHERE space = ?", (space.name,))

    def optimise(self, space: IndexSpace, *, now: bool = False) -> None:
        return

    def query(
        self, space: IndexSpace, vector: NDArray[np.float32], *, k: int, visible: Visibility, filters: Filters
    ) -> list[IndexHit]:
        raise TypeError("this sink is written to, never searched")

    @property
    def row_count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])


class Engine:
    """Our ledger, stages, originals, lake and publication; vectors go to the sink."""

    name = "etl_assets"

    def __init__(self, folder: Path) -> None:
        self.home = Home.open(folder)
        self.sink = SqliteSink(folder / "sink.sqlite", "vector")
        self.home.stores = Stores(self.sink, self.home.stores.keyword, self.home.stores.graph)  # type: ignore[arg-type]
        self.files = folder / "objects" / "acme" / "reports"
        self.embedded = 0

    def run(self) -> None:
        chain = Chain(self.home, publications=Publications(keyword=False, graph=False))
        chain.run()
        self.embedded = len(chain.counts.embedded)

    def left(self) -> int:
        return self.sink.row_count


class Anew:
    """The baseline: read, embed and write everything, every time."""

    name = "all anew (baseline)"

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self._db = sqlite3.connect(folder / "anew.sqlite", isolation_level=None)
        self._db.execute("CREATE TABLE rows (path TEXT, n INT, vector BLOB)")
        self.embedded = 0

    def run(self) -> None:
        rows = []
        for path in sorted(self.files.iterdir()):
            content = path.read_bytes()
            hashlib.sha256(content).hexdigest()
            for n, line in enumerate(content.decode().split("\n")):
                rows.append((path.name, n, vector_of(line).tobytes()))
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM rows")
            self._db.executemany("INSERT INTO rows VALUES (?, ?, ?)", rows)
        self.embedded = len(rows)

    def left(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])


def write_files(folder: Path, count: int) -> None:
    """``count`` files of two lines, one chunk each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"document-{i:06}.txt").write_text(f"Report {i}\nhost {i} answered after {i % 97} ms")


def change_files(folder: Path, count: int) -> None:
    """One line in each of the first hundredth."""
    for i in range(count // 100):
        (folder / f"document-{i:06}.txt").write_text(f"Report {i}\nhost {i} never answered")


def remove_files(folder: Path, count: int) -> None:
    """The last hundredth."""
    for i in range(count - count // 100, count):
        (folder / f"document-{i:06}.txt").unlink()


def measure(subject: "Engine | Anew", count: int) -> Iterator[tuple[str, float, float, int, int]]:
    """(phase, CPU seconds, wall seconds, texts embedded, rows left) of the four runs."""
    prepare: dict[str, Callable[[], None]] = {
        "first": lambda: write_files(subject.files, count),
        "unchanged": lambda: None,
        "1 % changed": lambda: change_files(subject.files, count),
        "1 % removed": lambda: remove_files(subject.files, count),
    }
    for phase in PHASES:
        prepare[phase]()
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        subject.run()
        yield phase, time.process_time() - cpu, time.perf_counter() - wall, subject.embedded, subject.left()


def main(counts: Sequence[int]) -> None:
    """Print one table for each collection size."""
    with tempfile.TemporaryDirectory() as warm:  # imports and first-use compilation are no run's cost
        list(measure(Engine(Path(warm) / "ours"), 100))
    for count in counts:
        print(f"\n{count} documents of 2 chunks, CPU ms per document (ratio to the baseline)")
        figures: dict[str, dict[str, float]] = {}
        for kind in (Anew, Engine):
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                for phase, cpu, wall, embedded, left in measure(kind(place), count):
                    figures.setdefault(phase, {})[kind.name] = cpu
                    ratio = cpu / figures[phase][Anew.name]
                    print(
                        f"  {kind.name:20} {phase:12} {1000 * cpu / count:8.3f} ms ({ratio:5.2f} x)  "
                        f"wall {wall:6.2f} s  embedded {embedded:6}  rows left {left}"
                    )
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or [1000, 10_000])

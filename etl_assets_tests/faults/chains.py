"""Chains whose functions look at what they are given and depend on parameters, and ways to stop one at any moment."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection, Table, func, select, update

from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.backends.sqlite_graph import SqliteGraph
from etl_assets.documents.model import EMBEDDINGS, STAGES, chunks_columns, pages_columns
from etl_assets.documents.publication.publisher import CommitReport, Stores
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import Lease, acquire
from etl_assets.stages.lake import Lake
from etl_assets.stages.report import StageReport
from etl_assets.stages.spec import Computed, Task
from etl_assets_tests.ledgers import open_ledger
from etl_assets_tests.memory_rows import MemoryRows
from etl_assets_tests.trivial import Chain, Home

Tick = Callable[[str], None]


def quick_home(folder: Path) -> Home:
    """A home on the real ledger, lake, graph and folders, with the two indexes in memory."""
    for name in ("objects", "tmp", "originals", "lake"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Home(
        folder,
        open_ledger(folder / "ledger.sqlite", copied=True),
        LocalArrivals(folder / "objects", scratch=folder / "tmp"),
        LocalBlobs(folder / "originals"),
        Lake(LocalBlobs(folder / "lake")),
        Stores(MemoryRows("vector"), MemoryRows("text"), SqliteGraph(folder / "graph.sqlite")),
    )


@dataclass
class ShapedChain(Chain):
    """Parameters: ``pages.mark`` goes before each page, ``chunks.lines`` lines make a chunk, ``mentions.least`` a word.

    A page without text is no page, so a document may have zero rows at every stage.
    """

    ttl_s: float = 20.0
    tick: Tick = field(default=lambda _: None)

    def parse(self, tasks: Sequence[Task], *_: pl.DataFrame) -> Computed:
        self.tick("pages")
        made = super().parse(tasks)
        mark = str(self.parameters.get("pages", {}).get("mark", ""))
        if mark:
            made.rows = made.rows.with_columns(pl.lit(mark + "\n").add(pl.col("text")).alias("text"))
        without = [d for d, text in made.rows.select("document_id", "text").rows() if not text]
        made.rows = made.rows.filter(~pl.col("document_id").is_in(without))
        return made

    def cut(self, tasks: Sequence[Task], pages: pl.DataFrame) -> Computed:
        self.tick("chunks")
        _expect(pages, pages_columns())
        lines = int(str(self.parameters.get("chunks", {}).get("lines", 1)))
        if lines > 1:
            joined = [
                "\n".join(" ".join(part) for part in _parts([line for line in text.split("\n") if line], lines))
                for text in pages["text"].to_list()
            ]
            pages = pages.with_columns(pl.Series("text", joined, dtype=pl.String))
        return super().cut(tasks, pages)

    def embed(self, rows: pl.DataFrame, model: str) -> pl.DataFrame:
        self.tick("embeddings")
        return super().embed(rows, model)

    def find(self, tasks: Sequence[Task], pages: pl.DataFrame, chunks: pl.DataFrame) -> Computed:
        self.tick("mentions")
        _expect(pages, pages_columns())
        _expect(chunks, chunks_columns())
        least = int(str(self.parameters.get("mentions", {}).get("least", 3)))
        made = super().find(tasks, pages, chunks)
        made.rows = made.rows.filter(pl.col("text").str.len_chars() >= least)
        return made

    def take(self) -> Lease:
        partitions = ensure_collection(self.home.ledger, self.tenant, self.collection, shards=self.shards)
        key = partitions[self.shard].key
        return acquire(self.home.ledger, key, holder=self.run_id, wait_s=self.wait_s, ttl_s=self.ttl_s)


def _expect(rows: pl.DataFrame, columns: pl.Schema) -> None:
    expected = pl.Schema({"document_id": pl.String, **columns})
    assert rows.schema == expected, f"a stage's function was given {rows.schema} and not {expected}"


def _parts(lines: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


def die_holding(lease: Lease) -> None:
    """What ``kill -9`` does to a lease: no more beats, and the kernel closes its lock. The row stays as it is."""
    lease._stop.set()
    lease._heart.join()
    if lease._lock is not None:
        os.close(lease._lock)
        lease._lock = None


def fall_asleep_holding(lease: Lease) -> None:
    """What a stop beyond the expiry does: no more beats, and the row has expired. The lock stays held."""
    lease._stop.set()
    lease._heart.join()
    with lease._ledger.writing() as connection:
        table = schema.leases
        connection.execute(update(table).where(table.c.name == lease.partition).values(expires_at=1.0))


class _Ticking:
    """Another object whose calls of some methods tick before and after they work."""

    def __init__(self, inner: Any, name: str, methods: Sequence[str], tick: Tick) -> None:
        self._inner, self._name, self._methods, self._tick = inner, name, methods, tick

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        if method not in self._methods:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._tick(f"before {self._name}.{method}")
            result = found(*args, **kwargs)
            self._tick(f"after {self._name}.{method}")
            return result

        return call


class _TickingLedger(Ledger):
    """The same database, with a tick before every writing transaction begins and after it was committed."""

    tick: Tick
    thread: int

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        if threading.get_ident() != self.thread:
            with super().writing() as connection:
                yield connection
            return
        self.tick("before a transaction")
        with super().writing() as connection:
            yield connection
        self.tick("after a transaction")


def ticking(home: Home, tick: Tick) -> Home:
    """The same home; every write to any of its stores ticks before and after, on this thread only."""
    ledger = _TickingLedger(home.ledger._engine, lock_folder=home.ledger.lock_folder)
    ledger.tick, ledger.thread = tick, threading.get_ident()
    rows = ("write", "counts", "remove")
    stores = Stores(
        _Ticking(home.stores.vector, "vector", rows, tick),
        _Ticking(home.stores.keyword, "keyword", rows, tick),
        _Ticking(home.stores.graph, "graph", rows, tick),
    )
    blobs = ("put", "put_all", "delete")
    return replace(
        home,
        ledger=ledger,
        originals=_Ticking(home.originals, "originals", blobs, tick),
        lake=Lake(_Ticking(home.lake.blobs, "lake", blobs, tick)),
        stores=stores,
    )


def untidy(home: Home) -> list[str]:
    """What is left over in a home where every run has ended well, in words; nothing, if all is as it should be."""
    x, file, p, g = schema.outputs, schema.segments, schema.publications, schema.generations
    found = []
    with home.ledger.reading() as connection:
        for table in (schema.outbox, schema.pins):
            if count := _count(connection, table):
                found.append(f"{count} rows in {table.name}")
        named = set(connection.scalars(select(file.c.key)))
        dead = _count(connection, file, file.c.dead_at.is_not(None))
        still_open = select(x.c.output_id, x.c.segment_id).where(x.c.end_seq.is_(None))
        open_outputs = {row[0]: row[1] for row in connection.execute(still_open)}
        present = _count(connection, schema.objects, schema.objects.c.end_seq.is_(None))
        resting = connection.scalars(select(p.c.outputs).where(p.c.end_seq.is_(None))).all()
        segments = set(connection.scalars(select(file.c.segment_id)))
        building = _count(connection, g, g.c.state == "building")
        dirty = _count(connection, schema.partitions, schema.partitions.c.dirty != 0)
    files = {key for key, _, _ in home.lake.blobs.keys("")}
    if files != named:
        found.append(f"files without a row: {sorted(files - named)}; rows without a file: {sorted(named - files)}")
    if dead:
        found.append(f"{dead} dead segments")
    if unnamed := {s for s in open_outputs.values() if s is not None} - segments:
        found.append(f"open outputs rest on segments that are gone: {unnamed}")
    if lost := {number for outputs in resting for number in outputs.values()} - set(open_outputs):
        found.append(f"publications rest on ended outputs {lost}")
    if len(open_outputs) > len(STAGES) * present:
        found.append(f"{len(open_outputs)} open outputs for {present} documents")
    if building:
        found.append(f"{building} generations still being built")
    if dirty:
        found.append(f"{dirty} partitions not tidied")
    return found


def _count(connection: Connection, table: Table, *where: Any) -> int:
    return int(connection.scalar(select(func.count()).select_from(table).where(*where)) or 0)


def ledger_rows(home: Home) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the ledger but those that taking a lease writes."""
    with home.ledger.reading() as connection:
        return {
            table.name: sorted(tuple(map(repr, row)) for row in connection.execute(select(table)))
            for table in schema.metadata.sorted_tables
            if table.name not in ("leases", "counters")
        }


def files_written(home: Home) -> dict[str, int]:
    """Modification time, in ns, of every file of the lake, the originals and the indexes."""
    folders = [home.folder / name for name in ("lake", "originals", "indexes", "graph.sqlite")]
    files = [path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob("*"))]
    return {str(path): path.stat().st_mtime_ns for path in files if path.is_file() and path.suffix != ".sqlite-shm"}


def is_no_op(reports: Sequence[StageReport], report: CommitReport) -> bool:
    """Whether a run neither computed, nor published, nor removed, nor collected anything."""
    return not any(one.wanted or one.changed for one in reports) and (
        (report.published, report.repointed, report.removed, report.collected) == (0, 0, 0, 0)
    )


__all__ = [
    "EMBEDDINGS", "ShapedChain", "Tick", "die_holding", "fall_asleep_holding", "files_written", "is_no_op",
    "ledger_rows", "quick_home", "ticking", "untidy",
]  # fmt: skip

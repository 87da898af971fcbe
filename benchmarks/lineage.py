"""Questions of lineage and impact over a ledger of many documents, beside reading the tables through for the answer.

    python benchmarks/lineage.py [--documents 100000] [--repeat 3]

One real document is ingested; the others are copies of its rows in the ledger, under other ids, with every stage and
publication, half of them made by a second chunker, so that a producer's documents cannot be told by their collection.
The baseline answers each question as one would without indexes: by reading the table through that holds the answer.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from etl_assets.bindings import open_platform
from etl_assets.documents.lineage.impact import impact
from etl_assets.documents.lineage.subject import subject_of
from etl_assets.documents.lineage.upstream import lineage
from etl_assets.documents.model import document_id, slot_of
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.platform import Platform
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.ledger.database import insert_rows
from etl_assets.settings import Settings

TEXT = "The bear group used EMOTET against a bank.\n\nIt moved to the mail server of APT28 in May 2020."
OTHER = "chunks/1/0000000000000000"
AT_ONCE = 5000


def main(documents: int = 100_000, repeat: int = 3) -> dict[str, tuple[float, float]]:
    """Print and give (seconds, seconds of the baseline) by question: the fastest of ``repeat`` times."""
    with tempfile.TemporaryDirectory() as folder:
        platform = _home(Path(folder))
        try:
            _copy(platform, documents)
            return {name: _measured(name, *pair, repeat) for name, pair in _questions(platform).items()}
        finally:
            platform.close()


def _measured(name: str, ask: Callable[[], object], scan: Callable[[], object], repeat: int) -> tuple[float, float]:
    mine, naive = (min(_seconds(call) for _ in range(repeat)) for call in (ask, scan))
    print(f"{name:34} {mine * 1000:9.1f} ms   read through {naive * 1000:9.1f} ms   {naive / mine:8.1f} times")
    return mine, naive


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _home(folder: Path) -> Platform:
    settings = Settings(home_folder=str(folder), search_time_limit_s=0.1, parser_processes=1)
    settings.home.create().collections_file.write_text("defaults:\n  embedder: {kind: static}\n  shards: 16\n")
    path = settings.home.objects / "acme/reports/bear.txt"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    platform = open_platform(settings)
    for place in ensure_collection(platform.ledger, "acme", "reports", shards=16):
        with PartitionRun(platform, place.key, run_id="benchmark") as run:
            all_steps(run)
    return platform


def _copy(platform: Platform, documents: int) -> None:
    """Enter ``documents`` more, each with the rows of the real one."""
    with platform.ledger.reading() as connection:
        (thing,) = _rows(connection, "objects")
        (shown,) = _rows(connection, "publications")
        made = _rows(connection, "outputs")
    with platform.ledger.writing() as connection:
        other = {"producer_id": 10_000, "producer": OTHER, "stage": "chunks", "parameters": {}}
        connection.execute(insert(schema.producers), other)
    chunks = next(one["producer_id"] for one in made if one["output_id"] == shown["outputs"]["chunks"])
    for start in range(0, documents, AT_ONCE):
        objects, outputs, publications = [], [], []
        for number in range(start, min(start + AT_ONCE, documents)):
            path = f"{number:07}.txt"
            mine = {"document_id": document_id("acme", "reports", path)}
            mine["slot"] = slot_of(mine["document_id"])  # type: ignore[assignment]  # a row of several kinds
            objects.append(thing | mine | {"path": path})
            ids = {stage: 1_000_000 + number * 10 + place for place, stage in enumerate(shown["outputs"])}
            by_id = {shown["outputs"][stage]: new for stage, new in ids.items()}
            for one in made:
                second = one["producer_id"] == chunks and number % 2
                output = one | mine | {"output_id": by_id[one["output_id"]], "segment_id": None}
                outputs.append(output | ({"producer_id": 10_000} if second else {}))
            key = "+".join(map(str, ids.values()))
            publications.append(
                shown | mine | {"publication": 1_000_000 + number, "path": path, "outputs": ids, "outputs_key": key}
            )
        with platform.ledger.writing() as connection:
            for table, rows in (("objects", objects), ("outputs", outputs), ("publications", publications)):
                insert_rows(connection, schema.metadata.tables[table], rows)
    with platform.ledger.writing() as connection:
        table = schema.counters
        connection.execute(update(table).where(table.c.name == "publication").values(value=2_000_000))
        connection.execute(update(table).where(table.c.name == "output").values(value=10_000_000))


def _rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(select(schema.metadata.tables[table]))]


def _questions(platform: Platform) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    bear = document_id("acme", "reports", "bear.txt")
    with platform.ledger.reading() as connection:
        p, producer = schema.publications, schema.producers
        shown = connection.execute(select(p.c.publication).where(p.c.document_id == bear)).scalar_one()
        chunker = connection.scalars(
            select(producer.c.producer).where(producer.c.stage == "chunks", producer.c.producer != OTHER)
        ).one()
        key = connection.scalars(select(schema.segments.c.partition)).first()
    hit = lineage(platform, subject_of(platform, bear))
    (text,) = {one.facts["key"] for one in hit.walk() if one.kind == "object"}
    chunk = _chunk_of(platform)

    def asked(name: str) -> Callable[[], object]:
        return lambda: lineage(platform, subject_of(platform, name))

    def followed(name: str) -> Callable[[], object]:
        return lambda: impact(platform, name)

    def through(*tables: str) -> Callable[[], object]:
        return lambda: _read_through(platform, tables)

    both = ("outputs", "publications")
    return {
        "lineage of a hit": (asked(f"{shown}/{chunk}"), through(*both)),
        "lineage of a chunk id": (asked(chunk), through(*both)),
        "lineage of an entity": (asked("EMOTET"), through(*both)),
        "lineage of a document": (asked(str(text)), through(*both)),
        "lineage of a partition": (asked(str(key)), through(*both)),
        "impact of a document": (followed(bear), through(*both)),
        "impact of a stage": (followed("pages"), through(*both)),
        "impact of one of two producers": (followed(chunker), through(*both)),
        "impact of a store": (followed("vector"), through("publications")),
    }


def _chunk_of(platform: Platform) -> str:
    import polars as pl

    with platform.ledger.reading() as connection:
        file = schema.segments
        key = connection.scalars(select(file.c.key).where(file.c.stage == "chunks")).first()
    with platform.lake.blobs.local(str(key)) as path:
        return str(pl.read_parquet(path)["chunk_id"][0])


def _read_through(platform: Platform, tables: tuple[str, ...]) -> int:
    """How many rows there are that one would have to look at, each read with all of its columns."""
    count = 0
    with platform.ledger.reading() as connection:
        for name in tables:
            for _ in connection.execute(select(schema.metadata.tables[name])):
                count += 1
        assert connection.scalar(select(func.count()).select_from(schema.collections)) == 1
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.documents, arguments.repeat)

"""What it costs to compare every column of every row of the indexes with the lake, against the searched value alone.

    python benchmarks/index_checks.py [ROWS]

A check reads all rows of an index, and makes from the lake what they should be, 256 documents at a time. The baseline
reads and makes the same rows and takes the digest of their vector or text only, as checks did before. Rows are
synthetic and seeded, ten to a document; figures are the least CPU milliseconds of three.
"""

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from etl_assets.backends.lancedb_keywords import LanceKeywords
from etl_assets.backends.lancedb_tables import LanceTables
from etl_assets.backends.lancedb_vectors import LanceVectors
from etl_assets.documents.consistency.store_checks import DOCUMENTS_AT_ONCE
from etl_assets.documents.publication.index_rows import keyword_table, vector_table
from etl_assets.protocols.indexes import IndexSpace, StoredRow
from etl_assets.protocols.row_digests import row_digests

DIMENSION, WORDS, ROWS_PER_DOCUMENT, WRITE_ROWS, READ_ROWS = 384, 150, 10, 4_096, 8_192
SPACE = IndexSpace("bench", "rows", 1)
Table = Callable[..., pa.Table]


def least_ms(call: Callable[[], object]) -> float:
    """CPU milliseconds of one call, the least of three."""
    took = []
    for _ in range(3):
        start = time.process_time()
        call()
        took.append((time.process_time() - start) * 1e3)
    return min(took)


def digest(content: bytes) -> str:
    """Of one vector or text."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def record(document: int) -> dict[str, Any]:
    """What is published of a document: every third without a type, every fifth without a date, up to two labels."""
    day = date(2020, 1, 1) + timedelta(document % 2_000)
    labels = {"threat": [f"t{document % 6}"], "sector": [f"s{document % 8}"]}
    return {
        "document_type": "application/pdf" if document % 3 else None, "date": str(day) if document % 5 else None,
        "labels": dict([*labels.items()][: document % 3]),
    }  # fmt: skip


def in_batches(rows: pl.DataFrame, table: Table) -> Iterator[pa.Table]:
    """What an index is given, some documents at a time."""
    size = DOCUMENTS_AT_ONCE * ROWS_PER_DOCUMENT
    for first in range(0, rows.height, size):
        part = rows.slice(first, size)
        numbers = {name: int(name[1:]) + 1 for name in part["document_id"].unique(maintain_order=True).to_list()}
        yield table(part, numbers, {name: record(number - 1) for name, number in numbers.items()})


def searched_of_stored(folder: Path, column: str) -> None:
    """Ids and searched values of all rows, and the digests of the values."""
    import lancedb

    names = ["publication", "document_id", "chunk_id", column]
    table = lancedb.connect(folder).open_table(SPACE.name)
    for batch in table.search().select(names).limit(None).to_batches(batch_size=READ_ROWS):
        ids = [batch.column(name).to_pylist() for name in names[:3]]
        if column == "text":
            digests = [digest(text.encode()) for text in batch.column(3).to_pylist()]
        else:
            digests = [digest(one.tobytes()) for one in batch.column(3).flatten().to_numpy().reshape(-1, DIMENSION)]
        [StoredRow(*row) for row in zip(*ids, digests, strict=True)]


def searched_of_lake(rows: pl.DataFrame, column: str) -> None:
    """The digests of the searched values of lake rows."""
    for start in range(0, rows.height, DOCUMENTS_AT_ONCE * ROWS_PER_DOCUMENT):
        part = rows.slice(start, DOCUMENTS_AT_ONCE * ROWS_PER_DOCUMENT)
        if column == "text":
            [digest(text.encode()) for text in part["text"].to_list()]
        else:
            [digest(np.asarray(one, dtype=np.float32).tobytes()) for one in part["vector"].to_list()]


def compared(
    name: str, index: LanceTables, folder: Path, rows: pl.DataFrame, column: str, table: Table
) -> tuple[float, float]:
    """Fill an index, and print what its check costs; (now, the baseline) in all."""
    given = pa.concat_tables(in_batches(rows, table))
    for first in range(0, given.num_rows, WRITE_ROWS):
        index.write(SPACE, given.slice(first, WRITE_ROWS))
    stored = least_ms(lambda: [*index.rows(SPACE)]), least_ms(lambda: searched_of_stored(folder, column))
    made = (
        least_ms(lambda: [row_digests(one) for one in in_batches(rows, table)]),
        least_ms(lambda: searched_of_lake(rows, column)),
    )
    show(f"{name}, read back", *stored)
    show(f"{name}, made from the lake", *made)
    return stored[0] + made[0], stored[1] + made[1]


def show(what: str, ours: float, before: float) -> None:
    """One line."""
    print(f"{what:<28}{ours:>9.0f} ms  {ours / before:>6.2f} x the searched value alone ({before:.0f} ms)")


def main(count: int) -> None:
    """Print every line."""
    rng = np.random.default_rng(1)
    ids = {
        "document_id": [f"d{row // ROWS_PER_DOCUMENT}" for row in range(count)],
        "chunk_id": [f"{row:032x}-0" for row in range(count)],
    }
    vectors = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = np.array([f"word{number}" for number in range(5_000)])
    texts = [" ".join(words[rng.integers(0, len(words), WORDS)]) for _ in range(count)]
    column = pl.Series("vector", vectors).cast(pl.List(pl.Float32))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = pl.DataFrame({**ids, "vector": column})
        vector = compared(
            "vector", LanceVectors(folder / "v", ann_rows=count + 1), folder / "v", rows, "vector", vector_table
        )
        rows = pl.DataFrame({**ids, "text": texts})
        keyword = compared("keyword", LanceKeywords(folder / "k"), folder / "k", rows, "text", keyword_table)
    show("both indexes", *(sum(parts) for parts in zip(vector, keyword, strict=True)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)

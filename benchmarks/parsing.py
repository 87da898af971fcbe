"""What parsing costs: beside PDFium alone, per format, and what the worker processes add.

    python -m benchmarks.parsing [FOLDER]

FOLDER defaults to the documents of ETL_SHARED_DATA (``../shared/data``). Everything is measured in one run on the same
files; figures are CPU seconds unless they say wall.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing.parser import parse
from etl_assets.documents.parsing.workers import ParseRequest, ParserPool
from etl_assets.errors import DataError


def main() -> None:
    """Print one line per figure."""
    root = Path(os.environ.get("ETL_SHARED_DATA", "../shared/data"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "documents" / "docs"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise SystemExit(f"{folder} has no files: name a folder of documents, or set ETL_SHARED_DATA")
    beside_pdfium([path for path in files if path.suffix == ".pdf"])
    per_format(files)
    workers(files)


def beside_pdfium(files: list[Path]) -> None:
    """Pages with paragraphs, headings, outline and facts, against the bare text of the same pages."""
    import pypdfium2 as pdfium

    def bare(path: Path) -> int:
        document = pdfium.PdfDocument(path)
        return len([page.get_textpage().get_text_range() for page in document])

    if not files:
        return
    pages = sum(bare(path) for path in files)
    baseline = min(cpu_of(bare, files) for _ in range(3))
    ours = min(cpu_of(lambda path: parse(path, name=path.name, content_type=None), files) for _ in range(3))
    print(f"PDF: {pages} pages; PDFium alone {pages / baseline:,.0f} a second (baseline), parse {pages / ours:,.0f}")
    print(f"PDF: cost over the baseline: {ours / baseline:.2f} times")


def per_format(files: list[Path]) -> None:
    """Milliseconds a file, imports excluded."""
    spent: dict[str, list[float]] = defaultdict(list)
    for path in [*files, *files]:
        started = time.process_time()
        try:
            kind = str(parse(path, name=path.name, content_type=None).facts["document_type"])
        except DataError as e:
            kind = e.reason
        spent[kind].append(time.process_time() - started)
    for kind, seconds in sorted(spent.items()):
        half = seconds[len(seconds) // 2 :]
        print(f"{kind}: {len(half)} files, {1000 * sum(half) / len(half):.1f} ms each")


def workers(files: list[Path]) -> None:
    """Start, hand-over and use of the processes."""
    limits = ParsingLimits()
    with tempfile.TemporaryDirectory() as folder, ParserPool() as pool:
        note = Path(folder, "note.txt")
        note.write_text("a few words")
        with children() as started:
            for _ in range(5):
                list(pool.parse_many([ParseRequest("1", note, "note.txt")], limits))
                pool.close()
        print(f"worker: {started[0] / 5:.2f} s from nothing to its first answer and gone")
        notes = [ParseRequest(str(n), note, "note.txt") for n in range(2000)]
        list(pool.parse_many(notes[:10], limits))
        here = time.process_time()
        for _ in notes:
            parse(note, name="note.txt", content_type=None)
        alone = time.process_time() - here
        wall, cpu = time.perf_counter(), time.process_time()
        busy = sum(result.seconds for result in pool.parse_many(notes, limits))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"tiny notes: {len(notes) / wall:,.0f} a wall second through the pool, {len(notes) / alone:,.0f} in process"
        )
        parent, worker = 1000 * cpu / len(notes), 1000 * busy / len(notes)
        print(f"tiny notes: {parent:.2f} ms of the parent each, {worker:.2f} ms of a worker")
        requests = [ParseRequest(str(n), path, path.name) for n, path in enumerate(files * 3)]
        list(pool.parse_many(requests[: len(files)], limits))
        wall = time.perf_counter()
        busy = sum(result.seconds for result in pool.parse_many(requests, limits))
        wall = time.perf_counter() - wall
        share = busy / wall / len(pool.worker_pids)
        print(f"files: {len(requests) / wall:,.0f} a wall second; workers busy {100 * share:.0f} % of the time")


def cpu_of(function: object, files: Iterable[Path]) -> float:
    """CPU seconds of calling ``function`` on every file."""
    assert callable(function)
    started = time.process_time()
    for path in files:
        function(path)
    return time.process_time() - started


@contextmanager
def children() -> Iterator[list[float]]:
    """CPU seconds of child processes that ended inside the context."""
    spent: list[float] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield spent
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()

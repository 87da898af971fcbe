"""Rows of tables recovered from a PDF, beside the bare lines of PDFium and beside pdfplumber where it is installed.

    python -m benchmarks.pdf_tables [PDF TRUTH_CSV]

The defaults are the Italian OWASP ASVS and its requirements, of ETL_SHARED_DATA (``../shared/data``). A row is
recovered when one row of a table has a requirement's number in a cell and its whole sentence in another; marks and
spaces are not compared. Speed is pages a CPU second, tables included.
"""

from __future__ import annotations

import csv
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from etl_assets.documents.parsing.parser import parse

Rows: TypeAlias = list[tuple[str, ...]]


def main() -> None:
    """Print one line for each way of reading."""
    root = Path(os.environ.get("ETL_SHARED_DATA", "../shared/data"), "documents")
    if len(sys.argv) == 3:
        pdf, truth = Path(sys.argv[1]), Path(sys.argv[2])
    else:
        pdf = next((root / "docs" / "owasp-asvs").glob("*.pdf"))
        truth = next((root / "truth" / "asvs").glob("*.csv"))
    wanted = requirements(truth)
    pages = page_count(pdf)
    baseline = report("PDFium's lines (baseline)", lines_of_pdfium, pdf, wanted, pages, None)
    report("etl_assets", rows_of_ours, pdf, wanted, pages, baseline)
    try:
        import pdfplumber  # noqa: F401
    except ImportError:
        print("pdfplumber: skipped, as it is not installed (pip install pdfplumber)")
    else:
        report("pdfplumber", rows_of_pdfplumber, pdf, wanted, pages, baseline)


def letters(text: str) -> str:
    """What is compared: letters and digits, without the addresses of Markdown links."""
    return re.sub(r"[\W_]+", "", re.sub(r"\]\([^)]*\)", "", text)).casefold()


def requirements(truth: Path) -> set[tuple[str, str]]:
    """(number, sentence) of every requirement."""
    with truth.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    # Documents leave out the letter that their data have before the number.
    return {(letters(re.sub(r"^\D+", "", row["req_id"])), letters(row["req_description"])) for row in rows}


def report(
    name: str,
    read: Callable[[Path], Rows],
    pdf: Path,
    wanted: set[tuple[str, str]],
    pages: int,
    baseline: tuple[int, float] | None,
) -> tuple[int, float]:
    """Print and give (rows recovered, pages a CPU second)."""
    started = time.process_time()
    rows = [set(map(letters, row)) for row in read(pdf)]
    speed = pages / (time.process_time() - started)
    found = sum(any(number in row and sentence in row for row in rows) for number, sentence in wanted)
    ratio = f", {speed / baseline[1]:.2f} of the baseline's speed" if baseline else ""
    share = 100 * found / len(wanted)
    print(f"{name}: {found} of {len(wanted)} rows ({share:.1f} %), {speed:,.0f} pages a second{ratio}")
    return found, speed


def page_count(pdf: Path) -> int:
    """Pages by PDFium."""
    import pypdfium2 as pdfium

    return len(pdfium.PdfDocument(pdf))


def lines_of_pdfium(pdf: Path) -> Rows:
    """Every line as a row, cut after its first word."""
    import pypdfium2 as pdfium

    document = pdfium.PdfDocument(pdf)
    texts = [page.get_textpage().get_text_range() for page in document]
    return [tuple(line.strip().split(" ", 1)) for text in texts for line in text.split("\r\n") if line.strip()]


def rows_of_ours(pdf: Path) -> Rows:
    """Rows of the tables of every page."""
    pages = parse(pdf, name=pdf.name, content_type=None).pages
    return [tuple(p.text[c.start : c.end] for c in row) for p in pages for table in p.tables for row in table.rows]


def rows_of_pdfplumber(pdf: Path) -> Rows:
    """Rows of the tables that its text strategy finds, or its line strategy on pages where that finds more."""
    import pdfplumber

    rows: Rows = []
    with pdfplumber.open(pdf) as document:
        for page in document.pages:
            by_text = page.extract_tables({"vertical_strategy": "text", "horizontal_strategy": "text"})
            for table in [*page.extract_tables(), *by_text]:
                rows += [tuple(cell or "" for cell in row) for row in table]
            page.close()
    return rows


if __name__ == "__main__":
    main()

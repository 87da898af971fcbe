"""How right text and tables of printed pages are, kind by kind, beside other readers.

    python -m benchmarks.pdf_printed [PART_OF_A_KIND'S_NAME]

Pages whose words are known are printed by Chromium (``chromium`` on the path; Debian: chromium) from seed documents of
ETL_SHARED_DATA (``../shared/data``) and sentences of our own. For Chinese, ETL_WIDE_FONT names the file of a font that
has its letters. Text: 100 less the share of words that are wrong, missing or too many in their order (100 less the word
error rate), and of words whatever their order (F1). Tables: rows of which every cell is whole and alone. The baseline
is poppler's pdftotext for text; for tables pdfplumber. Readers that are not installed are left out by name.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.pdf_text import readers
from benchmarks.printed_pages import Printed, printed, tables, texts
from benchmarks.printed_texts import words
from etl_assets.documents.parsing.parser import parse


def main() -> None:
    """A line for each kind."""
    root = Path(os.environ.get("ETL_SHARED_DATA", "../shared/data"), "documents")
    font = Path(os.environ["ETL_WIDE_FONT"]).absolute() if "ETL_WIDE_FONT" in os.environ else None
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    if font is None:
        print("Chinese: skipped, as ETL_WIDE_FONT names no font")
    kinds = [kind for kind in (*texts(root, wide=bool(font)), *tables(wide=bool(font))) if wanted in kind.name]
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            pdf = printed(kind, Path(folder), font)
            print(tables_line(kind, pdf) if kind.rows else text_line(kind, pdf), flush=True)


def text_line(kind: Printed, pdf: Path) -> str:
    """Both figures of every reader for a kind of text."""
    truth = words(kind.text)
    figures = []
    for name, read in readers().items():
        found = words(read(pdf))
        figures.append(f"{name.split()[0]} {100 * in_order(truth, found):.1f}/{100 * bag(truth, found):.1f}")
    return f"{kind.name}: {', '.join(figures)}"


def tables_line(kind: Printed, pdf: Path) -> str:
    """Rows that are whole, by us and by the baseline."""
    wanted = Counter(tuple(letters(row)) for row in kind.rows)
    figures = []
    for name, rows in (("etl_assets", ours(pdf)), ("pdfplumber", plumbed(pdf))):
        if rows is not None:
            found = (wanted & Counter(tuple(letters(row)) for row in rows)).total()
            figures.append(f"{name} {found} of {wanted.total()} rows")
    return f"{kind.name}: {', '.join(figures)}"


def letters(row: Sequence[str | None]) -> list[str]:
    """What is compared of a row: cells that have something, without spaces between their words."""
    cells = (re.sub(r"[\s\u00ad]+", "", cell or "").casefold() for cell in row)
    return [cell for cell in cells if cell]


def ours(pdf: Path) -> list[Sequence[str | None]]:
    """Rows of all tables of a file."""
    pages = parse(pdf, name=pdf.name, content_type=None).pages
    return [[p.text[c.start : c.end] for c in row] for p in pages for table in p.tables for row in table.rows]


def plumbed(pdf: Path) -> list[Sequence[str | None]] | None:
    """As pdfplumber finds them by lines; None where it is not installed."""
    try:
        import pdfplumber
    except ImportError:
        return None
    with pdfplumber.open(pdf) as document:
        return [row for page in document.pages for table in page.extract_tables() for row in table]


def in_order(truth: Sequence[str], found: Sequence[str]) -> float:
    """1 less the word error rate: edits that make one of the other, by words of the truth (Levenshtein)."""
    numbers = {word: n for n, word in enumerate({*truth, *found})}
    row = np.array([numbers[word] for word in found], dtype=np.int32)
    steps = np.arange(len(found) + 1)
    costs = steps.copy()
    for word in truth:
        changed = np.minimum(costs[1:] + 1, costs[:-1] + (row != numbers[word]))
        best = np.concatenate([[costs[0] + 1], changed])
        costs = np.minimum.accumulate(best - steps) + steps
    return max(0.0, 1 - float(costs[-1]) / len(truth))


def bag(truth: Sequence[str], found: Sequence[str]) -> float:
    """F1 of words in any order."""
    return 2 * (Counter(truth) & Counter(found)).total() / (len(truth) + len(found))


if __name__ == "__main__":
    main()

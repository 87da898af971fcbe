"""How right the text of PDF pages is: words of each reader against the same sentences kept elsewhere as text.

    python -m benchmarks.pdf_text

Truth is text that does not come from a PDF: the requirements of the Italian OWASP ASVS, from its table of data, in
ETL_SHARED_DATA (``../shared/data``). Printed are recall of its words in their order (longest common run of words that
follow one another, sentence by sentence), sentences that are found whole, and pages a second; the baseline is poppler's
pdftotext. Readers that are not installed are skipped by name.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path

from etl_assets.documents.parsing.parser import parse


def main() -> None:
    """One line for each reader."""
    root = Path(os.environ.get("ETL_SHARED_DATA", "../shared/data"), "documents")
    pdf = next((root / "docs" / "owasp-asvs").glob("*.pdf"))
    with next((root / "truth" / "asvs").glob("*.csv")).open(encoding="utf-8", newline="") as file:
        sentences = [words(re.sub(r"\]\([^)]*\)", "]", row["req_description"])) for row in csv.DictReader(file)]
    baseline = None
    for name, read in readers().items():
        started = time.perf_counter()
        text = words(read(pdf))
        seconds = time.perf_counter() - started
        recall, whole = accuracy(text, sentences)
        baseline = baseline or seconds
        print(f"{name}: {100 * recall:.2f} % of words in order, {whole} of {len(sentences)} sentences whole, "
              f"{baseline / seconds:.2f} of the first reader's speed")  # fmt: skip


def readers() -> dict[str, Callable[[Path], str]]:
    """Name -> reader of a whole file, of those that are installed."""
    found: dict[str, Callable[[Path], str]] = {}
    if shutil.which("pdftotext"):
        found["poppler pdftotext (baseline)"] = by_poppler
    else:
        print("poppler: skipped, as pdftotext is not installed")
    found["etl_assets"] = by_us
    found["PDFium alone"] = by_pdfium
    for module, reader in (("pdfminer", by_pdfminer), ("kreuzberg", by_kreuzberg)):
        if importlib.util.find_spec(module) is None:
            print(f"{module}: skipped, as it is not installed")
        else:
            found[module] = reader
    return found


def by_poppler(pdf: Path) -> str:
    """In reading order."""
    return subprocess.run(["pdftotext", "-enc", "UTF-8", pdf, "-"], capture_output=True, check=True).stdout.decode()


def by_us(pdf: Path) -> str:
    """All pages as they are indexed."""
    return "\n".join(page.text for page in parse(pdf, name=pdf.name, content_type=None).pages)


def by_pdfium(pdf: Path) -> str:
    """As PDFium gives it."""
    import pypdfium2 as pdfium

    return "\n".join(page.get_textpage().get_text_range() for page in pdfium.PdfDocument(pdf))


def by_pdfminer(pdf: Path) -> str:
    """With its own layout analysis."""
    from pdfminer.high_level import extract_text

    return str(extract_text(pdf))


def by_kreuzberg(pdf: Path) -> str:
    """As it comes."""
    import kreuzberg

    return str(kreuzberg.extract_file_sync(str(pdf)).content)


def words(text: str) -> list[str]:
    """Words in lower case; marks between them, table bars too, do not count."""
    return re.findall(r"\w+", text.casefold())


def accuracy(text: list[str], sentences: list[list[str]]) -> tuple[float, int]:
    """(share of the sentences' words found in their order, sentences found whole)."""
    joined = f" {' '.join(text)} "
    starts: dict[str, list[int]] = {}
    for place, word in enumerate(text):
        starts.setdefault(word, []).append(place)
    found = whole = total = 0
    for sentence in sentences:
        total += len(sentence)
        if f" {' '.join(sentence)} " in joined:
            found, whole = found + len(sentence), whole + 1
        else:
            found += best_run(text, sentence, starts)
    return found / total, whole


def best_run(text: list[str], sentence: list[str], starts: dict[str, list[int]]) -> int:
    """Words of a sentence that stand in their order near where its rarest word stands."""
    rare = min((word for word in sentence if word in starts), key=lambda word: len(starts[word]), default=None)
    best = 0
    for place in starts.get(rare or "", [])[:20]:
        around = text[max(0, place - len(sentence) - 20) : place + len(sentence) + 20]
        blocks = SequenceMatcher(a=sentence, b=around, autojunk=False).get_matching_blocks()
        best = max(best, sum(block.size for block in blocks))
    return best


if __name__ == "__main__":
    main()

"""CSV and its kin by the standard library: one line per row, under the header's names."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter

from etl_assets.documents.parsing.document import Extract, Source, TextBudget
from etl_assets.documents.parsing.tables import RowText
from etl_assets.documents.parsing.text import PageBuilder, decode
from etl_assets.errors import DataError

DELIMITERS = ",;\t|"
MAX_FIELD_CHARS = 16 * 1024 * 1024


def parse_delimited(source: Source) -> Extract:
    """One page. A line break inside a cell becomes a space, so that a row is a line.

    Raises:
        DataError: ``corrupt``, when the csv module refuses a row; ``too-large``.
    """
    text, encoding = decode(source.read(), source.charset)
    # A limit of the csv module as a whole: there is no parameter for it, and 128 kB is too little for real exports.
    csv.field_size_limit(MAX_FIELD_CHARS)
    builder = PageBuilder(TextBudget())
    rows = RowText(builder)
    delimiter = sniff_delimiter(text) or ","
    try:
        for cells in csv.reader(io.StringIO(text.replace("\x00", ""), newline=""), delimiter=delimiter):
            rows.add(cells)
    except csv.Error as e:
        raise DataError(f"is not a readable delimited file ({e})", reason="corrupt") from e
    version = ".".join(map(str, sys.version_info[:3]))
    return Extract(
        pages=[builder.page(1)], method=f"python csv {version}", encoding=encoding, facts={"delimiter": delimiter}
    )


def sniff_delimiter(text: str) -> str | None:
    """The delimiter that cuts the first 200 rows into the same number of cells, at least two; None without one."""
    sample = text[:200_000]
    best: tuple[float, int, str] | None = None
    for delimiter in DELIMITERS:
        if delimiter not in sample:
            continue
        widths = _widths(sample, delimiter)
        if not widths:
            continue
        width, count = Counter(widths).most_common(1)[0]
        share = count / len(widths)
        if width > 1 and share >= 0.7 and (best is None or (share, width) > best[:2]):
            best = (share, width, delimiter)
    return best[2] if best else None


def _widths(sample: str, delimiter: str) -> list[int]:
    widths: list[int] = []
    try:
        for cells in csv.reader(io.StringIO(sample.replace("\x00", ""), newline=""), delimiter=delimiter):
            if cells:
                widths.append(len(cells))
            if len(widths) >= 200:
                return widths
    except csv.Error:
        return []
    return widths[:-1] if len(sample) >= 200_000 else widths

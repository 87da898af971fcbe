"""XLSX by openpyxl, read-only: one page per sheet, one line per row."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.ooxml import BROKEN_ZIP, Package, file_date, open_archive
from etl_assets.documents.parsing.patience import getting_on
from etl_assets.documents.parsing.tables import RowText
from etl_assets.documents.parsing.text import PageBuilder
from etl_assets.errors import DataError

MAX_ROWS = 1_100_000
"""A sheet has at most 1,048,576 rows; a file that claims more is not one."""
MAX_CELLS = 100_000_000
"""Of all sheets, empty ones before the last of each row with them: rows that are 16,384 wide with a word at the end."""
STRETCH = 200_000
"""Cells after which a large workbook is seen to get on: they take some three seconds."""


def parse_xlsx(source: Source) -> Extract:
    """Cached values of every cell, as they were last computed; formulas without one give no text.

    Raises:
        DataError: ``corrupt`` and what ``open_archive`` raises.
    """
    import openpyxl

    with open_archive(source) as archive:
        properties = _checked_properties(Package(archive))
    try:
        with warnings.catch_warnings():
            # openpyxl warns of extensions it does not keep when saving; nothing is saved here.
            warnings.simplefilter("ignore")
            pages = _pages(source)
    except DataError:
        raise
    except (*BROKEN_ZIP, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError) as e:
        # openpyxl lets whatever its descriptors raise pass: lxml's XMLSyntaxError is a SyntaxError.
        raise DataError(f"is not a readable workbook ({type(e).__name__}: {e}); repair it", reason="corrupt") from e
    return Extract(
        pages=pages,
        method=f"openpyxl {openpyxl.__version__}",
        title=properties.get("title"),
        file_date=file_date(properties),
        source=properties.get("creator") if properties.get("creator") != "openpyxl" else None,
    )


def _checked_properties(package: Package) -> dict[str, str]:
    """Core properties, after every part that openpyxl will read was seen to be sound XML without entities."""
    main = package.main_part() or "xl/workbook.xml"
    for part in [main, *(target for _, kind, target in package.related(main) if kind in ("sharedStrings", "styles"))]:
        package.xml(part)
    return package.properties()


def _pages(source: Source) -> list[Page]:
    import openpyxl

    # An open file: openpyxl refuses a path by its ending, and originals have none.
    with source.open() as file:
        workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        budget = TextBudget()
        pages: list[Page] = []
        seen = 0
        for sheet in workbook.worksheets:
            builder = PageBuilder(budget)
            builder.add(sheet.title, level=1)
            seen = _add_rows(sheet, builder, seen)
            pages.append(builder.page(len(pages) + 1))
        return pages


def _add_rows(sheet: Any, builder: PageBuilder, seen: int) -> int:
    """Add the rows of a sheet; ``seen`` cells were in those before, and it gives those with this one."""
    # The declared dimension is often wrong, and pads every row when it is too large.
    sheet.reset_dimensions()
    rows = RowText(builder)
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        before, seen = seen, seen + len(row) + 1
        if number > MAX_ROWS or seen > MAX_CELLS:
            problem = f"sheet {sheet.title} has over {MAX_ROWS:,} rows, or all have over {MAX_CELLS:,} cells; split it"
            raise DataError(problem, reason="too-large")
        if before // STRETCH < seen // STRETCH:
            getting_on()
        if row:
            rows.add(_texts(row))
    return seen


def _texts(row: Sequence[Any]) -> list[str]:
    return ["" if value is None else _text(value) for value in row]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    isoformat = getattr(value, "isoformat", None)
    if isoformat is not None:
        return str(isoformat()).removesuffix("T00:00:00")
    return str(value)

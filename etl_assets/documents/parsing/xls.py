"""Legacy Excel workbooks (5.0 to 2003) by xlrd: one page for each sheet, one line for each row."""

from __future__ import annotations

import io
import struct
from datetime import datetime
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.compound import CompoundFile
from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.properties import summary
from etl_assets.documents.parsing.tables import RowText
from etl_assets.documents.parsing.text import PageBuilder
from etl_assets.errors import DataError

if TYPE_CHECKING:
    import xlrd


def parse_xls(source: Source) -> Extract:
    """Values of every cell as they were last computed, dates in ISO form.

    Raises:
        DataError: ``encrypted``, ``corrupt``, ``truncated``.
    """
    import xlrd

    data = source.read()
    try:
        # What xlrd says of odd files goes to a file, and not to the worker's output.
        # Ragged: a sheet that claims 65,536 rows of 256 columns for two cells has two.
        book = xlrd.open_workbook(file_contents=data, logfile=io.StringIO(), ragged_rows=True)
        pages = _pages(book)
    except xlrd.compdoc.CompDocError as e:
        raise DataError("the workbook ends in the middle; upload it again", reason="truncated") from e
    except xlrd.XLRDError as e:
        if "encrypted" in str(e).lower() or "password" in str(e).lower():
            raise DataError("needs a password to be opened; store it without one", reason="encrypted") from e
        raise DataError(f"is not a readable workbook ({e}); repair it", reason="corrupt") from e
    except (struct.error, LookupError, ValueError, AssertionError, TypeError, AttributeError) as e:
        raise DataError(f"is not a readable workbook ({type(e).__name__}: {e}); repair it", reason="corrupt") from e
    named = summary(CompoundFile(data))
    return Extract(
        pages=pages, method=f"xlrd {xlrd.__version__}", title=named.title, file_date=named.date, source=named.author
    )


def _pages(book: xlrd.Book) -> list[Page]:
    budget = TextBudget()
    pages: list[Page] = []
    for sheet in book.sheets():
        builder = PageBuilder(budget)
        builder.add(sheet.name, level=1)
        rows = RowText(builder)
        for number in range(sheet.nrows):
            rows.add([_text(cell, book.datemode) for cell in sheet.row(number)])
        pages.append(builder.page(len(pages) + 1))
    return pages


def _text(cell: xlrd.sheet.Cell, datemode: int) -> str:
    import xlrd

    value = cell.value
    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            moment: datetime = xlrd.xldate_as_datetime(value, datemode)
        except (xlrd.XLDateError, OverflowError, ValueError):
            return str(value)
        return moment.isoformat(sep=" ").removesuffix(" 00:00:00")
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return str(bool(value))
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(value, ""))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)

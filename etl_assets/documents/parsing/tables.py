"""How rows with named columns read as text: used by delimited files and sheets of every format alike."""

from __future__ import annotations

from collections.abc import Sequence

from etl_assets.documents.parsing.text import PageBuilder, one_line

MAX_GAP = 50
"""As many empty cells between two others are shown as bars; more are shown as one."""


class RowText:
    """Adds rows to a page as a table, one at a time. The first row with text is the header when it looks like one.

    Rows under a header read ``name: value | name: value``, so that a line found alone says what its values are;
    empty cells are left out. Without a header, rows read ``a | b | c``.
    """

    def __init__(self, builder: PageBuilder) -> None:
        self._builder = builder
        self._names: list[str] | None = None

    def add(self, cells: Sequence[str]) -> None:
        """Add one row; one without text leaves no trace."""
        texts = [one_line(cell) for cell in cells]
        if not any(texts):
            return
        if self._names is None:
            self._names = texts if is_header(texts) else []
            self._builder.start_table(header_rows=int(bool(self._names)))
            self._builder.add_row(_placed(texts))
        else:
            self._builder.add_row(_placed(texts), names=self._names)


def _placed(texts: Sequence[str]) -> list[tuple[int, str]]:
    """(column, text) of a row's cells, without the inner ones of a wide gap: a sheet has room for 16,384 columns."""
    kept: list[tuple[int, str]] = []
    gap: list[tuple[int, str]] = []
    for column, text in enumerate(texts):
        if not text:
            gap.append((column, text))
            continue
        kept += [*(gap if len(gap) <= MAX_GAP else gap[:1]), (column, text)]
        gap = []
    return kept


def is_header(cells: Sequence[str]) -> bool:
    """Whether a row names columns: two or more different short texts, none of them a number."""
    filled = [cell for cell in cells if cell]
    if len(filled) < 2 or len(set(filled)) < len(filled) or len(filled) * 2 < len(cells):
        return False
    return all(len(cell) <= 100 and not _is_number(cell) for cell in filled)


def _is_number(text: str) -> bool:
    return text.replace(".", "").replace(",", "").replace("-", "").replace("%", "").strip().isdigit()

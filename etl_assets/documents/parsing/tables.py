"""How rows with named columns read as text: used by delimited files and sheets alike."""

from __future__ import annotations

from collections.abc import Sequence

from etl_assets.documents.parsing.text import one_line, table_row


class RowText:
    """Turns rows into lines, one at a time. The first row with text is the header when it looks like one.

    Rows under a header read ``name: value | name: value``, so that a line found alone says what its values are;
    empty cells are left out. Without a header, rows read ``a | b | c``.
    """

    def __init__(self) -> None:
        self._names: list[str] | None = None

    def line(self, cells: Sequence[str]) -> str:
        """The line of one row; "" for a row without text."""
        texts = [one_line(cell) for cell in cells]
        if not any(texts):
            return ""
        if self._names is None:
            self._names = texts if is_header(texts) else []
            return table_row(texts)
        names = self._names
        if not names:
            return table_row(texts)
        named = [f"{names[i]}: {text}" if i < len(names) and names[i] else text for i, text in enumerate(texts) if text]
        return " | ".join(named)


def is_header(cells: Sequence[str]) -> bool:
    """Whether a row names columns: two or more different short texts, none of them a number."""
    filled = [cell for cell in cells if cell]
    if len(filled) < 2 or len(set(filled)) < len(filled) or len(filled) * 2 < len(cells):
        return False
    return all(len(cell) <= 100 and not _is_number(cell) for cell in filled)


def _is_number(text: str) -> bool:
    return text.replace(".", "").replace(",", "").replace("-", "").replace("%", "").strip().isdigit()

"""ODT, ODS and ODP: the package is a zip of XML. OASIS OpenDocument 1.3, part 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.ooxml import Package, attribute, local, open_archive
from etl_assets.documents.parsing.tables import RowText
from etl_assets.documents.parsing.text import PageBuilder, one_line
from etl_assets.errors import DataError

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_REPEATED = 1_000
"""Empty rows and cells are repeated to the sheet's end; those with text hardly ever."""
_LEFT_OUT = {
    "tracked-changes", "deletion", "forms", "annotation-end", "sequence-decls", "table-of-content-source", "desc",
    "title", "settings", "shapes", "tag",
}  # fmt: skip
_BLOCKS = {"p", "h", "list", "table"}


def parse_odf(source: Source) -> Extract:
    """A text has pages where it breaks them itself; a workbook one for each sheet, a presentation for each slide.

    Raises:
        DataError: ``encrypted`` and what ``open_archive`` raises; ``corrupt``.
    """
    from lxml import etree

    with open_archive(source) as archive:
        package = Package(archive)
        manifest = package.xml("META-INF/manifest.xml")
        if manifest is not None and next(manifest.iter("{*}encryption-data"), None) is not None:
            raise DataError("needs a password to be opened; store it without one", reason="encrypted")
        root = package.xml("content.xml")
        if root is None:
            raise DataError("the package has no content.xml; repair the file", reason="corrupt")
        meta = package.xml("meta.xml")
    pages = _Reader(root).pages()
    named = {local(e): one_line(e.text or "") for e in (meta.iter() if meta is not None else ()) if e.text}
    return Extract(
        pages=pages,
        method=f"lxml {etree.__version__}",
        title=named.get("title"),
        file_date=iso_date(named.get("date")) or iso_date(named.get("creation-date")),
        source=named.get("creator") or named.get("initial-creator"),
    )


class _Reader:
    def __init__(self, root: _Element) -> None:
        self._body = next((e for e in root.iter("{*}body")), root)
        self._breaking = set(_breaking_styles(root))
        self._budget = TextBudget()
        self._builder = PageBuilder(self._budget)
        self._done: list[Page] = []
        self._list = 0

    def pages(self) -> list[Page]:
        for part in self._body:
            if local(part) == "spreadsheet":
                for sheet in part.iter("{*}table"):
                    self._sheet(sheet)
                return self._done
            if local(part) == "presentation":
                for slide in part:
                    if local(slide) == "page":
                        self._slide(slide)
                return self._done
        self._blocks(self._body)
        self._end_page()
        return self._done

    def _end_page(self) -> None:
        self._done.append(self._builder.page(len(self._done) + 1))
        self._builder = PageBuilder(self._budget)

    def _blocks(self, container: _Element, *, group: str | None = None) -> None:
        for element in container:
            name = local(element)
            if name in ("p", "h"):
                self._paragraph(element, name, group)
            elif name == "list":
                self._list += group is None
                self._blocks(element, group=group or f"list {self._list}")
            elif name == "table":
                self._table(element)
            elif name == "notes":
                self._notes(element)
            elif name and name not in _LEFT_OUT:
                self._blocks(element, group=group)

    def _paragraph(self, element: _Element, name: str, group: str | None) -> None:
        if attribute(element, "style-name") in self._breaking and not self._builder.is_empty:
            self._end_page()
        boxes: list[_Element] = []
        text = "".join(_inline(element, boxes))
        level = attribute(element, "outline-level") or "1"
        if name == "h" and text.strip():
            self._builder.add(text, level=min(9, int(level)) if level.isdigit() else 1)
        elif text.strip():
            self._builder.add(f"- {text.strip()}" if group else text, group=group)
        for box in boxes:
            self._blocks(box)

    def _table(self, table: _Element) -> None:
        heads = [r for e in table if local(e) == "table-header-rows" for r in e if local(r) == "table-row"]
        self._builder.start_table(header_rows=len(heads))
        for row in _rows(table):
            self._builder.add_row([(column, text) for column, text in enumerate(_cells(row))])
        self._builder.end_table()

    def _sheet(self, sheet: _Element) -> None:
        self._builder.add(attribute(sheet, "name") or "", level=1)
        rows = RowText(self._builder)
        for row in _rows(sheet):
            cells = list(_cells(row))
            for _ in range(_repeated(row, "number-rows-repeated") if any(cells) else 1):
                rows.add(cells)
        self._end_page()

    def _slide(self, slide: _Element) -> None:
        frames = [e for e in slide if local(e) not in ("notes", "forms")]
        for frame in sorted(frames, key=lambda e: attribute(e, "class") != "title"):
            if attribute(frame, "class") == "title":
                self._builder.add(" ".join("".join(_inline(p, [])) for p in frame.iter("{*}p")), level=1)
            else:
                self._blocks(frame)
        for notes in slide:
            if local(notes) == "notes":
                self._notes(notes)
        self._end_page()

    def _notes(self, notes: _Element) -> None:
        text = "\n".join("".join(_inline(p, [])) for p in notes.iter("{*}p")).strip()
        if text:
            self._builder.add(f"Notes: {text}")


def _inline(element: _Element, boxes: list[_Element]) -> Iterator[str]:
    """Text of a paragraph. Notes and comments stand in brackets; text boxes are put into ``boxes``."""
    yield element.text or ""
    for child in element:
        name = local(child)
        if name == "s":
            count = attribute(child, "c") or "1"
            yield " " * min(int(count) if count.isdigit() else 1, 100)
        elif name == "tab":
            yield " "
        elif name == "line-break":
            yield "\n"
        elif name in ("text-box", "table"):
            boxes.append(child)
        elif name == "note":
            body = next(child.iter("{*}note-body"), None)
            yield f" [{one_line(' '.join(body.itertext()))}]" if body is not None else ""
        elif name == "annotation":
            yield f" [comment: {one_line(' '.join(''.join(p.itertext()) for p in child.iter('{*}p')))}]"
        elif name and name not in _LEFT_OUT:
            yield from _inline(child, boxes)
        yield child.tail or ""


def _rows(table: _Element) -> Iterator[_Element]:
    for element in table:
        if local(element) == "table-row":
            yield element
        elif local(element) in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _rows(element)


def _cells(row: _Element) -> Iterator[str]:
    empty = 0
    for cell in row:
        if local(cell) not in ("table-cell", "covered-table-cell"):
            continue
        boxes: list[_Element] = []
        text = one_line(" ".join("".join(_inline(p, boxes)) for p in cell.iter("{*}p", "{*}h")))
        count = _repeated(cell, "number-columns-repeated")
        if not text:
            empty += count
            continue
        yield from [""] * min(empty, MAX_REPEATED)
        yield from [text] * count
        empty = 0


def _repeated(element: _Element, name: str) -> int:
    count = attribute(element, name) or "1"
    return min(int(count), MAX_REPEATED) if count.isdigit() else 1


def _breaking_styles(root: _Element) -> Iterator[str]:
    """Names of paragraph styles that begin a new page."""
    for style in root.iter("{*}style"):
        for properties in style.iter("{*}paragraph-properties"):
            if attribute(properties, "break-before") == "page":
                yield attribute(style, "name") or ""

"""DOCX: body, tables, text boxes, headers, footers, footnotes, endnotes, comments. ECMA-376 part 1, section 17."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.ooxml import Package, attribute, file_date, local, open_archive
from etl_assets.documents.parsing.text import PageBuilder, table_row
from etl_assets.errors import DataError

if TYPE_CHECKING:
    from lxml.etree import _Element

_PAGE = "\x0c"
_HEADING_NAME = re.compile(r"heading ?([1-9])", re.IGNORECASE)
_NOTES = {"footnotes": "footnote", "endnotes": "endnote", "comments": "comment"}
_HIDDEN = {"delText", "instrText", "Fallback", "rPr", "pPr", "del", "moveFrom", "delInstrText"}


def parse_docx(source: Source) -> Extract:
    """Pages end at explicit page breaks and section breaks to a new page; without any there is one page.

    Footnotes and comments stand at the end of the page that refers to them, headers at the start of the first page,
    footers at the end of the last, each text once. Deleted text of tracked changes is left out.
    """
    with open_archive(source) as archive:
        package = Package(archive)
        main = package.main_part() or "word/document.xml"
        root = package.xml(main)
        if root is None:
            raise DataError("the Word file has no main part; repair the file", reason="corrupt")
        reader = _Reader(package, main)
        pages = reader.pages(root)
        properties = package.properties()
    from lxml import etree

    return Extract(
        pages=pages,
        method=f"lxml {etree.__version__}",
        title=properties.get("title") or reader.title,
        file_date=file_date(properties),
        source=properties.get("creator"),
    )


class _Reader:
    def __init__(self, package: Package, main: str) -> None:
        self._package = package
        related = list(package.related(main))
        self._parts = {kind: target for _, kind, target in related}
        self._margins = [(kind, target) for _, kind, target in related if kind in ("header", "footer")]
        self._diagrams = [target for _, kind, target in related if kind == "diagramData"]
        self._levels = _style_levels(package.xml(self._parts.get("styles", "")))
        self._notes = {name: self._note_texts(name) for name in _NOTES}
        self._budget = TextBudget()
        self._pages: list[Page] = []
        self._builder = PageBuilder(self._budget)
        self._pending: list[str] = []
        self.title: str | None = None

    def pages(self, root: _Element) -> list[Page]:
        for text in self._margin_texts("header"):
            self._builder.add(text)
        body = next((e for e in root if local(e) == "body"), root)
        self._blocks(body)
        for part in self._diagrams:
            drawing = self._package.xml(part)
            for paragraph in drawing.iter("{*}p") if drawing is not None else ():
                self._builder.add("".join(t.text or "" for t in paragraph.iter("{*}t")))
        self._end_notes()
        for text in self._margin_texts("footer"):
            self._builder.add(text)
        self._pages.append(self._builder.page(len(self._pages) + 1))
        return self._pages

    def _blocks(self, container: _Element) -> None:
        for element in container:
            name = local(element)
            if name == "p":
                self._paragraph(element)
            elif name == "tbl":
                self._rows(element)
            elif name == "AlternateContent":
                self._blocks(_choice(element))
            elif name not in _HIDDEN and name not in ("sectPr", "tblPr", "sdtPr"):
                self._blocks(element)

    def _paragraph(self, paragraph: _Element) -> None:
        properties = next((e for e in paragraph if local(e) == "pPr"), None)
        level, is_item, breaks_before, breaks_after = self._paragraph_kind(properties)
        if breaks_before:
            self._break_page()
        boxes: list[_Element] = []
        text = "".join(self._runs(paragraph, boxes))
        for number, part in enumerate(text.split(_PAGE)):
            if number:
                self._break_page()
            if level == 1 and self.title is None and part.strip():
                self.title = part.strip()
            is_item = is_item and bool(part.strip())
            self._builder.add(f"- {part.strip()}" if is_item else part, level=level, group="list" if is_item else None)
        for box in boxes:
            self._blocks(box)
        if breaks_after:
            self._break_page()

    def _paragraph_kind(self, properties: _Element | None) -> tuple[int, bool, bool, bool]:
        """(heading level or 0, list item?, page break before?, section break to a new page after?)."""
        level, is_item, before, after = 0, False, False, False
        for element in properties if properties is not None else ():
            name, value = local(element), attribute(element, "val")
            if name == "pStyle":
                level = level or self._levels.get(value or "", 0)
            elif name == "outlineLvl" and (value or "").isdigit() and int(value or 9) < 9:
                level = int(value or 0) + 1
            elif name == "numPr":
                is_item = True
            elif name == "pageBreakBefore":
                before = value not in ("0", "false", "off")
            elif name == "sectPr":
                kind = next((attribute(e, "val") for e in element if local(e) == "type"), None)
                after = kind not in ("continuous", "nextColumn")
        return level, is_item and not level, before, after

    def _runs(self, element: _Element, boxes: list[_Element]) -> Iterator[str]:
        """Text of a paragraph; its text boxes are put into ``boxes`` and not given."""
        for child in element:
            name = local(child)
            if name == "t":
                yield child.text or ""
            elif name in ("br", "cr"):
                yield _PAGE if attribute(child, "type") == "page" else "\n"
            elif name in ("tab", "ptab"):
                yield " "
            elif name == "noBreakHyphen":
                yield "-"
            elif name in ("footnoteReference", "endnoteReference", "commentReference"):
                yield from self._note_mark(name.removesuffix("Reference"), attribute(child, "id") or "")
            elif name == "txbxContent":
                boxes.append(child)
            elif name == "AlternateContent":
                yield from self._runs(_choice(child), boxes)
            elif name not in _HIDDEN:
                yield from self._runs(child, boxes)

    def _note_mark(self, kind: str, number: str) -> Iterator[str]:
        text = self._notes[f"{kind}s"].get(number)
        if text:
            mark = f"[{number}]" if kind != "comment" else ""
            self._pending.append(f"[{kind} {number}] {text}" if kind == "comment" else f"{mark} {text}")
            yield mark

    def _rows(self, table: _Element) -> None:
        self._builder.start_table(header_rows=int(_has_header_row(table)))
        for row in table.iter("{*}tr"):
            if _nearest(row, "tbl") is table:
                cells = [c for c in row.iter("{*}tc") if _nearest(c, "tr") is row]
                self._builder.add_row(list(zip(_columns(cells), map(self._cell, cells), strict=True)))
        self._builder.end_table()

    def _cell(self, cell: _Element) -> str:
        boxes: list[_Element] = []
        texts = ["".join(self._runs(p, boxes)) for p in cell.iter("{*}p") if not _inside(p, "txbxContent", cell)]
        texts += ["".join(self._runs(p, [])) for box in boxes for p in box.iter("{*}p")]
        return " ".join(texts)

    def _break_page(self) -> None:
        if self._builder.is_empty and not self._pages:
            return
        self._end_notes()
        self._pages.append(self._builder.page(len(self._pages) + 1))
        self._builder = PageBuilder(self._budget)

    def _end_notes(self) -> None:
        for note in self._pending:
            self._builder.add(note, group="notes")
        self._pending = []

    def _note_texts(self, kind: str) -> dict[str, str]:
        root = self._package.xml(self._parts.get(kind, ""))
        found: dict[str, str] = {}
        for note in root if root is not None else ():
            if attribute(note, "type") not in ("separator", "continuationSeparator", "continuationNotice"):
                found[attribute(note, "id") or ""] = table_row([_plain(note)])
        return found

    def _margin_texts(self, kind: str) -> list[str]:
        texts: dict[str, None] = {}
        for name, target in self._margins:
            root = self._package.xml(target) if name == kind else None
            if root is not None:
                texts[table_row([_plain(root)])] = None
        return [text for text in texts if text]


def _has_header_row(table: _Element) -> bool:
    """Whether the table's first row is marked to be repeated on every page (17.4.78)."""
    row = next((r for r in table.iter("{*}tr") if _nearest(r, "tbl") is table), None)
    properties = next((e for e in row if local(e) == "trPr"), None) if row is not None else None
    return properties is not None and any(
        local(e) == "tblHeader" and attribute(e, "val") not in ("0", "false", "off") for e in properties
    )


def _columns(cells: list[_Element]) -> Iterator[int]:
    """The column in which each cell of a row begins: one may span several (17.4.17)."""
    column = 0
    for cell in cells:
        yield column
        spans = [attribute(e, "val") or "" for p in cell if local(p) == "tcPr" for e in p if local(e) == "gridSpan"]
        column += int(spans[0]) if spans and spans[0].isdigit() else 1


def _plain(element: _Element) -> str:
    """All visible text under ``element``, one space between paragraphs."""
    pieces: list[str] = []
    for e in element.iter():
        name = local(e)
        if name == "t" and not _inside(e, "Fallback", element):
            pieces.append(e.text or "")
        elif name in ("p", "tab", "br"):
            pieces.append(" ")
    return "".join(pieces)


def _choice(alternatives: _Element) -> _Element:
    """The first choice of mc:AlternateContent, whose fallback says the same again for older readers."""
    return next((e for e in alternatives if local(e) in ("Choice", "Fallback")), alternatives)


def _nearest(element: _Element, name: str) -> _Element | None:
    return next((e for e in element.iterancestors() if local(e) == name), None)


def _inside(element: _Element, name: str, top: _Element) -> bool:
    for ancestor in element.iterancestors():
        if ancestor is top:
            return False
        if local(ancestor) == name:
            return True
    return False


def _style_levels(styles: _Element | None) -> dict[str, int]:
    """Style id -> heading level: by outline level, by the names ``heading 1`` and ``Title``, or by the parent style."""
    levels: dict[str, int] = {}
    parents: dict[str, str] = {}
    for style in styles if styles is not None else ():
        identity = attribute(style, "styleId")
        if local(style) != "style" or identity is None:
            continue
        for element in style:
            name, value = local(element), attribute(element, "val") or ""
            if name == "basedOn":
                parents[identity] = value
            elif name == "name" and (match := _HEADING_NAME.fullmatch(value)):
                levels[identity] = int(match.group(1))
            elif name == "name" and value.lower() == "title":
                levels[identity] = 1
            elif name == "pPr":
                outline = next((attribute(e, "val") for e in element if local(e) == "outlineLvl"), None)
                if outline is not None and outline.isdigit() and int(outline) < 9:
                    levels.setdefault(identity, int(outline) + 1)
    for identity in parents:
        ancestor, steps = identity, 0
        while ancestor not in levels and ancestor in parents and steps < 20:
            ancestor, steps = parents[ancestor], steps + 1
        if ancestor in levels:
            levels.setdefault(identity, levels[ancestor])
    return levels

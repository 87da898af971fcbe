"""PPTX: one page per slide, with tables, diagrams, chart words and speaker notes. ECMA-376 part 1, section 19."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.document import MAX_OUTLINE, Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.ooxml import Package, attribute, file_date, local, open_archive
from etl_assets.documents.parsing.text import PageBuilder, table_row
from etl_assets.errors import DataError

if TYPE_CHECKING:
    from lxml.etree import _Element

_MARGINAL = {"sldNum", "dt", "ftr", "hdr", "sldImg"}
"""Placeholders of slide numbers, dates and the notes' picture of the slide: they say nothing about the content."""


def parse_pptx(source: Source) -> Extract:
    """Slides in the order they are shown, hidden ones too; the title placeholder is a heading of level 1.

    One whose part is missing is a page without text, and in ``warnings``.
    """
    with open_archive(source) as archive:
        package = Package(archive)
        main = package.main_part() or "ppt/presentation.xml"
        root = package.xml(main)
        if root is None:
            raise DataError("the presentation has no main part; repair the file", reason="corrupt")
        targets = {identity: target for identity, _, target in package.related(main)}
        order = [_relationship_id(e) for e in root.iter("{*}sldId")]
        budget = TextBudget()
        parts = [targets.get(identity, "") for identity in order]
        missing = [number for number, part in enumerate(parts, 1) if not package.holds(part)]
        pages = [_slide(package, part, number, budget) for number, part in enumerate(parts, 1)]
        properties = package.properties()
    from lxml import etree

    return Extract(
        pages=pages,
        method=f"lxml {etree.__version__}",
        title=properties.get("title") if properties.get("title") != "PowerPoint Presentation" else None,
        file_date=file_date(properties),
        source=properties.get("creator"),
        facts={"warnings": [f"slide {number} is not in the file" for number in missing[:MAX_OUTLINE]]}
        if missing
        else {},
    )


def _relationship_id(element: _Element) -> str:
    """The relationship id of a slide: ``r:id``, beside a plain ``id`` that is something else."""
    return next((str(v) for k, v in element.attrib.items() if str(k).endswith("}id")), "")


def _slide(package: Package, part: str, number: int, budget: TextBudget) -> Page:
    builder = PageBuilder(budget)
    root = package.xml(part)
    if root is not None:
        _shapes(root, builder)
    for _, kind, target in package.related(part):
        if kind in ("diagramData", "chart"):
            drawing = package.xml(target)
            for line in _drawing_lines(drawing) if drawing is not None else ():
                builder.add(line, group=target)
        elif kind == "notesSlide":
            _notes(package, target, builder)
    return builder.page(number)


def _shapes(root: _Element, builder: PageBuilder) -> None:
    """Text bodies and tables; the title first, since slides are often drawn in another order than they are read."""
    shapes = [e for e in root.iter("{*}sp", "{*}tbl") if not _is_fallback(e)]
    for number, shape in enumerate(sorted(shapes, key=lambda e: _placeholder(e) not in ("title", "ctrTitle"))):
        if local(shape) == "tbl":
            builder.start_table(header_rows=int(_has_header_row(shape)))
            for row in shape.iter("{*}tr"):
                builder.add_row(list(enumerate(" ".join(_paragraphs(cell)) for cell in row.iter("{*}tc"))))
            builder.end_table()
        elif _placeholder(shape) in ("title", "ctrTitle"):
            builder.add(" ".join(_paragraphs(shape)), level=1)
        elif _placeholder(shape) not in _MARGINAL:
            for paragraph in _paragraphs(shape):
                builder.add(paragraph, group=f"shape {number}")


def _has_header_row(table: _Element) -> bool:
    """Whether the first row is set as the head of the table (21.1.3.15)."""
    properties = next(table.iter("{*}tblPr"), None)
    return properties is not None and attribute(properties, "firstRow") in ("1", "true", "on")


def _notes(package: Package, part: str, builder: PageBuilder) -> None:
    root = package.xml(part)
    lines = [
        paragraph
        for shape in (root.iter("{*}sp") if root is not None else ())
        if _placeholder(shape) not in _MARGINAL
        for paragraph in _paragraphs(shape)
    ]
    if any(line.strip() for line in lines):
        builder.add("Notes: " + "\n".join(lines).strip())


def _paragraphs(shape: _Element) -> Iterator[str]:
    for paragraph in shape.iter("{*}p"):
        pieces = []
        for element in paragraph.iter("{*}t", "{*}br", "{*}tab"):
            pieces.append((element.text or "") if local(element) == "t" else " ")
        yield "".join(pieces)


def _placeholder(shape: _Element) -> str:
    holder = next(shape.iter("{*}ph"), None)
    return (attribute(holder, "type") or "body") if holder is not None else ""


def _is_fallback(element: _Element) -> bool:
    return any(local(e) == "Fallback" for e in element.iterancestors())


def _drawing_lines(root: _Element) -> Iterator[str]:
    """Words of a diagram or chart: paragraphs, and the cached names of series and categories; numbers are left out."""
    for paragraph in root.iter("{*}p"):
        yield "".join(t.text or "" for t in paragraph.iter("{*}t"))
    for cache in root.iter("{*}strCache"):
        yield table_row([v.text or "" for v in cache.iter("{*}v")])

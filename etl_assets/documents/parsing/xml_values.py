"""XML that is no web page: feeds, reports, articles, drawings. What elements and attributes say, a line each.

Nothing outside the file is read and no entity is expanded: a file that declares some of its own is refused.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Extract, Source, TextBudget
from etl_assets.documents.parsing.ooxml import local
from etl_assets.documents.parsing.text import PageBuilder, one_line
from etl_assets.errors import DataError

if TYPE_CHECKING:
    from lxml.etree import _Element

_TITLES = ("title", "documenttitle", "name")
_DATES = ("currentreleasedate", "updated", "lastbuilddate", "pubdate", "published", "modified", "date")
_SOURCES = ("creator", "author", "publisher", "issuer", "source")
_DRAWING = "svg"
"""Its attributes are coordinates."""
_TOO_DEEP = "excessive depth"
_FACT_ELEMENTS = 1_000
"""Title, date and source are told at the beginning."""


def parse_xml(source: Source) -> Extract:
    """One page. An element that holds text alone reads ``name: text``, one with text around others as running text.

    Attributes stand before, ``name attribute: value``. Comments are left out.

    Raises:
        DataError: ``truncated``, ``corrupt`` or ``nesting``; ``corrupt`` too where entities are declared.
    """
    from lxml import etree

    root = _root(source.read())
    builder = PageBuilder(TextBudget())
    _Writer(builder, with_attributes=local(root).lower() != _DRAWING).add(root)
    named = _named(root)
    return Extract(
        pages=[builder.page(1)],
        method=f"lxml {etree.__version__}",
        title=next((named[name] for name in _TITLES if name in named), None),
        date=next((found for name in _DATES if (found := iso_date(named.get(name)))), None),
        source=next((named[name] for name in _SOURCES if name in named), None),
    )


def _root(data: bytes) -> _Element:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(data.strip(), parser)
    except etree.XMLSyntaxError as e:
        said = str(e)
        is_cut = "Premature end" in said or "EndTag: '</' not found" in said
        reason = "nesting" if _TOO_DEEP in said.lower() else "truncated" if is_cut else "corrupt"
        raise DataError(f"is not sound XML ({said}); repair the file", reason=reason) from e
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise DataError("declares entities, which are not expanded; store it with their text", reason="corrupt")
    return root


class _Writer:
    """Adds what elements say. Their depth is bounded by the parser, at 256."""

    def __init__(self, builder: PageBuilder, *, with_attributes: bool) -> None:
        self._builder, self._with_attributes = builder, with_attributes
        self._group = 0

    def add(self, element: _Element, group: str = "") -> None:
        name = local(element)
        for key, value in element.attrib.items() if self._with_attributes else ():
            if str(value).strip():
                self._builder.add(f"{name} {str(key).rsplit('}', 1)[-1]}: {one_line(str(value))}", group=group)
        if _is_mixed(element):
            is_leaf = not any(local(child) for child in element)
            text = one_line("".join(_texts(element)))
            self._builder.add(f"{name}: {text}" if is_leaf else text, group=group if is_leaf else None)
            return
        self._group += 1
        inner = str(self._group)
        for child in element:
            self.add(child, inner)


def _texts(element: _Element) -> Iterator[str]:
    """All text within; what is named by an entity of XHTML as the character that it is."""
    yield element.text or ""
    for child in element:
        if local(child):
            yield from _texts(child)
        else:
            yield html.unescape(child.text or "")
        yield child.tail or ""


def _is_mixed(element: _Element) -> bool:
    """Whether text stands right in the element, and not in others within it alone."""
    inner = ((child.tail or "") + ("" if local(child) else child.text or "") for child in element)
    return bool((element.text or "").strip()) or any(text.strip() for text in inner)


def _named(root: _Element) -> dict[str, str]:
    """The first text of each element that says what the document is, by its name in lower case."""
    wanted = {*_TITLES, *_DATES, *_SOURCES}
    found: dict[str, str] = {}
    for number, element in enumerate(root.iter()):
        if number > _FACT_ELEMENTS:
            break
        name = local(element).lower()
        if name in wanted and element.text and element.text.strip():
            found.setdefault(name, one_line(element.text))
    return found

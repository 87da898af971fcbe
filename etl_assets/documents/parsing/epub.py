"""EPUB: a zip of XHTML in an order. EPUB 3.3 (W3C), sections 4 and 5; EPUB 2 reads alike."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import MAX_OUTLINE, Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.html import declared_charset, html_page
from etl_assets.documents.parsing.ooxml import Package, attribute, local, open_archive
from etl_assets.documents.parsing.text import decode, one_line
from etl_assets.errors import DataError

if TYPE_CHECKING:
    from lxml.etree import _Element

_FONT_ALGORITHMS = re.compile(r"obfuscation|ns\.adobe\.com/pdf/enc#RC", re.IGNORECASE)


def parse_epub(source: Source) -> Extract:
    """A page for every document of the spine that has text, in reading order; ``warnings`` name what is missing.

    Raises:
        DataError: ``encrypted``, when its texts are under rights management; ``corrupt``; what ``open_archive`` raises.
    """
    import selectolax

    with open_archive(source) as archive:
        package = Package(archive)
        _refuse_encrypted(package)
        container = package.xml("META-INF/container.xml")
        roots = [attribute(e, "full-path") for e in (container.iter("{*}rootfile") if container is not None else ())]
        main = roots[0] if roots else None
        root = package.xml(main) if main else None
        if main is None or root is None:
            raise DataError("the book has no package document; repair the file", reason="corrupt")
        missing: list[str] = []
        pages = _pages(package, root, posixpath.dirname(main), missing)
    named = _metadata(root)
    return Extract(
        pages=pages,
        method=f"selectolax {selectolax.__version__}",
        title=named.get("title"),
        file_date=iso_date(named.get("date")),
        source=named.get("creator"),
        facts={"warnings": [f"{one_line(name)} is not in the file" for name in missing[:MAX_OUTLINE]]}
        if missing
        else {},
    )


def _refuse_encrypted(package: Package) -> None:
    root = package.xml("META-INF/encryption.xml")
    methods = [attribute(e, "Algorithm") or "" for e in (root.iter("{*}EncryptionMethod") if root is not None else ())]
    if any(not _FONT_ALGORITHMS.search(method) for method in methods):
        raise DataError("its texts are under rights management; store it without", reason="encrypted")


def _pages(package: Package, root: _Element, folder: str, missing: list[str]) -> list[Page]:
    """The pages; what the book names and does not hold is added to ``missing``."""
    from selectolax.lexbor import LexborHTMLParser

    targets = {attribute(e, "id"): attribute(e, "href") or "" for e in root.iter("{*}item")}
    budget = TextBudget()
    pages: list[Page] = []
    for reference in root.iter("{*}itemref"):
        target = posixpath.normpath(posixpath.join(folder, unquote(targets.get(attribute(reference, "idref")) or "")))
        if target.lower().endswith((".svg", ".jpg", ".png")):
            continue
        data = package.read(target)
        if data is None:
            missing.append(target)
            continue
        tree = LexborHTMLParser(decode(data, declared_charset(data))[0])
        page = html_page(tree, len(pages) + 1, budget)
        if page.text:
            pages.append(page)
    return pages


def _metadata(root: _Element) -> dict[str, str]:
    """The first title, creator and date."""
    named: dict[str, str] = {}
    for element in root.iter():
        if local(element) in ("title", "creator", "date") and element.text and element.text.strip():
            named.setdefault(local(element), one_line(element.text))
    return named

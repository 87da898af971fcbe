"""PDF by PDFium: text, outline and properties. Paragraphs and headings are worked out in ``pdf_layout``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import MAX_FACT_CHARS, MAX_OUTLINE, Extract, Source
from etl_assets.documents.parsing.pdf_flow import flow
from etl_assets.documents.parsing.pdf_hyphens import resolve_hyphens
from etl_assets.documents.parsing.pdf_layout import lay_out
from etl_assets.documents.parsing.pdf_pages import PageNotes, read_pages
from etl_assets.documents.parsing.text import one_line
from etl_assets.errors import DataError
from etl_assets.stages.spec import Json

if TYPE_CHECKING:
    import pypdfium2 as pdfium

MAX_PAGES = 100_000
_FILE_NAMES = (".doc", ".docx", ".indd", ".pdf", ".ppt", ".pptx", ".rtf", ".dvi", ".tex", ".qxd", ".graffle")
_PASSWORD_ERRORS = (4, 5)  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY (an unknown security handler)


def parse_pdf(source: Source) -> Extract:
    """Text of every page, in content order. A page that PDFium cannot load is listed in ``unreadable_pages``.

    Raises:
        DataError: ``encrypted``, ``truncated``, ``corrupt`` or ``too-large``.
    """
    import pypdfium2 as pdfium

    document = _open(source)
    try:
        count = len(document)
        if count > MAX_PAGES:
            raise DataError(f"claims {count:,} pages; at most {MAX_PAGES:,} are read", reason="too-large")
        notes = PageNotes()
        read = list(flow(read_pages(document, count, notes)))
        if not any(lines is not None for lines in read):
            raise DataError("no page of the PDF can be loaded; repair the file", reason="corrupt")
        outline = _outline(document)
        properties = document.get_metadata_dict()
    finally:
        document.close()
    pages = lay_out(resolve_hyphens([lines or [] for lines in read]), outline)
    return Extract(
        pages=pages,
        method=" and ".join([f"pypdfium2 {pdfium.PYPDFIUM_INFO.version}", *notes.readers]),
        title=_title(properties),
        file_date=iso_date(properties.get("CreationDate")) or iso_date(properties.get("ModDate")),
        source=one_line(properties.get("Author", "")) or None,
        outline=outline,
        facts=notes.facts(),
    )


def _open(source: Source) -> pdfium.PdfDocument:
    import pypdfium2 as pdfium

    try:
        return pdfium.PdfDocument(source.path if source.path is not None else source.read())
    except pdfium.PdfiumError as e:
        if e.err_code in _PASSWORD_ERRORS:
            raise DataError("needs a password to be opened; store it without one", reason="encrypted") from e
        if b"%%EOF" not in source.tail(2048) and b"startxref" not in source.tail(2048):
            raise DataError("the PDF ends in the middle; upload it again", reason="truncated") from e
        raise DataError(f"is not a readable PDF ({e}); repair the file", reason="corrupt") from e


def _outline(document: pdfium.PdfDocument) -> list[Mapping[str, Json]]:
    entries: list[Mapping[str, Json]] = []
    for bookmark in itertools.islice(document.get_toc(), MAX_OUTLINE):
        destination = bookmark.get_dest()
        page = destination.get_index() if destination is not None else None
        title = one_line(bookmark.get_title())
        if title:
            number = None if page is None else page + 1
            entries.append({"level": bookmark.level + 1, "title": title[:MAX_FACT_CHARS], "page": number})
    return entries


def _title(properties: Mapping[str, str]) -> str | None:
    """The title, unless it is what a program put there by itself: a file's name or a placeholder."""
    title = one_line(properties.get("Title", "")).removeprefix("Microsoft Word - ")
    is_placeholder = title.lower() in ("untitled", "untitled document", "none", "title", "powerpoint presentation")
    return title if len(title) > 2 and not is_placeholder and not title.lower().endswith(_FILE_NAMES) else None

"""PDF by PDFium: text, outline and properties. Paragraphs and headings are worked out in ``pdf_layout``."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import MAX_FACT_CHARS, MAX_OUTLINE, Extract, Source, TextBudget
from etl_assets.documents.parsing.pdf_layout import Line, lay_out, resolve_hyphens
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
        read: list[list[Line] | None] = []
        budget = TextBudget()
        for index in range(count):
            lines = _page_lines(document, index)
            budget.spend(sum(len(line.text) for line in lines or ()))
            read.append(lines)
        if not any(lines is not None for lines in read):
            raise DataError("no page of the PDF can be loaded; repair the file", reason="corrupt")
        outline = _outline(document)
        properties = document.get_metadata_dict()
    finally:
        document.close()
    unreadable = [number for number, lines in enumerate(read, 1) if lines is None]
    pages = lay_out(resolve_hyphens([lines or [] for lines in read]), outline)
    return Extract(
        pages=pages,
        method=f"pypdfium2 {pdfium.PYPDFIUM_INFO.version}",
        title=_title(properties),
        file_date=iso_date(properties.get("CreationDate")) or iso_date(properties.get("ModDate")),
        source=one_line(properties.get("Author", "")) or None,
        outline=outline,
        facts={"unreadable_pages": unreadable[:MAX_OUTLINE]} if unreadable else {},
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


def _page_lines(document: pdfium.PdfDocument, index: int) -> list[Line] | None:
    import pypdfium2 as pdfium

    try:
        page = document[index]
    except pdfium.PdfiumError:
        return None
    try:
        textpage = page.get_textpage()
        try:
            return [*_lines(textpage), *_field_lines(page)]
        finally:
            textpage.close()
    except pdfium.PdfiumError:
        return None
    finally:
        page.close()


def _lines(textpage: pdfium.PdfTextPage) -> Iterator[Line]:
    """Lines as PDFium breaks them, each with the box of its first character, in points from the page's bottom."""
    import pypdfium2.raw as raw

    text = textpage.get_text_range()
    is_exact = textpage.count_chars() == len(text)
    box = raw.FS_RECTF()
    start = 0
    for line in text.split("\r\n"):
        lead = len(line) - len(line.lstrip())
        body = line.strip()
        if body:
            at = start + lead
            char = at if is_exact else raw.FPDFText_GetCharIndexFromTextIndex(textpage, _utf16_index(text, at))
            known = char >= 0 and raw.FPDFText_GetLooseCharBox(textpage, char, ctypes.byref(box))
            yield Line(body, box.top - box.bottom, box.bottom) if known else Line(body, 0.0, 0.0)
        start += len(line) + 2


def _utf16_index(text: str, index: int) -> int:
    return len(text[:index].encode("utf-16-le", "surrogatepass")) // 2


def _field_lines(page: pdfium.PdfPage) -> Iterator[Line]:
    """What people typed: values of form fields and free-text notes, which are not part of a page's own text."""
    import pypdfium2.raw as raw

    for index in range(min(raw.FPDFPage_GetAnnotCount(page), 10_000)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        key = {raw.FPDF_ANNOT_WIDGET: b"V", raw.FPDF_ANNOT_FREETEXT: b"Contents"}.get(kind)
        if key is not None:
            for line in _annotation_string(annotation, key).splitlines():
                if line.strip():
                    yield Line(line.strip(), 0.0, 0.0)
        raw.FPDFPage_CloseAnnot(annotation)


def _annotation_string(annotation: object, key: bytes) -> str:
    import pypdfium2.raw as raw

    size = raw.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    raw.FPDFAnnot_GetStringValue(annotation, key, ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "ignore")


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

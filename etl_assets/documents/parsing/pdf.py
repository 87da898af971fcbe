"""PDF by PDFium: text, outline and properties. Paragraphs and headings are worked out in ``pdf_layout``."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import MAX_FACT_CHARS, MAX_OUTLINE, Extract, Source, TextBudget
from etl_assets.documents.parsing.pdf_flow import PageWords, flow
from etl_assets.documents.parsing.pdf_layout import lay_out, resolve_hyphens
from etl_assets.documents.parsing.pdf_marks import marks_of
from etl_assets.documents.parsing.pdf_text import PageText, page_text, upright
from etl_assets.documents.parsing.text import one_line
from etl_assets.errors import DataError
from etl_assets.stages.spec import Json

if TYPE_CHECKING:
    import pypdfium2 as pdfium

MAX_PAGES = 100_000
MAX_HIDDEN = 20
MAX_HIDDEN_CHARS = 200
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
        gathered = _Gathered()
        read = list(flow(_pages(document, count, gathered)))
        if not any(lines is not None for lines in read):
            raise DataError("no page of the PDF can be loaded; repair the file", reason="corrupt")
        outline = _outline(document)
        properties = document.get_metadata_dict()
    finally:
        document.close()
    pages = lay_out(resolve_hyphens([lines or [] for lines in read]), outline)
    return Extract(
        pages=pages,
        method=f"pypdfium2 {pdfium.PYPDFIUM_INFO.version}",
        title=_title(properties),
        file_date=iso_date(properties.get("CreationDate")) or iso_date(properties.get("ModDate")),
        source=one_line(properties.get("Author", "")) or None,
        outline=outline,
        facts=_facts(gathered),
    )


def _facts(gathered: _Gathered) -> dict[str, Json]:
    facts: dict[str, Json] = {}
    if gathered.unreadable:
        facts["unreadable_pages"] = gathered.unreadable[:MAX_OUTLINE]
    if gathered.hidden:
        facts["hidden_chars"] = gathered.hidden_chars
        facts["hidden_text"] = gathered.hidden
    return facts


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


@dataclass(slots=True)
class _Gathered:
    """What is noted while pages are read."""

    unreadable: list[int] = field(default_factory=list)
    hidden: list[Mapping[str, Json]] = field(default_factory=list)
    hidden_chars: int = 0


def _pages(document: pdfium.PdfDocument, count: int, gathered: _Gathered) -> Iterator[PageWords | None]:
    budget = TextBudget()
    for index in range(count):
        page = _page_words(document, index, gathered)
        if page is None:
            gathered.unreadable.append(index + 1)
        else:
            budget.spend(sum(len(word.text) for line in page.lines for word in line))
        yield page


def _page_words(document: pdfium.PdfDocument, index: int, gathered: _Gathered) -> PageWords | None:
    import pypdfium2 as pdfium

    try:
        page = document[index]
    except pdfium.PdfiumError:
        return None
    try:
        textpage = page.get_textpage()
        try:
            marks = marks_of(page)
            read = page_text(textpage, marks)
            _note_hidden(read, index + 1, gathered)
            low, high = _edges(page, read.angle)
            return PageWords(read.lines, marks.rules, read.angle, low, high, list(_field_lines(page)))
        finally:
            textpage.close()
    except pdfium.PdfiumError:
        return None
    finally:
        page.close()


def _edges(page: pdfium.PdfPage, angle: int) -> tuple[float, float]:
    """The page's lower and upper edge, as its writing stands."""
    left, bottom, right, top = page.get_bbox()
    _, low, _, high = upright((left, bottom, right, top), angle)
    return low, high


def _note_hidden(read: PageText, number: int, gathered: _Gathered) -> None:
    """Text that no reader sees is told in the facts, shortened, and is no part of the page: see decision 020."""
    for why in sorted({hidden.why for hidden in read.hidden}):
        words = " ".join(hidden.text for hidden in read.hidden if hidden.why == why).replace("\ufffe", "")
        gathered.hidden_chars += len(words)
        if len(gathered.hidden) < MAX_HIDDEN:
            gathered.hidden.append({"page": number, "why": why, "text": one_line(words)[:MAX_HIDDEN_CHARS]})


def _field_lines(page: pdfium.PdfPage) -> Iterator[str]:
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
                    yield line.strip()
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

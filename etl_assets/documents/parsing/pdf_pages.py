"""Pages of a PDF as words: of its text layer, or read from its picture where that says nothing; with notes on both."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.documents.parsing import ocr
from etl_assets.documents.parsing.document import MAX_OUTLINE, TextBudget
from etl_assets.documents.parsing.legibility import is_garbled, says_nothing
from etl_assets.documents.parsing.patience import getting_on
from etl_assets.documents.parsing.pdf_flow import PageWords
from etl_assets.documents.parsing.pdf_marks import Marks, marks_of
from etl_assets.documents.parsing.pdf_text import PageText, page_text
from etl_assets.documents.parsing.pdf_words import Word, upright
from etl_assets.documents.parsing.text import one_line
from etl_assets.errors import DataError
from etl_assets.stages.spec import Json

if TYPE_CHECKING:
    import pypdfium2 as pdfium

MAX_HIDDEN = 20
MAX_HIDDEN_CHARS = 200
MAX_READ_PICTURES = 500
"""Pages of one document that are read from their pictures; a page takes seconds."""
STRETCH = 500
"""Pages after which a long document is seen to get on: ten thousand dense ones take more than a minute."""
_COVERED = 0.25
"""A picture over this share of a page that has hardly any text may be the page's text."""
_DRAWN = 30
"""So may this many lines and shapes on a page without any: letters drawn as outlines."""


@dataclass(slots=True)
class PageNotes:
    """What is noted while pages are read; page numbers count from 1."""

    unreadable: list[int] = field(default_factory=list)
    hidden: list[Mapping[str, Json]] = field(default_factory=list)
    hidden_chars: int = 0
    pictures_read: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    readers: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Json]:
        """What there is to tell, for the document's facts."""
        facts: dict[str, Json] = {}
        if self.unreadable:
            facts["unreadable_pages"] = self.unreadable[:MAX_OUTLINE]
        if self.hidden:
            facts["hidden_chars"] = self.hidden_chars
            facts["hidden_text"] = self.hidden
        if self.pictures_read:
            facts["ocr_pages"] = self.pictures_read[:MAX_OUTLINE]
        if self.warnings:
            facts["warnings"] = self.warnings[:MAX_OUTLINE]
        return facts


def read_pages(document: pdfium.PdfDocument, count: int, notes: PageNotes) -> Iterator[PageWords | None]:
    """Pages in order; None for one that PDFium cannot load.

    Raises:
        DataError: ``too-large``, when there is more text than any document should have.
    """
    budget = TextBudget()
    for number in range(1, count + 1):
        page = _page_words(document, number, notes)
        if page is None:
            notes.unreadable.append(number)
        else:
            budget.spend(sum(len(word.text) for line in page.lines for word in line))
        if number % STRETCH == 0:
            getting_on()
        yield page


def _page_words(document: pdfium.PdfDocument, number: int, notes: PageNotes) -> PageWords | None:
    import pypdfium2 as pdfium

    try:
        page = document[number - 1]
    except pdfium.PdfiumError:
        return None
    try:
        textpage = page.get_textpage()
        try:
            marks = marks_of(page)
            read = page_text(textpage, marks)
        finally:
            textpage.close()
        _note_hidden(read, number, notes)
        extra = list(_field_lines(page))
        lines = _read_picture(page, number, read, marks, notes)
        if lines is not None:
            return PageWords(lines, [], 0, 0.0, page.get_height(), extra)
        low, high = _edges(page, read.angle)
        return PageWords(read.lines, marks.rules, read.angle, low, high, extra, is_rtl=read.is_rtl)
    except pdfium.PdfiumError:
        return None
    finally:
        page.close()


def _read_picture(
    page: pdfium.PdfPage, number: int, read: PageText, marks: Marks, notes: PageNotes
) -> list[list[Word]] | None:
    """The lines of the page's picture, if its text layer is of no use and there may be some; else None."""
    problem = _problem(read, marks)
    if problem is None:
        return None
    tesseract = ocr.engine()
    if tesseract is None or len(notes.pictures_read) >= MAX_READ_PICTURES:
        what = ocr.remedy() if tesseract is None else f"more than {MAX_READ_PICTURES} such pages; split the file"
        notes.warnings.append(f"page {number} {problem}; {what}")
        return None
    try:
        lines = ocr.read_page(page, tesseract)
    except DataError as e:
        notes.warnings.append(f"page {number} {problem}; {e}")
        return None
    getting_on()
    notes.pictures_read.append(number)
    if tesseract.name not in notes.readers:
        notes.readers.append(tesseract.name)
    text = "".join(word.text for line in lines for word in line)
    kept = "".join(word.text for line in read.lines for word in line)
    return lines if len(text) > len(kept) or (not says_nothing(text) and not says_nothing(kept)) else None


def _problem(read: PageText, marks: Marks) -> str | None:
    """Why the text layer of a page does not serve; None where it does, or where the page is empty."""
    text = " ".join(word.text for line in read.lines for word in line)
    if is_garbled(text, unmapped_share=read.unmapped_share):
        return "has no readable text layer"
    if says_nothing(text) and (marks.image_share >= _COVERED or (not text and marks.drawn >= _DRAWN)):
        return "has no text layer"
    return None


def _edges(page: pdfium.PdfPage, angle: int) -> tuple[float, float]:
    """The page's lower and upper edge, as its writing stands."""
    left, bottom, right, top = page.get_bbox()
    _, low, _, high = upright((left, bottom, right, top), angle)
    return low, high


def _note_hidden(read: PageText, number: int, notes: PageNotes) -> None:
    """Text that no reader sees is told in the facts, shortened, and is no part of the page: see decision 020."""
    for why in sorted({hidden.why for hidden in read.hidden}):
        words = " ".join(hidden.text for hidden in read.hidden if hidden.why == why).replace("\ufffe", "")
        notes.hidden_chars += len(words)
        if len(notes.hidden) < MAX_HIDDEN:
            notes.hidden.append({"page": number, "why": why, "text": one_line(words)[:MAX_HIDDEN_CHARS]})


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

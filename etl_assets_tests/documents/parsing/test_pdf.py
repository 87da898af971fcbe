"""PDF: pages, paragraphs, headings, broken words, form fields, and what cannot be opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.parsing.document import ParsedDocument
from etl_assets.documents.parsing.parser import parse
from etl_assets.documents.parsing.pdf_hyphens import resolve_hyphens
from etl_assets.documents.parsing.pdf_layout import Line, lay_out
from etl_assets.errors import DataError
from etl_assets_tests.documents.parsing.pdf_files import line, pdf


@pytest.fixture
def parsed(tmp_path: Path) -> Callable[[bytes], ParsedDocument]:
    def of(data: bytes) -> ParsedDocument:
        path = tmp_path / "a.bin"
        path.write_bytes(data)
        return parse(path, name="a.bin", content_type=None)

    return of


Parsed = Callable[[bytes], ParsedDocument]
BODY = "".join(line(f"line {n} of a paragraph of body text", 680 - 12 * n) for n in range(5))


def test_gaps_part_paragraphs_and_larger_lines_are_headings(parsed: Parsed) -> None:
    top = line("Large title", 750, 20) + line("Smaller heading", 720, 14)
    document = parsed(pdf(top + BODY + line("after a gap", 590) + line("and on", 578), "", BODY))
    first = document.pages[0]
    assert [(h.level, first.text[h.start : h.end]) for h in first.headings] == [
        (1, "Large title"),
        (2, "Smaller heading"),
    ]
    assert "of body text\n\nafter a gap\nand on" in first.text
    assert [page.number for page in document.pages] == [1, 2, 3] and document.pages[1].text == ""
    assert document.facts["title"] == "Large title"


def test_properties_give_title_author_and_date(parsed: Parsed) -> None:
    info = "/Title (A real title) /Author (Anna) /CreationDate (D:20200102030405Z)"
    facts = parsed(pdf(BODY, info=info)).facts
    assert (facts["title"], facts["source"], facts["date"]) == ("A real title", "Anna", "2020-01-02")
    assert parsed(pdf(BODY, info="/Title (report_final.docx)")).facts["title"] is None


def test_a_date_on_the_page_goes_before_that_of_the_file(parsed: Parsed) -> None:
    document = parsed(pdf(line("Last Revised: May 3, 2019", 700) + BODY, info="/CreationDate (D:20251007)"))
    assert document.facts["date"] == "2019-05-03"


def test_the_outline_names_headings(parsed: Parsed) -> None:
    catalog = "/Outlines << /First 7 0 R /Last 7 0 R /Count 1 >>"
    data = pdf(line("Introduction", 720) + BODY, catalog=catalog)
    bookmark = b"7 0 obj\n<< /Title (Introduction) /Dest [5 0 R /Fit] >>\nendobj\n"
    document = parsed(data.replace(b"xref\n0 7", bookmark + b"xref\n0 7"))  # PDFium rebuilds the shifted table
    first = document.pages[0]
    assert [(h.level, first.text[h.start : h.end]) for h in first.headings] == [(1, "Introduction")]
    assert document.facts["outline"] == [{"level": 1, "title": "Introduction", "page": 1}]


def test_what_people_typed_into_forms_and_notes_is_read(parsed: Parsed) -> None:
    field = "<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (typed words) /Rect [0 0 9 9] >>"
    note = "<< /Type /Annot /Subtype /FreeText /Contents (a remark) /Rect [0 0 9 9] >>"
    link = "<< /Type /Annot /Subtype /Link /Contents (no text) /Rect [0 0 9 9] >>"
    text = parsed(pdf(BODY, annotations=[field, note, link])).pages[0].text
    assert text.endswith("typed words\na remark") and "no text" not in text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pdf(BODY)[:300], "truncated"),
        (b"%PDF-1.4\n" + b"x" * 500 + b"\nstartxref\n0\n%%EOF", "corrupt"),
        (pdf(""), "no-text"),
    ],
)
def test_a_pdf_that_cannot_be_read_says_why(parsed: Parsed, data: bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        parsed(data)
    assert caught.value.reason == reason


def test_a_password_is_asked_for(shared_data: Callable[..., Path]) -> None:
    path = shared_data("format-zoo", "pdf", "pypdf", "r3-user-password.pdf")
    with pytest.raises(DataError) as caught:
        parse(path, name=path.name, content_type=None)
    assert caught.value.reason == "encrypted"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["infor\ufffemation"], "information"),
        (["outward\ufffefacing", "an outward-facing server"], "outward-facing"),
        (["TTA\ufffesupplied"], "TTA-supplied"),
        (["A\ufffe130"], "A-130"),
        (["max\ufffeage=9;"], "max-age=9;"),
        (["https://example.org/some\ufffepage"], "https://example.org/some-page"),
        (["man-in-the\ufffemiddle"], "man-in-the-middle"),
        (["ends\ufffe here"], "ends- here"),
        (["\ufffe"], ""),
        (["a vehi\u2010", "cle stops"], "a vehicle"),
        (["broken ve\ufffe", "hi\ufffe", "cle"], "broken vehicle"),
        (["third\u2010", "rated", "the non\u2010lethal third is rated"], "third-rated"),
        (["in\ufffehouse", "kept in a house"], "in-house"),
        (["in\ufffestead", "in", "stead", "fast\ufffeer", "faster"], "instead"),
    ],
)
def test_words_broken_at_a_lines_end_are_mended(texts: list[str], expected: str) -> None:
    assert resolve_hyphens([[Line(text, 10, 0) for text in texts]])[0][0].text == expected


def test_running_headers_are_no_headings() -> None:
    pages = [
        [Line("Company report", 20, 700), *(Line("body text of the page", 10, 600 - 12 * n) for n in range(9))]
    ] * 9
    assert not any(page.headings for page in lay_out(pages, []))


@given(st.lists(st.lists(st.builds(Line, st.text(), st.floats(0, 50), st.floats(0, 800)), max_size=8), max_size=4))
def test_no_word_is_lost_in_the_layout(pages: list[list[Line]]) -> None:
    def letters(text: str) -> str:
        return "".join(c for c in text if c.isalnum())

    laid = lay_out(pages, [])
    assert [letters(page.text) for page in laid] == ["".join(letters(line.text) for line in lines) for lines in pages]

"""Pages without a usable text layer: what is said of them without tesseract, and what is read with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_assets.documents.parsing import ocr
from etl_assets.documents.parsing.document import ParsedDocument
from etl_assets.documents.parsing.legibility import is_garbled
from etl_assets.documents.parsing.parser import parse
from etl_assets.documents.parsing.programs import reading_parameters
from etl_assets.errors import DataError
from etl_assets_tests.documents.parsing.pdf_files import line, pdf, scanned

Parsed = Callable[[bytes], ParsedDocument]
WORDS = line("Quarterly report on water pumps", 700, 24) + line("Pressure was kept by three engines.", 640, 18)


@pytest.fixture
def parsed(tmp_path: Path) -> Parsed:
    def of(data: bytes) -> ParsedDocument:
        path = tmp_path / "a.bin"
        path.write_bytes(data)
        return parse(path, name="a.bin", content_type=None)

    return of


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))


@pytest.fixture
def tesseract() -> ocr.Engine:
    found = ocr.engine()
    if found is None:
        pytest.skip("tesseract is not installed (Debian: tesseract-ocr)")
    return found


@pytest.mark.usefixtures("nothing_installed")
def test_without_tesseract_a_scan_is_held_back_and_says_what_to_install(parsed: Parsed) -> None:
    with pytest.raises(DataError, match=r"page 1 has no text layer; install tesseract-ocr") as caught:
        parsed(scanned(pdf(WORDS)))
    assert caught.value.reason == "no-text"
    with pytest.raises(DataError, match=r"picture, which has no text layer; install tesseract-ocr"):
        parsed(b"\x89PNG\r\n\x1a\n and so on")


@pytest.mark.usefixtures("nothing_installed")
def test_without_tesseract_a_page_is_kept_with_what_it_has(parsed: Parsed) -> None:
    document = parsed(scanned(pdf(WORDS), text=line("Page 7", 20)))
    assert document.pages[0].text == "Page 7"
    assert document.facts["warnings"] == ["page 1 has no text layer; install tesseract-ocr"]


@pytest.mark.usefixtures("nothing_installed")
def test_parameters_tell_whether_pictures_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert reading_parameters() == {}
    program = tmp_path / "tesseract"
    listed = "List of available languages (3):\\nita\\neng\\nosd"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "tesseract 9.9" || echo "{listed}"\n'.replace("\\n", "\n")
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reading_parameters() == {"ocr": "tesseract 9.9 (eng+ita)"}


@pytest.mark.usefixtures("nothing_installed")
def test_an_empty_page_is_not_missed(parsed: Parsed) -> None:
    assert "warnings" not in parsed(pdf(WORDS, "")).facts


@pytest.mark.parametrize("rotate", [0, 90])
def test_a_scanned_page_is_read_turned_as_it_says(parsed: Parsed, tesseract: ocr.Engine, rotate: int) -> None:
    if rotate and not tesseract.turns_pages:
        pytest.skip("tesseract has no osd.traineddata (Debian: tesseract-ocr-osd)")
    document = parsed(scanned(pdf(WORDS), rotate=rotate))
    assert document.pages[0].text.split("\n")[0] == "Quarterly report on water pumps"
    assert "Pressure was kept by three engines." in document.pages[0].text
    assert document.facts["ocr_pages"] == [1] and tesseract.name in str(document.facts["method"])


def test_a_page_with_a_text_layer_is_not_read_from_its_picture(parsed: Parsed) -> None:
    document = parsed(scanned(pdf(WORDS), text=line("words that the scanner read", 700)))
    assert document.pages[0].text == "words that the scanner read" and "ocr_pages" not in document.facts


@pytest.mark.parametrize(
    ("text", "garbled"),
    [
        ("\x19\x0f\x0e\x17\x17\x08\x10\x18\x17\x17\x18\x14", True),
        ("\ue001\ue002\ue003 \ue004\ue005\ue006 \ue007\ue008 \ue001\ue002\ue003", True),
        ("xqzt bcdf ghjk lmnp qrst vwxz bcdf ghjk " * 5, True),
        ("̽ଋҨǥƹ̽ୡȥဎഁୡࣧҨဌʾဎಱ̽ೌ ȥਮΝ੧ͱʸ͢ฏʤҨ ଋҨǥƺ̽ୡȥဎഔ ҨဌʾဎԲೌ܆ȥয় ਮΝਫ਼ੌͱʺ͢", True),
        ("のソフトを、全て削除して下さい。Java のアンインストール", False),
        ("Title .......... 12\n" * 30, False),
        ("Ещё один текст на русском языке", False),
        ("这是一个没有空格的句子，用来测试。", False),
        ("CVE-2021-44228 T1059.003 10.0.0.1 " * 20, False),
        ("", False),
    ],
)
def test_codes_of_glyphs_are_told_from_writing(text: str, garbled: bool) -> None:
    assert is_garbled(text) is garbled


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed (Debian: poppler-utils)")
def test_the_next_extractor_is_tried_and_the_record_says_why(monkeypatch: pytest.MonkeyPatch, parsed: Parsed) -> None:
    from etl_assets.documents.parsing import pdf as reader

    def refuse(_source: object) -> None:
        raise DataError("is beyond this reader", reason="corrupt")

    monkeypatch.setattr(reader, "parse_pdf", refuse)
    document = parsed(pdf(WORDS))
    assert "Pressure was kept" in document.pages[0].text and document.facts["method"] == "pdftotext"
    assert document.facts["extractors"] == [{"extractor": "pdf:parse_pdf", "why": "is beyond this reader"}]


def test_a_page_that_is_all_navigation_is_read_whole(parsed: Parsed) -> None:
    page = "<html><body><nav><a href=x>First chapter</a><a href=y>Second chapter</a></nav></body></html>"
    document = parsed(page.encode())
    assert document.pages[0].text == "First chapter\nSecond chapter"
    assert document.facts["extractors"] == [{"extractor": "html:parse_html", "why": "gave fewer than 10 characters"}]

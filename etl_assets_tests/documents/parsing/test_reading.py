"""By which extractors a collection has its documents read: what is decided reaches the one that reads."""

from pathlib import Path

import pytest

from etl_assets.documents.collections import Collections
from etl_assets.documents.generations.in_use import applied
from etl_assets.documents.parameters import CollectionSettings, ParsingLimits
from etl_assets.documents.parsing import ocr
from etl_assets.documents.parsing.document import ParsedDocument
from etl_assets.documents.parsing.parser import parse
from etl_assets.documents.parsing.programs import reading_parameters
from etl_assets.documents.parsing.reading import CHAINS, reading_by
from etl_assets.documents.parsing.workers import ParseRequest
from etl_assets.errors import ConfigError, DataError
from etl_assets_tests.small_homes import shared_pool

PAGE = "<body><nav>Imprint and contact</nav><main><p>Roses want sun and water in May.</p></main></body>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "a.html"
    path.write_text(PAGE)
    return path


def parsed(path: Path) -> ParsedDocument:
    return parse(path, name=path.name, content_type="text/html")


def test_the_chain_of_extractors_is_as_it_was_decided(page: Path) -> None:
    usual = parsed(page)
    assert "Imprint" not in usual.pages[0].text
    with reading_by({"html": ["all", "main"]}):
        assert "Imprint" in parsed(page).pages[0].text
    assert parsed(page) == usual, "for the time of one document"


def test_a_pool_reads_as_it_is_told(page: Path) -> None:
    asked = ParseRequest("d", page, page.name, "text/html")
    for limits, has in ((ParsingLimits(html=("all",)), True), (ParsingLimits(), False)):
        (result,) = shared_pool().parse_many([asked], limits)
        assert result.document is not None and ("Imprint" in result.document.pages[0].text) is has


def test_who_says_what_no_other_extractor_would_mend_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7 and then nothing")
    with reading_by({"pdf": ["poppler", "pdfium"]}), pytest.raises(DataError, match="ends in the middle"):
        parsed(path)


def test_pictures_are_read_as_far_as_was_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo tesseract 9.9 || printf 'langs:\\nita\\neng\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reading_parameters() == {"ocr": "tesseract 9.9 (eng+ita)"}
    only = {"ocr_languages": ["ita", "deu"]}
    assert reading_parameters(only) == {"ocr": "tesseract 9.9 (ita)", "reading": only}
    for decided, what in (({"ocr": "off"}, "set parsing.ocr to auto"), ({"ocr_languages": ["deu"]}, "language deu")):
        assert reading_parameters(decided) == {"reading": decided}
        with reading_by(decided), pytest.raises(DataError, match=what):
            picture = tmp_path / "a.png"
            picture.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
            parsed(picture)
        assert ocr.engine() is not None


def test_what_decides_a_text_is_told_apart_from_what_it_may_cost() -> None:
    text = "defaults:\n  parsing: {size_limit_mb: 5, html: [all], ocr_languages: [deu]}\n"
    limits = Collections.parse(text).of("acme", "reports").parsing
    assert limits.reading == {"html": ["all"], "ocr_languages": ["deu"]} and not ParsingLimits(size_limit_mb=5).reading
    assert applied(CollectionSettings(), {"parsing": limits.reading}).parsing.reading == limits.reading
    assert limits.read_by({}) == ParsingLimits(size_limit_mb=5), "an index of before these settings"
    usual = ParsingLimits()
    assert {"pdf": usual.pdf, "html": usual.html} == {kind: tuple(known) for kind, known in CHAINS.items()}
    for wrong in ("[]", "[all, all]", "[poppler]"):
        with pytest.raises(ConfigError, match="parsing.html"):
            Collections.parse(f"defaults:\n  parsing: {{html: {wrong}}}\n")

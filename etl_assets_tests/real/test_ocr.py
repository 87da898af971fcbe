"""Pictures through the pool of parsers, by the tesseract that Debian packs."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing import ocr
from etl_assets.documents.parsing.workers import ParseRequest, ParserPool
from etl_assets_tests.documents.parsing.pdf_files import line, pdf, picture_of, scanned
from etl_assets_tests.servers.model import Unavailable
from etl_assets_tests.servers.packages import debian
from etl_assets_tests.servers.sharing import required

WORDS = line("Quarterly report on water pumps", 700, 24) + line("Pressure was kept by three engines.", 640, 18)


@pytest.fixture(scope="module", autouse=True)
def tesseract() -> ocr.Engine:
    try:
        debian("tesseract", ["tesseract-ocr", "tesseract-ocr-eng", "tesseract-ocr-osd"])
    except Unavailable as e:
        if required():
            pytest.fail(f"tesseract is needed (ETL_TEST_REQUIRE_SERVERS) and cannot be had: {e}", pytrace=False)
        pytest.skip(f"tesseract cannot be had: {e}")
    found = ocr.engine()
    assert found is not None
    return found


def png(width: int, height: int, shades: bytes) -> bytes:
    """A grey PNG (ISO 15948)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    rows = b"".join(b"\x00" + shades[y * width : (y + 1) * width] for y in range(height))
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_pictures_and_scans_are_read_by_the_workers(tmp_path: Path, tesseract: ocr.Engine) -> None:
    files = {"photo.png": png(*picture_of(pdf(WORDS))), "scan.pdf": scanned(pdf(WORDS))}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with ParserPool() as pool:
        results = {r.document_id: r for r in pool.parse_many(
            [ParseRequest(name, tmp_path / name, name) for name in files], ParsingLimits()
        )}  # fmt: skip
    for name, result in results.items():
        assert result.document is not None, (name, result.error)
        assert "Pressure was kept by three engines." in result.document.pages[0].text
        assert tesseract.name in str(result.document.facts["method"])
    photo = results["photo.png"].document
    assert photo is not None and photo.facts["media_type"] == "image/png"


def test_the_time_limit_is_counted_anew_from_every_slow_page(tmp_path: Path) -> None:
    import pypdfium2 as pdfium

    path = tmp_path / "pages.pdf"
    with pdfium.PdfDocument(scanned(pdf(WORDS))) as one, pdfium.PdfDocument.new() as many:
        for _ in range(6):
            many.import_pages(one)
        many.save(path)
    with ParserPool() as pool:
        (alone,) = pool.parse_many([ParseRequest("1", path, "pages.pdf")], ParsingLimits())
        assert alone.document is not None and len(alone.document.pages) == 6
        # Less than all pages take together, and ample for one of them on a busy machine.
        limits = ParsingLimits(time_limit_s=alone.seconds * 0.75)
        (result,) = pool.parse_many([ParseRequest("1", path, "pages.pdf")], limits)
    assert result.document == alone.document, result.error

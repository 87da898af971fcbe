"""Kinds of documents are told by their content."""

import json
from pathlib import Path

import pytest

from etl_assets.documents.parsing.detection import detect
from etl_assets.documents.parsing.document import Source
from etl_assets.errors import DataError
from etl_assets_tests.documents.parsing.files import docx, mail, package, paragraph, pptx, shape, slide
from etl_assets_tests.documents.parsing.old_files import compound

HTML = "<!-- saved --><!DOCTYPE HTML><html><body><p>x</p></body></html>"
MARKDOWN = "# A title\n\nSee [this](https://example.org) and\n\n- one\n- two\n"
TABLE = "name,age,city\nAnn,31,Oslo\nBen,45,Rome\nCy,27,Bonn\n"


def kind(data: bytes | str, name: str = "f", media_type: str | None = None) -> str:
    return detect(Source(name, data=data.encode() if isinstance(data, str) else data, media_type=media_type))


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        ("%PDF-1.7 ...", "report.docx", "pdf"),
        ("\n\n garbage %PDF-1.4", "x", "pdf"),
        (HTML, "page.txt", "html"),
        ('<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>', "x.xml", "html"),
        ("<div><p>a fragment</p><p>of a page</p></div>", "x", "html"),
        ("a <b>bold</b> claim", "x.html", "html"),
        ('<?xml version="1.0"?><rss version="2.0"><a:title/><a:title/></rss>', "x", "xml"),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", "x", "xml"),
        ('{"a": 1}', "data.txt", "json"),
        ('{"a": 1}\n{"a": 2}\n', "x", "json"),
        ("[" * 100_000, "x", "json"),
        ("{not json at all}", "x", "text"),
        ("[broken", "x.json", "json"),
        (MARKDOWN, "x", "markdown"),
        (MARKDOWN, "x.txt", "text"),
        ("just words", "x.md", "markdown"),
        (TABLE, "x", "csv"),
        (TABLE.replace(",", ";"), "x", "csv"),
        (TABLE.replace(",", "\t"), "x", "csv"),
        ("a single column", "x.csv", "csv"),
        ("Hello, world.\nThis, too, is prose, of a kind.\nIt has commas, some.\n", "x", "text"),
        ("key: value\nother: thing\n\ntext", "x", "text"),
        ("X-Note: a mail?\n\nbody", "x.eml", "eml"),
        ("   \n", "x", "text"),
        ("wide".encode("utf-16"), "x", "text"),
        ("BM is how this text begins", "x", "text"),
    ],
)
def test_the_content_decides_and_the_name_settles_ties(data: bytes | str, name: str, expected: str) -> None:
    assert kind(data, name) == expected


def test_a_declared_type_settles_ties_when_the_name_has_no_ending() -> None:
    assert kind("just words", "README", "text/markdown; charset=utf-8") == "markdown"


def test_a_mail_is_known_by_its_headers() -> None:
    message = bytes(mail("Hello", "words"))
    assert kind(message, "note.txt") == "eml"
    assert kind(b"From anna@example.org Fri May  5 10:00:00 2023\n" + message) == "eml"


def test_office_packages_are_known_by_their_main_part(tmp_path: Path) -> None:
    word = docx(tmp_path / "a.xlsx", paragraph("x"))
    talk = pptx(tmp_path / "b.zip", {"slide1.xml": slide(shape("x"))})
    assert [detect(Source(path.name, path=path)) for path in (word, talk)] == ["docx", "pptx"]


@pytest.mark.parametrize(
    ("data", "looks_like"),
    [
        (b"\x00\x00\x00\x18ftypmp42", "MP4"),
        (bytes(range(256)) * 4, "binary"),
        (compound({"Drawing": b"x"}), "OLE"),
        (b"\x89PNG\n/a/list/of/pictures.png\n\x00\x00\x00", "binary"),
        (b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00", "program"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, looks_like: str) -> None:
    with pytest.raises(DataError, match=looks_like) as caught:
        kind(data)
    assert caught.value.reason == "unsupported-type"


def test_other_zip_archives_are_named(tmp_path: Path) -> None:
    plain = package(tmp_path / "a.zip", "some/thing.xml", {"some/thing.xml": "<x/>"})
    assert detect(Source(plain.name, path=plain)) == "archive"
    binary = package(tmp_path / "b.xlsb", "xl/workbook.bin", {"xl/workbook.bin": "x"})
    with pytest.raises(DataError, match="XLSB"):
        detect(Source(binary.name, path=binary))


def test_old_office_files_are_known_by_their_streams() -> None:
    streams = {"WordDocument": "doc", "Workbook": "xls", "PowerPoint Document": "ppt", "__properties_version1.0": "msg"}
    assert {name: kind(compound({"Other": b"x", name: b"y"})) for name in streams} == streams


def test_an_office_file_under_a_password_is_encrypted() -> None:
    with pytest.raises(DataError) as caught:
        kind(compound({"EncryptedPackage": b"x"}), "plan.docx")
    assert caught.value.reason == "encrypted"


def test_no_bytes_are_empty() -> None:
    with pytest.raises(DataError) as caught:
        kind(b"")
    assert caught.value.reason == "empty"


def test_json_beyond_the_first_look_is_still_json() -> None:
    rows = [{"id": n, "text": "words " * 20} for n in range(3000)]
    assert kind(json.dumps(rows)) == "json"
    assert kind("\n".join(map(json.dumps, rows))) == "json"

"""RTF, OpenDocument, EPUB, legacy office files, Outlook messages, archives and mailboxes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from etl_assets.documents.parsing.document import ParsedDocument
from etl_assets.documents.parsing.parser import parse
from etl_assets.errors import DataError
from etl_assets_tests.documents.parsing.files import mail, pptx, shape, slide
from etl_assets_tests.documents.parsing.old_files import compound, record

Parsed = Callable[..., ParsedDocument]
OFFICE, TEXT, TABLE, DRAW, DC = (
    f"xmlns:{short}='urn:oasis:names:tc:opendocument:xmlns:{name}:1.0'"
    for short, name in (("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"), ("x", "style"))
)


@pytest.fixture
def parsed(tmp_path: Path) -> Parsed:
    def of(data: bytes, name: str = "a.bin") -> ParsedDocument:
        path = tmp_path / "file"
        path.write_bytes(data)
        return parse(path, name=name, content_type=None)

    return of


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def odf(kind: str, body: str, **parts: str) -> bytes:
    namespaces = f"{OFFICE} {TEXT} {TABLE} {DRAW}"
    content = f"<office:document-content {namespaces}><office:body>{body}</office:body></office:document-content>"
    return zipped({"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content, **parts})


def cells(document: ParsedDocument, page: int = 0, table: int = 0) -> list[list[str]]:
    shown = document.pages[page]
    return [[shown.text[c.start : c.end] for c in row] for row in shown.tables[table].rows]


def test_rtf_gives_headings_tables_letters_of_every_alphabet_and_pages(parsed: Parsed) -> None:
    data = (
        r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial Cyr;}}{\stylesheet{\s1 heading 1;}}"
        r"{\info{\title A title}{\author Anna}{\revtim\yr2024\mo3\dy5}}{\*\generator Some program;}"
        r"\pard\s1 First part\par\pard\plain caf\'e9, \f1\'cf\'f0\'e8\'e2\'e5\'f2\f0, \u8364?, \u-10179?\u-8704?"
        r"{\v not shown}{\field{\*\fldinst HYPERLINK x}{\fldrslt a link}}{\footnote a note}\par"
        r"\trowd\intbl One\cell Two\cell\row\trowd\intbl 1\cell 2\cell\row\pard\page Second page\par}"
    )
    document = parsed(data.encode())
    text = document.pages[0].text
    assert text.startswith("First part\n\ncafé, Привет, €, 😀a link [a note]\n\nOne | Two\n1 | 2")
    assert cells(document) == [["One", "Two"], ["1", "2"]] and document.pages[1].text == "Second page"
    assert [(h.level, text[h.start : h.end]) for h in document.pages[0].headings] == [(1, "First part")]
    facts = document.facts
    assert (facts["document_type"], facts["title"], facts["source"], facts["date"]) == (
        "rtf", "A title", "Anna", "2024-03-05",
    )  # fmt: skip


def test_half_an_rtf_is_no_document(parsed: Parsed) -> None:
    with pytest.raises(DataError) as caught:
        parsed(rb"{\rtf1 {\b some words that end")
    assert caught.value.reason == "truncated"


def test_an_escape_that_says_nothing_costs_itself_only(parsed: Parsed) -> None:
    document = parsed(rb"{\rtf1 before \'zz{\pict\bin2000000000 ab} after}")
    assert document.pages[0].text == "before zz after" and "warnings" not in document.facts
    cut = parsed(rb"{\rtf1 before {\b words} and more")
    assert cut.pages[0].text == "before words and more" and "at the end" in str(cut.facts["warnings"])


def test_an_opendocument_text_gives_headings_lists_tables_and_notes(parsed: Parsed) -> None:
    body = (
        "<office:text><text:h text:outline-level='2'>Part</text:h><text:p>two<text:s text:c='2'/>gaps<text:note>"
        "<text:note-citation>1</text:note-citation><text:note-body><text:p>below</text:p></text:note-body></text:note>"
        "</text:p><text:list><text:list-item><text:p>item</text:p></text:list-item></text:list><table:table>"
        "<table:table-header-rows><table:table-row><table:table-cell><text:p>Name</text:p></table:table-cell>"
        "<table:table-cell><text:p>Size</text:p></table:table-cell></table:table-row></table:table-header-rows>"
        "<table:table-row><table:table-cell><text:p>pump</text:p></table:table-cell><table:table-cell/></table:table-row>"
        "</table:table><text:tracked-changes><text:p>deleted</text:p></text:tracked-changes></office:text>"
    )
    document = parsed(odf("text", body))
    assert document.pages[0].text == "Part\n\ntwo  gaps [below]\n\n- item\n\nName | Size\npump"
    assert document.pages[0].headings[0].level == 2 and document.pages[0].tables[0].header_rows == 1
    assert cells(document)[1][0] == "pump" and document.facts["document_type"] == "odt"


def test_an_opendocument_workbook_has_a_page_for_each_sheet(parsed: Parsed) -> None:
    row = "<table:table-row>{}</table:table-row>"
    cell = "<table:table-cell {}><text:p>{}</text:p></table:table-cell>"
    head = row.format(cell.format("", "pump") + cell.format("", "bar"))
    full = row.format(cell.format("table:number-columns-repeated='2'", "7"))
    empty = "<table:table-row table:number-rows-repeated='1048000'><table:table-cell/></table:table-row>"
    sheets = "".join(f"<table:table table:name='S{n}'>{head}{full}{empty}</table:table>" for n in (1, 2))
    document = parsed(odf("spreadsheet", f"<office:spreadsheet>{sheets}</office:spreadsheet>"))
    assert [page.text for page in document.pages] == [f"S{n}\n\npump | bar\npump: 7 | bar: 7" for n in (1, 2)]
    assert cells(document) == [["pump", "bar"], ["7", "7"]]


def test_a_password_of_an_opendocument_is_asked_for(parsed: Parsed) -> None:
    manifest = "<m:manifest xmlns:m='urn:x'><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>"
    with pytest.raises(DataError) as caught:
        parsed(odf("text", "", **{"META-INF/manifest.xml": manifest}))
    assert caught.value.reason == "encrypted"


def book(**parts: str) -> bytes:
    container = "<container><rootfiles><rootfile full-path='OPS/book.opf'/></rootfiles></container>"
    package = (
        "<package xmlns:dc='urn:dc'><metadata><dc:title>A book</dc:title><dc:creator>Anna</dc:creator></metadata>"
        "<manifest><item id='b' href='two.xhtml'/><item id='a' href='one%20.xhtml'/></manifest>"
        "<spine><itemref idref='a'/><itemref idref='b'/></spine></package>"
    )
    return zipped({
        "mimetype": "application/epub+zip", "META-INF/container.xml": container, "OPS/book.opf": package,
        "OPS/one .xhtml": "<html><body><h1>One</h1><p>first words</p></body></html>",
        "OPS/two.xhtml": "<html><body><p>last words</p></body></html>", **parts,
    })  # fmt: skip


def test_a_book_is_read_in_its_order(parsed: Parsed) -> None:
    document = parsed(book())
    assert [page.text for page in document.pages] == ["One\n\nfirst words", "last words"]
    assert (document.facts["title"], document.facts["source"]) == ("A book", "Anna")


def without(packed: bytes, part: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return zipped({name: archive.read(name) for name in archive.namelist() if name != part})


def test_a_part_that_is_missing_is_named_and_the_others_are_read(parsed: Parsed, tmp_path: Path) -> None:
    cut = parsed(without(book(), "OPS/one .xhtml"))
    assert [page.text for page in cut.pages] == ["last words"]
    assert cut.facts["warnings"] == ["OPS/one .xhtml is not in the file"]
    slides = pptx(tmp_path / "a.pptx", {"s1.xml": slide(shape("first words")), "s2.xml": slide(shape("last words"))})
    cut = parsed(without(slides.read_bytes(), "ppt/slides/s1.xml"))
    assert [page.text for page in cut.pages] == ["", "last words"]
    assert cut.facts["warnings"] == ["slide 1 is not in the file"]


def test_a_book_under_rights_management_says_so(parsed: Parsed) -> None:
    method = "<e><EncryptionMethod Algorithm='{}'/></e>"
    with pytest.raises(DataError) as caught:
        parsed(book(**{"META-INF/encryption.xml": method.format("http://www.w3.org/2001/04/xmlenc#aes256-cbc")}))
    assert caught.value.reason == "encrypted"
    obfuscated_font = method.format("http://ns.adobe.com/pdf/enc#RC")
    assert parsed(book(**{"META-INF/encryption.xml": obfuscated_font})).facts["page_count"] == 2


def presentation() -> bytes:
    def text(words: str, kind: int) -> bytes:
        return record(0x0F9F, struct.pack("<I", kind)) + record(0x0FA0, words.encode("utf-16-le"))

    outline = record(0x03F3, bytes(20)) + text("First slide", 0) + text("a point\ranother", 1)
    outline += record(0x03F3, bytes(20)) + text("Second slide", 0)
    slides = record(0x0FF0, outline, is_container=True)
    drawn = record(0x03EE, record(0xF00D, record(0x0FA8, b"in a box"), is_container=True), is_container=True)
    return record(0x03E8, slides, is_container=True) + drawn + record(0x03EE, b"", is_container=True)


def test_a_legacy_presentation_has_a_page_for_each_slide(parsed: Parsed) -> None:
    document = parsed(compound({"PowerPoint Document": presentation()}))
    assert [page.text for page in document.pages] == ["First slide\n\na point\nanother\n\nin a box", "Second slide"]
    assert document.pages[0].headings[0].level == 1 and document.facts["document_type"] == "ppt"


def test_an_outlook_message_is_a_page_and_its_attachments_follow(parsed: Parsed) -> None:
    def wide(text: str) -> bytes:
        return text.encode("utf-16-le")

    sent = bytes(32) + struct.pack("<HHIQ", 0x40, 0x0039, 6, 133_593_408_000_000_000)
    document = parsed(compound({
        "__substg1.0_0037001F": wide("About pumps"), "__substg1.0_0C1A001F": wide("Anna"),
        "__substg1.0_1000001F": wide("See the file.\r\nAnna"), "__properties_version1.0": sent,
        "__attach_version1.0_#00000000/__substg1.0_3707001F": wide("note.txt"),
        "__attach_version1.0_#00000000/__substg1.0_37010102": b"words of the note",
        "__attach_version1.0_#00000001/__substg1.0_3701000D/__substg1.0_0037001F": wide("Earlier"),
        "__attach_version1.0_#00000001/__substg1.0_3701000D/__substg1.0_1000001F": wide("What was asked."),
    }))  # fmt: skip
    assert document.pages[0].text == "About pumps\n\nFrom: Anna\nDate: 2024-05-05\n\nSee the file.\nAnna"
    assert document.pages[1].text == "words of the note" and document.facts["date"] == "2024-05-05"
    attachments: Any = document.facts["attachments"]
    assert [(a["name"], a["first_page"]) for a in attachments] == [("note.txt", 2), ("Earlier", 3)]
    assert document.pages[2].text == "Earlier\n\nWhat was asked."


def test_legacy_word_and_excel_files_are_read(shared_data: Callable[..., Path]) -> None:
    folder = shared_data("format-zoo", "other", "format-corpus")
    word = parse(folder / "text_only.doc", name="text_only.doc", content_type=None)
    assert word.pages[0].text.startswith("This is a test document. It only contains some text.\n\nCreative Commons")
    assert word.facts["title"] == "This is a test document" and word.facts["source"] == "van der Knijff"
    sheet = parse(folder / "Reviews.xls", name="Reviews.xls", content_type=None)
    assert sheet.pages[0].text.startswith("Reviews\n\nComposer | Music | Artist1") and sheet.facts["table_count"] == 1


@pytest.mark.parametrize("cut", [600, 3000, 9000])
def test_a_cut_legacy_file_ends_in_a_reason(shared_data: Callable[..., Path], parsed: Parsed, cut: int) -> None:
    for path in sorted(shared_data("format-zoo", "other", "format-corpus").glob("*.[dx]??")):
        if path.name.endswith((".doc", ".xls")):
            with pytest.raises(DataError):
                parsed(path.read_bytes()[:cut])


def tarred(parts: Mapping[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


PARTS = {"a/notes.md": b"# Pumps\n\nwords", "logo.bin": bytes(range(256)), "a/b.txt": b"more words"}


@pytest.mark.parametrize("packed", [zipped(PARTS), tarred(PARTS, "w"), tarred(PARTS, "w:gz"), tarred(PARTS, "w:xz")])
def test_members_of_an_archive_are_pages_under_their_names(parsed: Parsed, packed: bytes) -> None:
    document = parsed(packed)
    assert [page.text for page in document.pages] == ["a/notes.md\n\n# Pumps\n\nwords", "a/b.txt\n\nmore words"]
    first = document.pages[0]
    assert [(h.level, first.text[h.start : h.end]) for h in first.headings] == [(1, "a/notes.md"), (2, "# Pumps")]
    members: Any = document.facts["members"]
    assert [(m["name"], m.get("first_page"), m.get("reason")) for m in members] == [
        ("a/notes.md", 1, None), ("logo.bin", None, "unsupported-type"), ("a/b.txt", 2, None),
    ]  # fmt: skip


def test_a_table_in_an_archive_keeps_its_place(parsed: Parsed) -> None:
    document = parsed(gzip.compress(b"pump,bar\nfirst,7\nsecond,9\n"), "sizes.csv.gz")
    assert document.pages[0].text == "sizes.csv\n\npump | bar\npump: first | bar: 7\npump: second | bar: 9"
    assert cells(document) == [["pump", "bar"], ["first", "7"], ["second", "9"]]


def test_a_mailbox_has_its_mails_as_members(parsed: Parsed) -> None:
    mails = b"".join(
        b"From anna@example.org Fri May  5 10:00:00 2023\n" + bytes(mail(f"Mail {n}", f"words {n}\n")) + b"\n"
        for n in (1, 2)
    )
    document = parsed(mails)
    assert [page.text.split("\n")[0] for page in document.pages] == ["message 1", "message 2"]
    assert document.pages[1].text.endswith("words 2") and document.facts["document_type"] == "archive"


def nested(depth: int, notes: Mapping[int, str], *, width: int = 1) -> bytes:
    data: bytes = b"words at the bottom"
    for level in range(depth):
        note = {f"note {level}.txt": notes[level]} if level in notes else {}
        data = zipped({**{f"level {level}-{n}": data for n in range(width)}, **note})
    return data


def locked(packed: bytes) -> bytes:
    """A zip whose first member says that it is under a password, and so the others where all are to."""
    data = bytearray(packed)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    return bytes(data)


def test_a_nest_of_archives_ends_as_one_archive_does(parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_assets.documents.parsing.document.MAX_MEMBERS", 30)
    with pytest.raises(DataError, match="30 members") as caught:
        parsed(nested(3, {}, width=4))
    assert caught.value.reason == "too-large"


def test_members_that_cannot_be_read_cost_themselves_and_say_why(parsed: Parsed) -> None:
    inner = locked(zipped({"secret.txt": "words"}))
    assert [m.get("reason") for m in parsed(zipped({"a.zip": inner, "b.txt": "others"})).facts["members"]] == [
        "encrypted", None,
    ]  # fmt: skip
    deep = b"From: a@b.c\nTo: b@c.d\nSubject: x\nContent-Type: message/rfc822\n\n" * 3000
    assert [m.get("reason") for m in parsed(zipped({"deep.eml": deep, "b.txt": "others"})).facts["members"]] == [
        "nesting", None,
    ]  # fmt: skip
    buffer = io.BytesIO(tarred({"a.txt": b"some words"}, "w"))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        link = tarfile.TarInfo("passwords")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    document = parsed(buffer.getvalue())
    assert [page.text for page in document.pages] == ["a.txt\n\nsome words"]
    assert [(m["name"], m.get("reason")) for m in document.facts["members"]] == [
        ("a.txt", None), ("passwords", "unsupported-type"),
    ]  # fmt: skip


@pytest.mark.parametrize("packed", [bz2.compress(b"some words"), lzma.compress(b"some words")])
def test_one_compressed_file_is_read(parsed: Parsed, packed: bytes) -> None:
    ending = "bz2" if packed.startswith(b"BZh") else "xz"
    assert [page.text for page in parsed(packed, f"notes.txt.{ending}").pages] == ["notes.txt\n\nsome words"]


def test_archives_in_archives_are_opened_to_a_depth(parsed: Parsed) -> None:
    document = parsed(nested(9, {level: f"words of level {level}" for level in range(9)}))
    assert "words of level 4" in "".join(page.text for page in document.pages)
    assert "words at the bottom" not in "".join(page.text for page in document.pages)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: zipped({"zeros.txt": bytes(80 << 20)}), "too-large"),
        (lambda: gzip.compress(bytes(1 << 20)) * 300, "too-large"),
        (lambda: zipped({"a.bin": bytes(range(256))}), "no-text"),
        (lambda: nested(9, {}), "nesting"),
        (lambda: locked(zipped({"a.txt": "words", "b.txt": "others"})), "encrypted"),
        (lambda: gzip.compress(b"some words to cut off" * 500)[:60], "truncated"),
        (lambda: tarred({"a.txt": b"words"}, "w")[:600], "truncated"),
    ],
    ids=["zip bomb", "gzip bomb", "nothing to read", "too deep", "locked", "cut", "cut tar"],
)
def test_an_archive_that_cannot_be_read_says_why(parsed: Parsed, build: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        parsed(build())
    assert caught.value.reason == reason


def test_a_damaged_member_costs_itself_only(parsed: Parsed) -> None:
    data = bytearray(zipped({"a.txt": b"some words of the first", "b.txt": b"others"}))
    data[data.index(b"a.txt") + 10] ^= 0xFF
    document = parsed(bytes(data))
    members: Any = document.facts["members"]
    assert [page.text for page in document.pages] == ["b.txt\n\nothers"]
    assert [(m["name"], m.get("reason")) for m in members] == [("a.txt", "corrupt"), ("b.txt", None)]


def test_a_damaged_book_says_so(parsed: Parsed) -> None:
    data = bytearray(book())
    data[data.index(b"OPS/two.xhtml") + 20] ^= 0xFF
    with pytest.raises(DataError) as caught:
        parsed(bytes(data))
    assert caught.value.reason == "corrupt"

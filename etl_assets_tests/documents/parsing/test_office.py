"""DOCX, PPTX and XLSX: nothing people wrote is lost, and what is broken or a bomb says so."""

import zipfile
from datetime import date
from pathlib import Path

import openpyxl
import pytest

from etl_assets.documents.parsing.document import Page, ParsedDocument
from etl_assets.documents.parsing.parser import parse
from etl_assets.errors import DataError
from etl_assets_tests.documents.parsing.files import A, R, W, docx, entity_bomb, package, paragraph, pptx, shape, slide

STYLES = (
    f'<w:styles xmlns:w="{W}"><w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:styleId="Mine"><w:name w:val="mine"/><w:basedOn w:val="H1"/></w:style>'
    '<w:style w:styleId="Deep"><w:name w:val="deep"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style></w:styles>'
)
PAGE_BREAK = '<w:br w:type="page"/>'


def parsed(path: Path) -> ParsedDocument:
    return parse(path, name=path.name, content_type=None)


def titles(page: Page) -> list[tuple[int, str]]:
    return [(h.level, page.text[h.start : h.end]) for h in page.headings]


def reason(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        parsed(path)
    assert path.name in str(caught.value)
    return caught.value.reason


def test_word_headings_come_from_styles_and_their_parents(tmp_path: Path) -> None:
    body = (
        paragraph("One", style="H1") + paragraph("text") + paragraph("Two", style="Mine") + paragraph("3", style="Deep")
    )
    document = parsed(docx(tmp_path / "a.docx", body, {"styles.xml": STYLES}, {"styles.xml": "styles"}))
    assert titles(document.pages[0]) == [(1, "One"), (1, "Two"), (3, "3")]
    assert document.pages[0].text == "One\n\ntext\n\nTwo\n\n3"
    facts = document.facts
    assert (facts["title"], facts["source"], facts["date"]) == ("A title", "An author", "2024-03-05")
    assert facts["outline"][1] == {"level": 1, "title": "Two", "page": 1}  # type: ignore[index]


def test_word_pages_end_at_explicit_breaks(tmp_path: Path) -> None:
    section = "<w:p><w:pPr><w:sectPr/></w:pPr><w:r><w:t>three</w:t></w:r></w:p>"
    before = "<w:p><w:pPr><w:pageBreakBefore/></w:pPr><w:r><w:t>two</w:t></w:r></w:p>"
    body = paragraph("one") + before + section + paragraph("four", extra=f"{PAGE_BREAK}<w:t>five</w:t>")
    document = parsed(docx(tmp_path / "a.docx", body))
    assert [page.text for page in document.pages] == ["one", "two\n\nthree", "four", "five"]
    assert [page.number for page in document.pages] == [1, 2, 3, 4]


def test_word_tables_text_boxes_lists_and_changes_are_read_once(tmp_path: Path) -> None:
    table = (
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p>"
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>inner</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:tc></w:tr>"
        "<w:tr><w:tc><w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc><w:tc/></w:tr></w:tbl>"
    )
    box = f"<w:txbxContent>{paragraph('in a box')}</w:txbxContent>"
    choices = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    both = f'<mc:AlternateContent xmlns:mc="x">{choices}</mc:AlternateContent>'
    item = "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>"
    changed = "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
    special = "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r></w:p>"
    body = table + paragraph("beside", extra=both) + item.format("one") + item.format("two") + changed + special
    text = parsed(docx(tmp_path / "a.docx", body)).pages[0].text
    assert text == "a | b inner\nc |\n\nbeside\n\nin a box\n\n- one\n- two\n\nnew\n\na b\nc-d".replace(
        "c | \n", "c |\n"
    )


def test_word_notes_stand_on_the_page_that_refers_to_them_and_margins_once(tmp_path: Path) -> None:
    notes = f'<w:footnotes xmlns:w="{W}"><w:footnote w:id="2">{paragraph("a note")}</w:footnote></w:footnotes>'
    comments = f'<w:comments xmlns:w="{W}"><w:comment w:id="0">{paragraph("really?")}</w:comment></w:comments>'
    header = f'<w:hdr xmlns:w="{W}">{paragraph("on top")}</w:hdr>'
    parts = {"footnotes.xml": notes, "comments.xml": comments, "h1.xml": header, "h2.xml": header}
    parts["f1.xml"] = header.replace("on top", "below")
    related = {
        "footnotes.xml": "footnotes",
        "comments.xml": "comments",
        "h1.xml": "header",
        "h2.xml": "header",
        "f1.xml": "footer",
    }
    marks = '<w:footnoteReference w:id="2"/><w:commentReference w:id="0"/>'
    body = paragraph("one", extra=marks + PAGE_BREAK) + paragraph("two")
    document = parsed(docx(tmp_path / "a.docx", body, parts, related))
    assert [page.text for page in document.pages] == [
        "on top\n\none[2]\n\n[2] a note\n[comment 0] really?",
        "two\n\nbelow",
    ]


def test_word_reads_strict_files_missing_targets_and_diagrams(tmp_path: Path) -> None:
    diagram = f'<d xmlns:a="{A}"><a:p><a:r><a:t>boxed words</a:t></a:r></a:p></d>'
    related = {"NULL": "image", "diagrams/data1.xml": "diagramData"}
    path = docx(tmp_path / "a.docx", paragraph("words"), {"diagrams/data1.xml": diagram}, related)
    strict = tmp_path / "strict.docx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(strict, "w") as new:
        for name in old.namelist():
            data = old.read(name).replace(W.encode(), b"http://purl.oclc.org/ooxml/wordprocessingml/main")
            new.writestr(name, data.replace(R.encode(), b"http://purl.oclc.org/ooxml/officeDocument/relationships"))
    assert parsed(path).pages == parsed(strict).pages
    assert parsed(path).pages[0].text == "words\n\nboxed words"


def test_slides_keep_their_order_titles_tables_charts_and_notes(tmp_path: Path) -> None:
    table = "<p:graphicFrame><a:tbl><a:tr>{}</a:tr></a:tbl></p:graphicFrame>".format(
        "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{t}</a:t></a:r></a:p></a:txBody></a:tc>" for t in "xy")
    )
    first = slide(shape("point one", "point two"), shape("The title", kind="title"), table, shape("7", kind="sldNum"))
    related = f'<Relationships><Relationship Id="r1" Type="{R}/notesSlide" Target="../notesSlides/n1.xml"/>'
    related += f'<Relationship Id="r2" Type="{R}/chart" Target="../charts/c1.xml"/></Relationships>'
    chart = "<a:p><a:r><a:t>Cost</a:t></a:r></a:p><strCache><v>2023</v><v>2024</v></strCache>"
    parts = {
        "ppt/slides/_rels/slide9.xml.rels": related,
        "ppt/notesSlides/n1.xml": slide(shape("say this", kind="body"), shape("3", kind="sldNum")),
        "ppt/charts/c1.xml": f'<c xmlns:a="{A}">{chart}</c>',
    }
    document = parsed(
        pptx(tmp_path / "a.pptx", {"slide9.xml": first, "slide1.xml": slide(), "s.xml": slide(shape("end"))}, parts)
    )
    assert [page.text for page in document.pages] == [
        "The title\n\npoint one\npoint two\n\nx | y\n\nNotes: say this\n\nCost\n2023 | 2024",
        "",
        "end",
    ]
    assert titles(document.pages[0]) == [(1, "The title")]


def test_sheets_read_one_line_a_row_with_the_headers_names(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "People"
    for row in (["Name", "Born", "Score"], ["Ann", date(1990, 5, 1), 3.0], [None, None, None], ["Ben\nB.", None, 2.5]):
        sheet.append(row)
    book.create_sheet("Numbers").append([1, True])
    book.create_sheet("Empty")
    path = tmp_path / "original-without-ending"
    book.save(path)
    document = parsed(path)
    people = "People\n\nName | Born | Score\nName: Ann | Born: 1990-05-01 | Score: 3\nName: Ben B. | Score: 2.5"
    assert [page.text for page in document.pages] == [people, "Numbers\n\n1 | True", "Empty"]
    assert titles(document.pages[0]) == [(1, "People")]


def test_bombs_are_refused_before_they_go_off(tmp_path: Path) -> None:
    body = "<w:p><w:r><w:t>a</w:t></w:r></w:p>" * 2_500_000
    assert reason(docx(tmp_path / "zip.docx", body)) == "too-large"
    entities = package(tmp_path / "entities.docx", "word/document.xml", {"word/document.xml": entity_bomb()})
    assert reason(entities) == "corrupt"
    late = f"<!--{' ' * 5000}-->" + entity_bomb().partition("?>")[2]
    for number, document in enumerate((late, late.encode("utf-16"))):
        assert (
            reason(package(tmp_path / f"{number}.docx", "word/document.xml", {"word/document.xml": document}))
            == "corrupt"
        )
    assert reason(docx(tmp_path / "deep.docx", "<w:r>" * 5000 + "</w:r>" * 5000)) == "nesting"


def test_broken_packages_say_how(tmp_path: Path) -> None:
    whole = docx(tmp_path / "a.docx", paragraph("words " * 500)).read_bytes()
    cut = tmp_path / "cut.docx"
    cut.write_bytes(whole[: len(whole) // 2])
    assert reason(cut) == "truncated"
    assert (
        reason(package(tmp_path / "xml.docx", "word/document.xml", {"word/document.xml": "<w:document>"})) == "corrupt"
    )
    assert reason(package(tmp_path / "none.docx", "word/document.xml", {})) == "corrupt"
    assert reason(package(tmp_path / "none.pptx", "ppt/presentation.xml", {})) == "corrupt"
    assert reason(package(tmp_path / "none.xlsx", "xl/workbook.xml", {"xl/workbook.xml": "<workbook/>"})) == "corrupt"
    assert reason(docx(tmp_path / "blank.docx", "<w:p/>")) == "no-text"
    damaged = tmp_path / "damaged.docx"
    damaged.write_bytes(whole.replace(b"PK\x01\x02", b"XX\x01\x02"))
    assert reason(damaged) == "corrupt"


def test_a_package_with_locked_parts_is_encrypted(tmp_path: Path) -> None:
    data = bytearray(docx(tmp_path / "a.docx", paragraph("x")).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    locked = tmp_path / "locked.docx"
    locked.write_bytes(data)
    assert reason(locked) == "encrypted"

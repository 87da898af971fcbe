"""HTML, Markdown, plain text, JSON, delimited files and mail."""

import json
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from etl_assets.documents.parsing.document import Page, ParsedDocument
from etl_assets.documents.parsing.parser import parse
from etl_assets.errors import DataError
from etl_assets_tests.documents.parsing.files import docx, entity_bomb, mail, paragraph

Parsed = Callable[..., ParsedDocument]


@pytest.fixture
def parsed(tmp_path: Path) -> Parsed:
    def of(data: str | bytes, name: str = "f", content_type: str | None = None) -> ParsedDocument:
        path = tmp_path / "stored"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return parse(path, name=name, content_type=content_type)

    return of


def titles(page: Page) -> list[tuple[int, str]]:
    return [(h.level, page.text[h.start : h.end]) for h in page.headings]


HTML = """<!DOCTYPE html><html><head><title>The page</title>
<meta property="article:published_time" content="2024-02-03T00:00">
<meta name="author" content="Anna"><style>p {}</style></head><body><nav><a href="/">Home</a></nav>
<ul class="docnav"><li><a href="p">Prev</a></li><li>The Book</li></ul><div role="navigation">skip</div>
<h1>Main <em>title</em></h1><p>First   paragraph<br>second line.</p>loose text<script>var x = 1;</script>
<ul><li>one</li><li>two<ol><li>nested</li></ol></li></ul>
<table><caption>Costs</caption><tr><th>item</th><th>price</th></tr><tr><td><p>tea</p><p>green</p></td><td>3</td></tr></table>
<table><tr><td><h2>Layout</h2><p>kept</p></td><td><table><tr><td>a</td><td>b</td></tr></table></td></tr></table>
<pre>line 1
  line 2</pre><p hidden>secret</p><img alt="a diagram"><div class="navy">blue words</div></body></html>"""


def test_html_keeps_body_text_headings_lists_and_tables_and_drops_navigation(parsed: Parsed) -> None:
    document = parsed(HTML)
    assert document.pages[0].text == (
        "Main title\n\nFirst paragraph\nsecond line.\n\nloose text\n\n- one\n- two\n- nested\n\nCosts\n\n"
        "item | price\ntea green | 3\n\nLayout\n\nkept\n\na | b\n\nline 1\n  line 2\n\na diagram\n\nblue words"
    )
    assert titles(document.pages[0]) == [(1, "Main title"), (2, "Layout")]
    facts = document.facts
    assert (facts["title"], facts["date"], facts["source"]) == ("The page", "2024-02-03", "Anna")
    assert (facts["document_type"], facts["encoding"]) == ("html", "utf-8")


def test_html_is_read_in_the_encoding_it_declares(parsed: Parsed) -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body>Zażółć</body></html>'.encode("iso8859-2")
    assert parsed(page).pages[0].text == "Zażółć"
    assert (
        parsed(page.replace(b"iso-8859-2", b"nonsense"), content_type="text/html; charset=iso-8859-2").pages[0].text
        == "Zażółć"
    )


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (
            '<script type="application/ld+json">{"datePublished": "2023-01-02", "dateModified": "2023-03-04"}</script>',
            "2023-03-04",
        ),
        ("", "2022-12-24"),
    ],
)
def test_html_dates_come_from_what_the_page_states(parsed: Parsed, head: str, expected: str) -> None:
    document = parsed(
        f'<html><head>{head}<link rel="canonical" href="https://example.org/a"></head>'
        '<body><time datetime="2022-12-24">x</time></body></html>'
    )
    assert (document.facts["date"], document.facts["source"]) == (expected, "https://example.org/a")


def test_html_nested_beyond_recursion_is_read(parsed: Parsed) -> None:
    assert parsed("<html>" + "<div>" * 20_000 + "deep" + "</div>" * 20_000).pages[0].text == "deep"


MARKDOWN = """---
title: "From the front"
date: 2024-05-06
authors: [Anna, Ben]
---
# Heading *one* #

text

Setext
======

```sh
# no heading
```

- item
---
## Two
"""


def test_markdown_keeps_its_text_and_finds_headings_outside_code(parsed: Parsed) -> None:
    document = parsed(MARKDOWN, "a.md")
    assert titles(document.pages[0]) == [(1, "# Heading *one* #"), (1, "Setext"), (2, "## Two")]
    assert document.pages[0].text.startswith("# Heading") and "# no heading" in document.pages[0].text
    facts = document.facts
    assert (facts["title"], facts["date"], facts["source"]) == ("From the front", "2024-05-06", "Anna")
    outline: Any = facts["outline"]
    assert [entry["title"] for entry in outline] == ["Heading *one*", "Setext", "Two"]


@pytest.mark.parametrize("front", ["---\nnot: [closed\n---\nwords", "---\njust words\n---\nwords", "---\nwords"])
def test_what_is_no_sound_front_matter_is_text(parsed: Parsed, front: str) -> None:
    assert parsed(front, "a.md").pages[0].text == front


def test_form_feeds_end_pages_of_plain_text(parsed: Parsed) -> None:
    document = parsed("A Title\n=======\n\nbody\r\nmore\x0c\x0cthird, with déjà".encode("cp1252") + b"\n\x0c", "a.txt")
    assert [page.text for page in document.pages] == ["A Title\n=======\n\nbody\nmore", "", "third, with déjà"]
    assert titles(document.pages[0]) == [(1, "A Title")]
    assert (document.facts["title"], document.facts["encoding"]) == ("A Title", "cp1252")


def test_a_date_in_the_name_serves_last(parsed: Parsed) -> None:
    assert parsed("words.", "report_2020-09-23_beyond.txt").facts["date"] == "2020-09-23"
    assert parsed("Published: 2021-01-01", "report_2020-09-23.txt").facts["date"] == "2021-01-01"
    assert parsed("words.", "report.txt").facts["date"] is None


def test_json_reads_as_paths_and_whole_values(parsed: Parsed) -> None:
    value = {
        "document": {
            "title": "Advisory",
            "tracking": {"current_release_date": "2023-01-12T00:00:00Z"},
            "publisher": {"name": "CERT"},
        },
        "notes": [{"text": "Two\r\nlines \ud800 of prose.", "n": 1.50}, {"text": "b", "ok": True, "none": None}],
    }
    document = parsed(json.dumps(value))
    assert document.pages[0].text == (
        "document.title: Advisory\ndocument.tracking.current_release_date: 2023-01-12T00:00:00Z\n"
        "document.publisher.name: CERT\n\nnotes[0].text: Two\nlines  of prose.\nnotes[0].n: 1.5\n\n"
        "notes[1].text: b\nnotes[1].ok: true"
    )
    facts = document.facts
    assert (facts["title"], facts["date"], facts["source"]) == ("Advisory", "2023-01-12", "CERT")


def test_json_keeps_repeated_names_huge_numbers_and_lines(parsed: Parsed) -> None:
    digits = "9" * 5000
    assert parsed(f'{{"a": {digits}, "a": NaN}}').pages[0].text == f"a: {digits}\na: NaN"
    assert parsed('{"a": 1}\n{"a": 2}\n').pages[0].text == "[0].a: 1\n\n[1].a: 2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"a": [1, 2', "truncated"), ('{"a": oops, "b": 1}', "corrupt"), ("[" * 100_000, "nesting"), ("{}", "no-text")],
)
def test_unsound_json_says_how(parsed: Parsed, text: str, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        parsed(text, "a.json")
    assert caught.value.reason == reason


def test_xml_says_what_its_elements_and_attributes_say(parsed: Parsed) -> None:
    feed = (
        "<!DOCTYPE feed SYSTEM 'x.dtd'><feed xmlns:a='urn:a'><a:title>A feed</a:title><updated>2024-03-05</updated>"
        "<entry ref='CVE-2024-1'><p>caf&eacute; <b>and</b> bar<!-- no --></p><n>7</n><empty/></entry></feed>"
    )
    document = parsed(feed, "feed.xml")
    assert document.pages[0].text == (
        "title: A feed\nupdated: 2024-03-05\nentry ref: CVE-2024-1\n\ncafé and bar\n\nn: 7"
    )
    named = {name: document.facts[name] for name in ("title", "date", "document_type")}
    assert named == {"title": "A feed", "date": "2024-03-05", "document_type": "xml"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (entity_bomb(), "corrupt"),
        (
            "<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><l>words &a; words</l>",
            "corrupt",
        ),
        ("<?xml version='1.0'?>" + "<a>" * 5000 + "words" + "</a>" * 5000, "nesting"),
        ("<?xml version='1.0'?><a><b>words that are here</b><c>and en", "truncated"),
        ("<?xml version='1.0'?><a><b>words</c></a>", "corrupt"),
    ],
    ids=["bomb", "foreign entity", "deep", "cut", "unsound"],
)
def test_hostile_xml_says_how(parsed: Parsed, text: str, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        parsed(text, "a.xml")
    assert caught.value.reason == reason


def test_delimited_rows_are_lines_under_the_headers_names(parsed: Parsed) -> None:
    document = parsed('name;note\nAnn;"two\nlines; here"\nBen;\n;;extra\n', "a.csv")
    assert document.pages[0].text == "name | note\nname: Ann | note: two lines; here\nname: Ben\nextra"
    assert document.facts["delimiter"] == ";"
    assert parsed("1,2\n3,4\n", "a.csv").pages[0].text == "1 | 2\n3 | 4"


def test_a_huge_cell_is_read_and_an_endless_one_refused(parsed: Parsed) -> None:
    assert len(parsed("a,b\n1," + "x" * 300_000, "a.csv").pages[0].text) > 300_000
    with pytest.raises(DataError) as caught:
        parsed("a,b\n1," + "x" * 17_000_000, "a.csv")
    assert caught.value.reason == "corrupt"


def test_a_mail_is_a_page_and_its_attachments_follow(parsed: Parsed, tmp_path: Path) -> None:
    message = mail("Bericht für März", "See attached.\n")
    message.add_alternative("<p>See <b>attached</b>.</p>", subtype="html")
    word = docx(tmp_path / "w.docx", paragraph("first", extra='<w:br w:type="page"/>') + paragraph("second"))
    message.add_attachment(word.read_bytes(), maintype="application", subtype="octet-stream", filename="wörd.docx")
    message.add_attachment(b"\x00asm\x01\x00\x00\x00", maintype="image", subtype="png", filename="logo.png")
    message.add_attachment(mail("Inner", "inner words"))
    document = parsed(bytes(message), "m.eml")
    head = "From: Anna Example <anna@example.org>\nTo: ben@example.org"
    assert document.pages[0].text.startswith(
        f"Bericht für März\n\n{head}\nDate: Fri, 05 May 2023 10:00:00 +0200\n\nSee attached."
    )
    assert [page.text for page in document.pages[1:3]] == ["first", "second"]
    assert document.pages[3].text.endswith("inner words") and [p.number for p in document.pages] == [1, 2, 3, 4]
    facts = document.facts
    assert (facts["title"], facts["date"], facts["source"]) == (
        "Bericht für März",
        "2023-05-05",
        "Anna Example <anna@example.org>",
    )
    attachments: Any = facts["attachments"]
    assert [(a["name"], a.get("first_page"), a.get("reason")) for a in attachments] == [
        ("wörd.docx", 2, None), ("logo.png", None, "unsupported-type"), ("attachment 3", 4, None),
    ]  # fmt: skip


def test_a_mail_with_html_alone_is_read_as_html(parsed: Parsed) -> None:
    message = mail("Hi", "")
    message.set_content("<h2>Big</h2><script>no</script><p>words</p>", subtype="html")
    assert parsed(bytes(message)).pages[0].text.endswith("Big\n\nwords")


def test_mails_inside_mails_end_somewhere(parsed: Parsed) -> None:
    message = mail("0", "the innermost")
    for depth in range(1, 9):
        outer = mail(str(depth), f"level {depth}")
        outer.add_attachment(message)
        message = outer
    document = parsed(bytes(message))
    assert len(document.pages) == 5


@pytest.mark.parametrize(
    "headers",
    [
        "From: =?utf-8?q?=FF?= <@>\nDate: yesterday\n",
        "From: a@b\nDate: Fri, 99 Foo 2023 99:99\nTo: ,,,;<\n",
        "From: a\nContent-Type: x/y; name*=''%\n",
        "From: a@b\nDate: Fri, 05 May 4294967295 10:00:00 +0200\nTo: c@d\n",
    ],
)
def test_hostile_headers_do_not_cost_the_body(parsed: Parsed, headers: str) -> None:
    data = f"{headers}Subject: s\nMIME-Version: 1.0\nReceived: x\n\nthe body\n"
    assert "the body" in "".join(page.text for page in parsed(data, "m.eml").pages)


def test_endless_headers_are_kept_as_they_are_written(parsed: Parsed) -> None:
    names = ", ".join(f"a{n}@b.c" for n in range(5_000))
    words = "=?utf-8?q?a?= " * 5_000
    text = parsed(f"From: a@b.c\nTo: {names}\nSubject: {words}\nDate: {words}\n\nthe body", "a.eml").pages[0].text
    assert names in text and words.strip() in text and text.endswith("the body")


def test_a_mail_of_endless_parts_is_refused(parsed: Parsed) -> None:
    message = EmailMessage()
    message["From"], message["Subject"], message["Date"] = "a@b.c", "s", "Fri, 05 May 2023 10:00:00 +0200"
    message.make_mixed()
    for _ in range(1100):
        part = EmailMessage()
        part.set_content("x")
        message.attach(part)
    with pytest.raises(DataError) as caught:
        parsed(bytes(message))
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (" " * 2_000_000 + "x", "text"),
        ("# x\n" + "[" * 200_000, "text"),
        ("# x\n" + "**a" * 60_000, "markdown"),
        ("<html>" + "<table><tr><td>" * 5_000 + "x", "html"),
        ("<html>" + "<div class=nav>words of many kinds, " * 5_000, "html"),
        ("<html>" + "<p>x" * 20_000, "html"),
        ("From: a@b.c\nTo: b\nDate: x\n" + " x\n" * 20_000 + "\nbody", "eml"),
        ("January 1" * 50_000, "text"),
    ],
    ids=range(8),
)
def test_text_built_to_be_slow_is_read_in_linear_time(parsed: Parsed, data: str, kind: str) -> None:
    """Each of these took minutes, or would, with a pattern or a look-ahead that starts again at every character."""
    assert parsed(data).facts["document_type"] == kind

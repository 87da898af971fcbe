"""Writing from right to left: the order of reading out of places on the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.parsing.parser import parse
from etl_assets.documents.parsing.pdf_bidi import Glyph, words_in_order
from etl_assets_tests.documents.parsing.pdf_files import FONT, pdf


def shown(visual: str) -> list[Glyph]:
    """Glyphs of ten points each, from left to right as they are seen."""
    return [Glyph(c, 10.0 * n, 0, 10.0 * n + 10, 12, n) for n, c in enumerate(visual)]


def read(visual: str, *, rtl: bool = True) -> str:
    words = words_in_order(shown(visual), 12, rtl=rtl)
    return " ".join("".join(glyph.text for glyph in word) for word in words)


@pytest.mark.parametrize(
    ("visual", "logical"),
    [
        ("ג ב א", "א ב ג"),
        ("TLS 1.0 בא", "אב TLS 1.0"),
        ("ד 2021-05-03 ג", "ג 2021-05-03 ד"),
        ("ד 03-05-2021 \u0639", "\u0639 2021-05-03 ד"),
        ("ד 50% ג", "ג 50% ד"),
        ("4.0.3 ג", "ג 4.0.3"),
        (".Java applets", "Java applets."),
        ("ג Security Policy (CSP)", "Security Policy (CSP) ג"),
        ("(C5) .deserialization ג", "ג deserialization. (C5)"),
        ("]ג[ )ד(", "(ד) [ג]"),
        ("71 Practice", "71 Practice"),
    ],
)
def test_what_is_seen_is_read_in_its_order(visual: str, logical: str) -> None:
    assert read(visual) == logical


def test_a_foreign_word_in_latin_text_is_turned_alone() -> None:
    assert read("the word בא is two letters", rtl=False) == "the word אב is two letters"


def test_an_accent_goes_with_the_letter_it_stands_over_and_a_ligature_with_its_letters_in_order() -> None:
    accent = Glyph("\u064b", 12, 8, 15, 11, 9)
    ligature = [Glyph(c, 20, 0, 30, 12, n) for n, c in enumerate("\u0622\u0644")]
    glyphs = [accent, Glyph("\u0627", 0, 0, 10, 12, 3), Glyph("\u062f", 10, 0, 20, 12, 2), *ligature]
    ((*letters,),) = words_in_order(glyphs, 12, rtl=True)
    assert "".join(glyph.text for glyph in letters) == "\u0644\u0622\u062f\u064b\u0627"


@given(st.text("אבג\u0639\u0628 abc123.-%()[]", max_size=30), st.booleans())
def test_no_glyph_is_lost_or_doubled(visual: str, rtl: bool) -> None:
    found = [glyph.at for word in words_in_order(shown(visual), 12, rtl=rtl) for glyph in word]
    assert sorted(found) == [n for n, c in enumerate(visual) if c != " "]


def test_a_table_from_right_to_left_has_its_first_column_at_the_right(tmp_path: Path) -> None:
    letters = "אבגדהוזחטיכלמנ"
    codes = {c: n for n, c in enumerate(letters, 65)}
    maps = "".join(f"<{code:02x}> <{ord(c):04x}>\n" for c, code in codes.items())
    cmap = "/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <ff> endcodespacerange\n"
    cmap += f"{len(codes)} beginbfchar\n{maps}endbfchar endcmap end"
    font = FONT.replace(" >>", " /ToUnicode 20 0 R >>")

    def at(right: int, y: int, text: str) -> str:
        codes_of = [codes[c] for c in reversed(text)]
        return f"BT /F 10 Tf {right - 7 * len(text)} {y} Td <{''.join(f'{c:02x}' for c in codes_of)}> Tj ET\n"

    content = at(560, 700, "אב") + at(500, 700, "גדה") + at(200, 700, "וז")
    for n, key in enumerate("חטי"):
        content += at(560, 670 - 40 * n, key) + at(500, 670 - 40 * n, "כלמנאב") + at(200, 670 - 40 * n, "זו")
        content += at(500, 657 - 40 * n, "גד")
    data = pdf(content).replace(FONT.encode(), font.encode())
    data += f"20 0 obj\n<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream\nendobj\n".encode()
    path = tmp_path / "a.pdf"
    path.write_bytes(data.replace(b"startxref", b"start"))  # PDFium rebuilds the table of offsets
    page = parse(path, name="a.pdf", content_type=None).pages[0]
    rows = [[page.text[c.start : c.end] for c in row] for row in page.tables[0].rows]
    assert rows == [["אב", "גדה", "וז"], *([key, "כלמנאב גד", "זו"] for key in "חטי")]
    box = page.tables[0].rows[1][0].box
    assert box is not None and 545 < box[0] < box[2] < 565


def test_an_accent_that_shares_its_letters_glyph_stays_with_it(shared_data: Callable[..., Path]) -> None:
    path = shared_data("format-zoo", "pdf", "py-pdf-sample-files", "habibi-rotated.pdf")
    assert "حَبيبي" in parse(path, name=path.name, content_type=None).pages[0].text

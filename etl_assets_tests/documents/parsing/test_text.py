"""Encodings and the normal form of text."""

import codecs
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.parsing.document import TextBudget
from etl_assets.documents.parsing.text import PageBuilder, clean, decode, one_line, table_row
from etl_assets.errors import DataError

any_text = st.text(st.characters() | st.sampled_from("\r\n\t \x00\x0c\ufffe\ufeff\ud800\u2028\xa0\xad"))


@given(any_text)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(any_text)
def test_clean_text_is_utf8_without_controls_and_with_plain_line_ends(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in cleaned)
    assert not set("\r\ufffe\ufeff") & set(cleaned)
    assert "\n\n\n" not in cleaned


@given(st.lists(st.tuples(any_text, st.integers(0, 9), st.sampled_from([None, "a", "b"]))))
def test_headings_span_exactly_their_line(blocks: list[tuple[str, int, str | None]]) -> None:
    builder = PageBuilder(TextBudget())
    for text, level, group in blocks:
        builder.add(text, level=level, group=group)
    page = builder.page(1)
    expected = [(level, one_line(text)) for text, level, _ in blocks if level and one_line(text)]
    assert [(h.level, page.text[h.start : h.end]) for h in page.headings] == expected


@pytest.mark.parametrize(
    ("data", "declared", "text", "encoding"),
    [
        (b"plain", None, "plain", "utf-8"),
        ("naïve".encode(), "latin-1", "naïve", "utf-8"),
        (codecs.BOM_UTF8 + "é".encode(), None, "é", "utf-8"),
        ("déjà vu, année".encode("cp1252"), None, "déjà vu, année", "cp1252"),
        ("“smart” – quotes".encode("cp1252"), None, "“smart” – quotes", "cp1252"),
        ("Zażółć gęślą".encode("iso8859-2"), "iso-8859-2", "Zażółć gęślą", "iso8859-2"),
        ("wide".encode("utf-16"), None, "wide", "utf-16"),
        ("wide text".encode("utf-16-le"), None, "wide text", "utf-16-le"),
        ("wide text".encode("utf-16-be"), None, "wide text", "utf-16-be"),
        ("wide".encode("utf-32"), None, "wide", "utf-32"),
        ("日本語の文章です。".encode("shift_jis"), "shift_jis", "日本語の文章です。", "shift_jis"),
        (b"bad \x81\x8d byte", "no-such-charset", "bad \x81\x8d byte", "latin-1"),
    ],
)
def test_the_encoding_is_found_and_named(data: bytes, declared: str | None, text: str, encoding: str) -> None:
    assert decode(data, declared) == (text, encoding)


def test_a_broken_byte_in_utf8_text_costs_that_byte_only() -> None:
    text, encoding = decode("größer und länger, öfter und süßer ".encode() * 20 + b"\xff")
    assert text.startswith("größer") and encoding == "utf-8 with errors"


def test_undeclared_cyrillic_is_found_by_statistics() -> None:
    sentence = "Злоумышленники использовали уязвимость для доступа к сети предприятия. " * 5
    assert decode(sentence.encode("cp1251"))[0] == sentence


@given(st.binary(max_size=200), st.sampled_from([None, "utf-8", "utf-7", "rot13", "cp037", "\x00"]))
def test_any_bytes_decode(data: bytes, declared: str | None) -> None:
    assert isinstance(decode(data, declared)[0], str)


def test_a_table_row_is_one_line() -> None:
    assert table_row(["a\nb", "", "c"]) == "a b |  | c"
    assert table_row(["", " "]) == ""


def test_text_without_end_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        TextBudget(10).spend(11)
    assert caught.value.reason == "too-large"

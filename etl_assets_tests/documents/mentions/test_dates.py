import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.mentions.dates import dates


def found(*pages: str) -> list[list[tuple[str, str]]]:
    return [
        [(text[one.start : one.end], one.name) for one in page] for text, page in zip(pages, dates(pages), strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "span", "normal"),
    [
        ("on 2021-05-14 it", "2021-05-14", "2021-05-14"),
        ("May 14, 2021", "May 14, 2021", "2021-05-14"),
        ("Sept. 22,\u00a02020", "Sept. 22,\u00a02020", "2020-09-22"),
        ("the 16th of October 2020", "16th of October 2020", "2020-10-16"),
        ("1 Dec. 2018", "1 Dec. 2018", "2018-12-01"),
        ("24-Mar-2020", "24-Mar-2020", "2020-03-24"),
        ("08/25/2018", "08/25/2018", "2018-08-25"),
        ("25/08/2018", "25/08/2018", "2018-08-25"),
        ("05/05/2018", "05/05/2018", "2018-05-05"),
        ("in June 2021.", "June 2021", "2021-06"),
        ("June\n8, 2021", "June\n8, 2021", "2021-06-08"),
        ("since 2019, they", "2019", "2019"),
    ],
)
def test_a_date_is_found_and_normalised(text: str, span: str, normal: str) -> None:
    assert found(text) == [[(span, normal)]]


@pytest.mark.parametrize(
    "text",
    [
        "Windows Server 2019", "in Windows 2012", "version 2.2020", "05/08/2018", "2021-13-45", "February 30, 2021",
        "CVE-2021-44228", "https://x.com/2021/05/14/a", "it may 4 times", "port 2019", "10.20.2030.1", "12:2019",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_date_is_none(text: str) -> None:
    assert [name for page in found(text) for _, name in page if len(name) != 7] == []


def test_a_day_without_a_year_counts_from_the_first_whole_date_of_the_document() -> None:
    assert found("Published May 14, 2021", "On 3 March and on June 1st, last year, they") == [
        [("May 14, 2021", "2021-05-14")],
        [("3 March", "2021-03-03"), ("June 1st", "2021-06-01"), ("last year", "2020")],
    ]
    assert found("On 3 March they came last year") == [[]]


@given(st.text(alphabet="0123456789-/. ,MayJune\n\u0664\u4e00"))
def test_any_text_gives_ordered_spans_of_real_dates(text: str) -> None:
    (page,) = dates([text])
    assert all(0 <= one.start < one.end <= len(text) for one in page)
    assert all(one.end <= other.start for one, other in zip(page, page[1:], strict=False))

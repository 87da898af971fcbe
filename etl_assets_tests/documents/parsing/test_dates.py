"""Dates that documents state about themselves."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.parsing.dates import iso_date, labelled_date, standing_alone


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_a_date_is_read_in_every_usual_form(day: date) -> None:
    forms = ("%Y-%m-%d", "%Y/%m/%d", "%B %d, %Y", "%d %B %Y", "%b %d, %Y", "D:%Y%m%d120000Z", "%Y-%m-%dT10:00:00Z")
    assert {iso_date(day.strftime(form)) for form in forms} == {day.isoformat()}


@pytest.mark.parametrize("text", [None, "", "soon", "2023-02-30", "version 1.2.2023.4", "Mayor 3, 20234"])
def test_what_is_no_date_gives_none(text: str | None) -> None:
    assert iso_date(text) is None


def test_a_month_counts_as_its_first_day() -> None:
    assert iso_date("November, 2007") == "2007-11-01"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Release Date: April 18, 2023\nLast Revised: May 2, 2023", "2023-05-02"),
        ("**Published:** 2024-01-05", "2024-01-05"),
        ("Date 3 June 2021", "2021-06-03"),
        ("The breach of June 3, 2021 was published widely", None),
    ],
)
def test_a_revision_goes_before_a_release_and_other_dates_do_not_count(text: str, expected: str | None) -> None:
    assert labelled_date(text) == expected


def test_a_line_that_is_a_date_counts() -> None:
    assert standing_alone("A title\nSeptember 23, 2020\nIt began on May 1, 2019.") == "2020-09-23"
    assert standing_alone("A title\nSeptember 2009") is None
    assert standing_alone("A title\nSeptember 2009", month_is_enough=True) == "2009-09-01"

"""What may be written for one setting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.errors import ConfigError
from etl_assets.fields import Choice, Field, FolderPath, Kind, Owner, Real, Switch, Whole


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Whole(0, 9), "7", 7),
        (Whole(-9, 9), "-7", -7),
        (Whole(0, 9999), "1_000", 1000),
        (Whole(0, 99), "010", 10),
        (Whole(1, 1024, power_of_two=True), "512", 512),
        (Real(0, 9), "2", 2.0),
        (Real(0, 9), "2.5e0", 2.5),
        (Switch(), "Yes", True),
        (Switch(), "off", False),
        (Choice(("a", "b")), "b", "b"),
        (FolderPath(), "some where/else", "some where/else"),
        (Owner(), "team:research", "team:research"),
        (Owner(), "a.person@example.org", "a.person@example.org"),
    ],
)
def test_what_is_allowed_is_read(kind: Kind, text: str, value: object) -> None:
    read = kind.read(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Whole(0, 9), "10"),
        (Whole(0, 9), "-1"),
        (Whole(0, 9), "2.0"),
        (Whole(0, 9), "0x2"),
        (Whole(0, 9), ""),
        (Whole(0, 9), "9" * 5000),
        (Whole(0, 9), "٣"),
        (Whole(0, 1024, power_of_two=True), "0"),
        (Whole(1, 1024, power_of_two=True), "48"),
        (Real(0, 9), "nan"),
        (Real(0, 9), "inf"),
        (Real(0, 9), "1e999"),
        (Real(0, 9), "9.1"),
        (Switch(), "maybe"),
        (Choice(("a",)), "A"),
        (FolderPath(), "~/data"),
        (FolderPath(), ""),
        (FolderPath(), "a\nb"),
        (Owner(), "team:"),
        (Owner(), "somebody"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(kind: Kind, text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        kind.read(text)
    assert str(refusal.value) == kind.allowed


@given(st.integers())
def test_whole_numbers_are_read_exactly_within_their_bounds(number: int) -> None:
    kind = Whole(-1000, 1000)
    if -1000 <= number <= 1000:
        assert kind.read(str(number)) == number
    else:
        with pytest.raises(ConfigError):
            kind.read(str(number))


def test_an_owner_that_is_accepted_here_is_accepted_by_dagster() -> None:
    from dagster._core.definitions.utils import is_valid_owner

    for owner in ("team:research", "a.person@example.org", "x%y+z@sub.example.com"):
        assert Owner().read(owner) == owner
        assert is_valid_owner(owner)


def test_a_field_says_its_unit_and_that_it_may_be_unset() -> None:
    assert Field(Whole(1, 9), "", "seconds", unset="none").allowed == "a whole number from 1 to 9 (seconds), or null"
    assert Field(Owner(), "", many=True).allowed == "a list, each an e-mail address or team:NAME"
    assert Choice(("a", "b", "c")).allowed == "a, b or c"
    assert Choice(("a",)).allowed == "a"

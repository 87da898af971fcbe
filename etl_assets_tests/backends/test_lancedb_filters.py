"""The SQL conditions admit exactly what visibility and filters do."""

from collections.abc import Sequence

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.backends.lancedb_filters import LONGEST_CONDITION, condition, in_numbers, text
from etl_assets.protocols.indexes import Filters
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.conformance.index_rows import visibilities


def admitted(where: str, numbers: Sequence[int]) -> set[int]:
    """Which of ``numbers`` satisfy the condition, decided by another SQL engine."""
    rows = duckdb.execute(f"SELECT publication FROM (SELECT unnest(?) AS publication) WHERE {where}", [[*numbers]])
    return {row[0] for row in rows.fetchall()}


@given(numbers=st.sets(st.integers(0, 200), min_size=1))
def test_a_list_with_runs_holds_exactly_its_numbers(numbers: set[int]) -> None:
    assert admitted(in_numbers("publication", numbers), range(210)) == numbers


@given(visible=visibilities(60), allowed=st.none() | st.lists(st.integers(0, 70)).map(tuple))
def test_a_condition_admits_exactly_what_is_visible(visible: Visibility, allowed: tuple[int, ...] | None) -> None:
    where = condition(visible, Filters(publications=allowed), list)
    expected = {n for n in range(71) if visible.admits(n) and (allowed is None or n in allowed)}
    assert (admitted(where, range(71)) if where else set()) == expected


@given(
    held=st.sets(st.integers(1, 400)),
    keep=st.sampled_from([2, 3, 40]),
    first=st.integers(1, 40),
)
@settings(max_examples=20)
def test_a_long_condition_is_narrowed_to_what_the_table_holds(held: set[int], keep: int, first: int) -> None:
    hidden = tuple((n, n) for n in range(first, keep * 3 * LONGEST_CONDITION, keep))
    visible = Visibility(sequence=1, highest=10**9, hidden=hidden)
    where = condition(visible, Filters(), lambda: sorted(held))
    assert (admitted(where, sorted(held)) if where else set()) == {n for n in held if visible.admits(n)}
    assert where is None or len(where) < 8 * LONGEST_CONDITION


def test_a_short_condition_asks_the_table_nothing() -> None:
    def unexpected() -> list[int]:
        raise AssertionError("the table was read")

    short = Visibility(sequence=1, highest=10**6, hidden=((5, 5), (100, 200_000)))
    assert condition(short, Filters(), unexpected) is not None
    assert condition(short, Filters(publications=tuple(range(0, 4_000, 2))), unexpected) is not None


@given(value=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_a_quoted_text_is_that_text(value: str) -> None:
    assert duckdb.execute(f"SELECT {text(value)}").fetchone() == (value,)

"""What holds for every index of rows, vector or keyword, whatever is behind it. The two suites inherit it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from etl_assets.protocols.indexes import Filters, IndexHit, IndexSpace, RowIndex, StoredRow
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.conformance.index_rows import (
    ALL,
    LABELS,
    NO_FILTERS,
    SPACE,
    TYPES,
    Row,
    filters,
    varied_rows,
    visibilities,
)

Index = TypeVar("Index", bound=RowIndex)
INDEX_PER_CLASS = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
VARIED = IndexSpace("acme", "varied", 1)


def half_indexed(index: Index, table: Callable[[Iterable[Row]], pa.Table]) -> Index:
    """``index`` with the varied rows, half of them indexed and half just written."""
    index.write(VARIED, table(varied_rows()[:30]))
    index.optimise(VARIED, now=True)
    index.write(VARIED, table(varied_rows()[30:]))
    return index


class RowIndexSuite(ABC, Generic[Index]):
    """Inherit, and give an ``index`` fixture, ``table``, ``found`` (every match of a query that all rows match)."""

    MANY = 9_000
    """Rows of one batch: more than any store takes, lists or reads at once."""

    @abstractmethod
    def table(self, rows: Iterable[Row]) -> pa.Table: ...

    @abstractmethod
    def found(self, index: Index, space: IndexSpace, k: int, visible: Visibility, only: Filters) -> list[IndexHit]: ...

    @abstractmethod
    def digest(self, row: Row) -> str: ...

    def ids(
        self, index: Index, *, space: IndexSpace = SPACE, visible: Visibility = ALL, only: Filters = NO_FILTERS
    ) -> set[tuple[int, str]]:
        return {(hit.publication, hit.chunk_id) for hit in self.found(index, space, 10_000, visible, only)}

    def stored(self, rows: Sequence[Row]) -> set[StoredRow]:
        return {StoredRow(row.publication, row.document_id, row.chunk_id, self.digest(row)) for row in rows}

    def test_a_space_never_written_is_empty_in_every_way(self, index: Index) -> None:
        assert self.found(index, SPACE, 10, ALL, NO_FILTERS) == []
        assert index.counts(SPACE, [1, 2]) == {}
        assert [*index.rows(SPACE)] == []
        assert [*index.spaces()] == []
        index.remove(SPACE, [1])
        index.optimise(SPACE, now=True)
        index.drop(SPACE)
        assert [*index.spaces()] == []

    def test_writing_no_rows_is_no_error(self, index: Index) -> None:
        index.write(SPACE, self.table([]))
        assert [*index.rows(SPACE)] == []

    def test_rows_read_back_are_the_rows_written(self, index: Index) -> None:
        rows = varied_rows()
        index.write(SPACE, self.table(rows[:20]))
        index.write(SPACE, self.table(rows[20:]))
        assert set(index.rows(SPACE)) == self.stored(rows)
        assert index.counts(SPACE, [1, 2, 999]) == {1: 2, 2: 2}
        assert index.counts(SPACE, []) == {}

    @pytest.mark.parametrize(
        "change",
        [
            {"document_type": "text/html"}, {"document_type": None}, {"document_type": ""}, {"labels": LABELS[:1]},
            {"document_date": date(2024, 1, 2)}, {"document_date": None}, {"labels": ()}, {"text": "other"},
            {"labels": (*LABELS, "threat:more")},
        ],
    )  # fmt: skip
    def test_what_is_read_back_of_a_row_tells_every_column_apart(self, index: Index, change: dict[str, Any]) -> None:
        rows = [
            Row(number, "c", seed=number, document_date=date(2024, 1, 1), labels=(*LABELS,)) for number in (1, 2, 3)
        ]
        index.write(SPACE, self.table(rows))
        altered = replace(rows[1], **{"seed": 9 if "text" in change else 2, **change})
        index.write(SPACE, self.table([altered]))
        assert set(index.rows(SPACE)) == self.stored([rows[0], altered, rows[2]]) != self.stored(rows)
        index.write(SPACE, self.table([replace(rows[1], labels=(*reversed(LABELS),))]))
        assert set(index.rows(SPACE)) == self.stored(rows), "the order of labels is nothing that a search could tell"

    def test_a_repeated_write_replaces_itself(self, index: Index) -> None:
        rows = [Row(1, "a", seed=1), Row(1, "b", seed=2), Row(2, "a", seed=3)]
        for _ in range(3):
            index.write(SPACE, self.table(rows))
        assert sorted((row.publication, row.chunk_id) for row in index.rows(SPACE)) == [(1, "a"), (1, "b"), (2, "a")]

    def test_a_write_replaces_only_the_rows_it_names(self, index: Index) -> None:
        kept, old = Row(1, 'a\'s \\ "quoted"', text="kept", seed=1), Row(1, "b", text="old", seed=2)
        index.write(SPACE, self.table([kept, old, Row(2, "b", text="other", seed=3)]))
        new = replace(old, text="new", seed=4)
        index.write(SPACE, self.table([new, Row(3, "b", text="third", seed=5)]))
        expected = [kept, new, Row(2, "b", text="other", seed=3), Row(3, "b", text="third", seed=5)]
        assert [*sorted(index.rows(SPACE), key=str)] == sorted(self.stored(expected), key=str)

    def test_of_one_id_written_twice_in_a_table_the_later_row_stays(self, index: Index) -> None:
        first, last = Row(1, "a", text="first", seed=1), Row(1, "a", text="last", seed=2)
        index.write(SPACE, self.table([first, last]))
        assert [*index.rows(SPACE)] == [*self.stored([last])]

    def test_removal_takes_these_publications_and_no_others(self, index: Index) -> None:
        rows = varied_rows()
        index.write(SPACE, self.table(rows))
        for _ in range(2):
            index.remove(SPACE, [1, 5, 999])
        assert set(index.rows(SPACE)) == self.stored([row for row in rows if row.publication not in (1, 5)])
        assert index.counts(SPACE, [1, 5, 6]) == {6: 2}
        assert not {number for number, _ in self.ids(index)} & {1, 5}
        index.remove(SPACE, [])
        index.remove(SPACE, range(1, 31))
        assert [*index.rows(SPACE)] == []
        assert self.ids(index) == set()

    def test_spaces_never_see_each_other(self, index: Index) -> None:
        spaces = [
            SPACE,
            IndexSpace("acme", "reports", 2),
            IndexSpace("acme", "reports", 12),
            IndexSpace("acme", "notes", 1),
            IndexSpace("globex", "reports", 1),
            IndexSpace("acme-", "_reports", 1),
            IndexSpace("acme", "-" * 64, 1),
            IndexSpace("a" * 64, "b" * 64, 2**40),
        ]
        for number, space in enumerate(spaces, start=1):
            index.write(space, self.table([Row(7, f"chunk-{number}", seed=number)]))
        assert set(index.spaces()) == set(spaces)
        for number, space in enumerate(spaces, start=1):
            assert self.ids(index, space=space) == {(7, f"chunk-{number}")}
            assert {row.chunk_id for row in index.rows(space)} == {f"chunk-{number}"}
        index.remove(spaces[0], [7])
        index.drop(spaces[1])
        assert [*index.rows(spaces[0])] == []
        assert set(index.spaces()) - {spaces[0]} == set(spaces[2:])
        for number, space in enumerate(spaces[2:], start=3):
            assert index.counts(space, [7]) == {7: 1}, number

    def test_a_dropped_space_may_be_written_again(self, index: Index) -> None:
        index.write(SPACE, self.table([Row(1, "old")]))
        index.drop(SPACE)
        assert self.ids(index) == set()
        index.write(SPACE, self.table([Row(2, "new")]))
        assert self.ids(index) == {(2, "new")}

    def test_rows_survive_housekeeping(self, index: Index) -> None:
        rows = varied_rows()
        for row in rows[:12]:
            index.write(SPACE, self.table([row]))
        index.optimise(SPACE, now=True)
        index.write(SPACE, self.table(rows[12:]))
        index.remove(SPACE, [1])
        for _ in range(2):
            left = [row for row in rows if row.publication != 1]
            assert set(index.rows(SPACE)) == self.stored(left)
            assert self.ids(index) == {(row.publication, row.chunk_id) for row in left}
            index.optimise(SPACE, now=True)

    def test_hidden_and_later_publications_are_not_found(self, index: Index) -> None:
        index.write(SPACE, self.table(Row(number, "c", seed=number) for number in range(1, 61)))
        visible = Visibility(sequence=9, highest=50, hidden=((1, 1), (10, 30), (33, 34), (50, 50)))
        assert {p for p, _ in self.ids(index, visible=visible)} == {n for n in range(1, 61) if visible.admits(n)}
        assert self.ids(index, visible=Visibility(1, 0)) == set()

    def test_an_allow_list_of_nothing_finds_nothing(self, index: Index) -> None:
        index.write(SPACE, self.table([Row(1, "c")]))
        assert self.ids(index, only=Filters(publications=())) == set()
        assert self.ids(index, only=Filters(publications=(2, 3))) == set()

    def test_rows_without_a_date_pass_no_date_filter(self, index: Index) -> None:
        index.write(SPACE, self.table([Row(1, "undated"), Row(2, "dated", document_date=date(2024, 5, 1))]))
        assert self.ids(index, only=Filters(since=date.min)) == {(2, "dated")}
        assert self.ids(index, only=Filters(until=date.max)) == {(2, "dated")}
        assert self.ids(index, only=Filters(since=date(2024, 5, 1), until=date(2024, 5, 1))) == {(2, "dated")}
        assert self.ids(index, only=Filters(since=date(2024, 5, 2))) == set()

    def test_types_are_values_and_never_syntax(self, index: Index) -> None:
        hostile = [*TYPES, "') OR 1=1 --", "''", "a'b''c", "\\'", "NULL", "%", "{}", "text\x00nul"]
        index.write(SPACE, self.table(Row(n, "c", document_type=kind) for n, kind in enumerate(hostile, start=1)))
        for number, kind in enumerate(hostile, start=1):
            assert self.ids(index, only=Filters(document_types=(kind,))) == {(number, "c")}, kind
        assert self.ids(index, only=Filters(document_types=("absent' OR 'a'='a",))) == set()

    def test_thousands_of_numbers_may_be_allowed_or_hidden(self, index: Index) -> None:
        index.write(SPACE, self.table(Row(number, "c", seed=number) for number in range(1, 201)))
        even = tuple(range(2, 20_000, 2))
        assert {p for p, _ in self.ids(index, only=Filters(publications=even))} == set(range(2, 201, 2))
        scattered = Visibility(1, 10**9, tuple((number, number) for number in even))
        assert {p for p, _ in self.ids(index, visible=scattered)} == set(range(1, 201, 2))
        wide = Visibility(1, 10**9, tuple((low, low + 49) for low in range(101, 900_000, 100)))
        assert {p for p, _ in self.ids(index, visible=wide)} == {*range(1, 101), *range(151, 201)}
        nothing = Visibility(1, 10**9, ((1, 10**8),))
        assert self.ids(index, visible=nothing) == set()
        later = Visibility(1, 10**9, tuple((number, number) for number in range(1_001, 20_000, 2)))
        assert len(self.ids(index, visible=later)) == 200

    def test_ids_and_types_of_any_script_come_back_as_they_were(self, index: Index) -> None:
        names = ["caf\u00e9", "cafe\u0301", "\u65e5\u672c\u8a9e", "\U0001f600", "a\nb\tc", "x" * 500, "it's", "nul\x00"]
        rows = [Row(n, name, text=f"word {name}", document_type=name) for n, name in enumerate(names, start=1)]
        index.write(SPACE, self.table(rows))
        assert set(index.rows(SPACE)) == self.stored(rows)

    def test_k_may_be_zero_or_far_more_than_there_is(self, index: Index) -> None:
        index.write(SPACE, self.table(varied_rows()))
        assert self.found(index, SPACE, 0, ALL, NO_FILTERS) == []
        assert len(self.found(index, SPACE, 100_000, ALL, NO_FILTERS)) == 60
        best = self.found(index, SPACE, 100, ALL, NO_FILTERS)
        assert self.found(index, SPACE, 7, ALL, NO_FILTERS) == best[:7]

    def test_hits_come_best_first_and_equal_ones_by_document_then_chunk_in_whatever_order_they_came(
        self, index: Index
    ) -> None:
        twins = [Row(p, c, text="zebra twin", seed=1) for p in range(40, 0, -1) for c in ("b", "a")]
        index.write(SPACE, self.table(twins))
        hits = self.found(index, SPACE, 25, ALL, NO_FILTERS)
        assert [(hit.document_id, hit.chunk_id) for hit in hits] == sorted((t.document_id, t.chunk_id) for t in twins)[
            :25
        ]

    def test_a_batch_of_many_rows_is_kept_whole(self, index: Index) -> None:
        rows = [Row(1 + i // 50, f"c{i}", text=f"zebra number {i}", seed=i % 100) for i in range(self.MANY)]
        index.write(SPACE, self.table(rows))
        assert sum(index.counts(SPACE, range(1, 181)).values()) == self.MANY
        assert sum(1 for _ in index.rows(SPACE)) == self.MANY

    @given(visible=visibilities(), only=filters())
    @INDEX_PER_CLASS
    def test_a_query_finds_exactly_what_the_rules_admit(
        self, varied_index: Index, visible: Visibility, only: Filters
    ) -> None:
        admitted = {(row.publication, row.chunk_id) for row in varied_rows() if row.passes(visible, only)}
        assert self.ids(varied_index, space=VARIED, visible=visible, only=only) == admitted

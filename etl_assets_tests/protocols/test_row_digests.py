"""The digest of a row tells every change that a search could, and nothing that no search could."""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.protocols.indexes import keyword_rows, vector_rows
from etl_assets.protocols.row_digests import row_digest, row_digests

TEXTS = st.text(st.characters(codec="utf-8"), max_size=4)
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "document_type": st.none() | TEXTS,
    "document_date": st.none() | st.dates(),
    "labels": st.none() | st.lists(TEXTS, max_size=3),
    "text": TEXTS,
    "vector": st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2),
}
ROWS = st.fixed_dictionaries({"document_id": TEXTS, "chunk_id": TEXTS, "publication": st.integers(0, 9), **COLUMNS})


def tables(rows: list[dict[str, Any]]) -> dict[str, pa.Table]:
    return {
        value: pa.Table.from_pylist(rows, schema=schema)
        for value, schema in (("text", keyword_rows()), ("vector", vector_rows(2)))
    }


def alike(column: str, one: Any, other: Any) -> bool:
    """Whether no search can tell two values of a column apart."""
    return set(one or ()) == set(other or ()) if column == "labels" else bool(one == other)


@given(st.lists(ROWS, min_size=1, max_size=3), st.data())
@settings(max_examples=50)
def test_one_altered_column_of_one_row_changes_the_digest_of_that_row_alone(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    at, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.sampled_from([*COLUMNS]))
    altered = [dict(row) for row in rows]
    altered[at][column] = data.draw(COLUMNS[column])
    before, after = tables(rows), tables(altered)
    for value in before:
        pairs = zip(row_digests(before[value]), row_digests(after[value]), strict=True)
        changed = [place for place, (old, new) in enumerate(pairs) if old != new]
        is_told = column in before[value].schema.names and not alike(column, rows[at][column], altered[at][column])
        assert changed == [at] * is_told


@given(st.lists(ROWS, min_size=2, max_size=3))
@settings(max_examples=30)
def test_a_row_has_one_digest_however_it_is_held(rows: list[dict[str, Any]]) -> None:
    attributes = [{name: row[name] for name in ("document_type", "document_date", "labels")} for row in rows]
    for value, table in tables(rows).items():
        contents = [row["text"] if value == "text" else np.array(row["vector"], np.float32) for row in rows]
        alone = [row_digest(content, told) for content, told in zip(contents, attributes, strict=True)]
        assert row_digests(table) == alone
        assert row_digests(pa.concat_tables([table.slice(1), table.slice(0, 1)])) == [*alone[1:], alone[0]]
        assert [one for batch in table.slice(1).to_batches() for one in row_digests(batch)] == alone[1:]


def test_a_column_that_older_rows_lack_counts_as_one_without_values() -> None:
    table = tables([{"publication": 1, "document_id": "d", "chunk_id": "c", "text": "told", "vector": [1, 0]}])["text"]
    assert row_digests(table.drop_columns(["labels"])) == row_digests(table) == [row_digest("told", {"labels": []})]
    assert row_digest("told", {"labels": [""]}) != row_digest("told", {}) != row_digest("told", {"document_type": ""})


@pytest.mark.parametrize("days", [-(2**31), -800_000, 10_000_000, 2**31 - 1])
def test_a_date_beyond_the_calendar_is_another_one(days: int) -> None:
    table = tables([{"publication": 1, "document_id": "d", "chunk_id": "c", "text": "told", "vector": [1, 0]}])["text"]
    at = table.schema.get_field_index("document_date")
    far = table.set_column(at, table.schema.field(at), [pa.array([days], pa.int32()).cast(pa.date32())])
    assert row_digests(far) != row_digests(table) != [row_digest("told", {"document_date": date(1970, 1, 1)})]


def test_the_sign_of_a_zero_is_no_difference() -> None:
    assert row_digest(np.array([1.0, -0.0], np.float32), {}) == row_digest(np.array([1.0, 0.0], np.float32), {})

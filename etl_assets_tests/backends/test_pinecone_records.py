"""Rows as Pinecone records: ids that name them, and filters that admit exactly what may be seen."""

import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.backends.pinecone_records import (
    HIGHEST_PUBLICATION,
    LONGEST_ID,
    Admission,
    attributes_in,
    condition,
    metadata_of,
    names_in,
    of_publications,
    prefix_of,
    publication_of,
    record_id,
    text_in,
    without,
)
from etl_assets.errors import PermanentError
from etl_assets.protocols.indexes import Filters
from etl_assets.protocols.row_digests import row_digest
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.conformance.index_rows import filters, varied_rows, visibilities
from etl_assets_tests.servers.pinecone_namespace import compiled

PUBLICATIONS = st.integers(0, HIGHEST_PUBLICATION - 1)


@given(PUBLICATIONS, st.text(max_size=600), st.text(max_size=600))
def test_an_id_names_its_row_or_leaves_it_to_the_metadata(publication: int, document_id: str, chunk_id: str) -> None:
    identity = record_id(publication, document_id, chunk_id)
    metadata = metadata_of(publication, document_id, chunk_id, None, None)
    assert re.fullmatch(r"[A-Za-z0-9_.~-]+", identity) and len(identity) <= LONGEST_ID
    assert publication_of(identity) == publication and identity.startswith(prefix_of(publication))
    spelt = names_in(identity) or (text_in(metadata, "document_id"), text_in(metadata, "chunk_id"))
    assert spelt == (document_id, chunk_id)


@given(st.lists(st.tuples(PUBLICATIONS, st.text(max_size=300), st.text(max_size=300)), unique=True, max_size=20))
def test_two_rows_never_share_an_id(rows: list[tuple[int, str, str]]) -> None:
    assert len({record_id(*row) for row in rows}) == len(rows)


WRITTEN = st.fixed_dictionaries(
    {
        "document_type": st.none() | st.text(max_size=5),
        "document_date": st.none() | st.dates(),
        "labels": st.lists(st.text(max_size=5), max_size=3),
    }
)


@given(PUBLICATIONS, st.sampled_from(["d", "d" * 600]), WRITTEN)
@settings(max_examples=30)
def test_attributes_are_read_back_from_the_metadata_that_a_record_was_given(
    publication: int, document_id: str, written: dict[str, Any]
) -> None:
    metadata = metadata_of(publication, document_id, "c", **written)
    # Clients give numbers as doubles.
    doubles = {name: float(one) if isinstance(one, int) else one for name, one in metadata.items()}
    for stored in (metadata, doubles):
        told = attributes_in(record_id(publication, document_id, "c"), stored)
        assert {name: one for name, one in told.items() if one} == {name: one for name, one in written.items() if one}
        assert row_digest("", told) == row_digest("", written)


@pytest.mark.parametrize(
    "altered",
    [
        {"publication": 8}, {"publication": None}, {"publication": "7"}, {"publication": 7.5}, {"publication": True},
        {"document_date": 20240230}, {"document_date": "20240229"}, {"document_date": 10.0**300}, {"labels": "a:b"},
        {"document_date": 20240301.0}, {"document_type": 1}, {"labels": ["a:b", "c:d"]}, {"of_another_program": 1},
    ],
)  # fmt: skip
def test_metadata_that_was_altered_is_another_row(altered: dict[str, Any]) -> None:
    written: dict[str, object] = {
        "document_type": "text", "document_date": date(2024, 2, 29), "labels": ["a:b"]
    }  # fmt: skip
    for document_id in ("d", "d" * 600):
        identity = record_id(7, document_id, "c")
        metadata = metadata_of(7, document_id, "c", "text", date(2024, 2, 29), ["a:b"])
        assert row_digest("", attributes_in(identity, metadata)) == row_digest("", written)
        assert row_digest("", attributes_in(identity, {**metadata, **altered})) != row_digest("", written)
    assert row_digest("", attributes_in(identity, {**metadata, "chunk_id": "e"})) != row_digest("", written)
    assert row_digest("", attributes_in("7.d.c", {})) != row_digest("", {}), "without its number no filter finds it"


@given(visibilities(), filters())
def test_a_filter_admits_exactly_what_the_rules_admit(visible: Visibility, only: Filters) -> None:
    narrowed = condition(visible, only)
    admits = Admission(visible, only)
    for row in varied_rows():
        ids = (row.publication, row.document_id, row.chunk_id)
        metadata = metadata_of(*ids, row.document_type, row.document_date, row.labels)
        assert (narrowed is not None and compiled(narrowed)(metadata)) == row.passes(visible, only)
        assert admits(row.publication) == (
            visible.admits(row.publication) and (only.publications is None or row.publication in only.publications)
        )


@given(st.sets(st.integers(1, 60)), st.integers(0, 60))
def test_any_set_of_numbers_may_be_allowed_and_left_out(numbers: set[int], highest: int) -> None:
    narrowed = condition(Visibility(1, highest), Filters(publications=tuple(numbers)))
    admitted = {n for n in range(61) if narrowed is not None and compiled(narrowed)({"publication": n})}
    assert admitted == {n for n in numbers if n <= highest}
    rest = compiled(without({"publication": {"$gte": 0}}, numbers))
    assert {n for n in range(61) if rest({"publication": n})} == set(range(61)) - numbers
    if numbers:
        assert {n for n in range(61) if compiled(of_publications(sorted(numbers)))({"publication": n})} == numbers


@pytest.mark.parametrize("step", [2, 40])
def test_a_filter_too_long_to_send_admits_more_and_refuses_nothing_visible(step: int) -> None:
    numbers = tuple(n for low in range(0, 80_000, step) for n in range(low, low + step // 2))
    narrowed = condition(Visibility(1, 10**9), Filters(publications=numbers))
    assert narrowed is not None and len(str(narrowed)) < 2_000_000
    test = compiled(narrowed)
    assert all(test({"publication": n}) for n in numbers[::97])
    hidden = Visibility(1, 10**9, tuple((low, low + step // 2 - 1) for low in range(0, 80_000, step)))
    admits, narrowed = Admission(hidden, Filters()), condition(hidden, Filters())
    assert narrowed is not None
    test = compiled(narrowed)
    assert all(test({"publication": n}) for n in range(1, 79_000, 97) if admits(n))


def test_what_pinecone_cannot_hold_is_refused_by_name() -> None:
    with pytest.raises(PermanentError, match=str(HIGHEST_PUBLICATION)):
        record_id(HIGHEST_PUBLICATION, "d", "c")
    with pytest.raises(PermanentError, match=r"'d'.*publication 7.*40960"):
        metadata_of(7, "d", "c", "x" * 41_000, None)
    with pytest.raises(PermanentError, match="another program"):
        text_in({"chunk_id": 7}, "chunk_id")

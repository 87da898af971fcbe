"""Which ids a namespace lists for publications; the rest of it is held by the conformance suite."""

from hypothesis import given
from hypothesis import strategies as st

from etl_assets.backends.pinecone_namespace import prefixes_of
from etl_assets.backends.pinecone_records import prefix_of, publication_of

NUMBERS = st.sets(st.one_of(st.integers(0, 130), st.integers(0, 10**9)), max_size=60)


@given(wanted=NUMBERS, others=NUMBERS)
def test_prefixes_find_every_id_of_the_publications_once_and_no_other(wanted: set[int], others: set[int]) -> None:
    ids = [f"{number}.document.chunk" for number in wanted | others]
    found = [
        publication_of(one)
        for prefix, group in prefixes_of(wanted).items()
        for one in ids
        if one.startswith(prefix) and publication_of(one) in group
    ]
    assert sorted(found) == sorted(wanted)


def test_numbers_that_follow_one_another_share_a_prefix_unless_it_would_find_longer_ones() -> None:
    assert len(prefixes_of(set(range(1000, 2000)))) == 100
    assert prefixes_of({12, 13, 1200}) == {prefix_of(number): {number} for number in (12, 13, 1200)}

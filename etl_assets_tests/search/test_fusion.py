"""Reciprocal rank fusion against its definition."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.errors import ConfigError
from etl_assets.search.fusion import best_by_document, reciprocal_rank_fusion

RANKINGS = st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from("stuvwxyz"), unique=True), max_size=3)


def test_the_score_is_the_sum_of_reciprocal_ranks() -> None:
    fused = reciprocal_rank_fusion({"vector": ["x", "y"], "keyword": ["y", "z"]})
    assert [hit.key for hit in fused] == ["y", "x", "z"]
    assert fused[0].score == pytest.approx(1 / 62 + 1 / 61)
    assert fused[0].ranks == {"keyword": 1, "vector": 2}
    assert fused[1].score == pytest.approx(1 / 61)


def test_equal_scores_fall_by_best_rank_and_then_by_key() -> None:
    fused = reciprocal_rank_fusion({"one": ["b", "x"], "two": ["a", "y"]})
    assert [hit.key for hit in fused] == ["a", "b", "x", "y"]


def test_a_weight_counts_and_a_weight_of_nothing_leaves_the_list_out() -> None:
    rankings = {"one": ["a"], "two": ["b"]}
    assert [hit.key for hit in reciprocal_rank_fusion(rankings, weights={"two": 2.0})] == ["b", "a"]
    assert [hit.key for hit in reciprocal_rank_fusion(rankings, weights={"two": 0.0})] == ["a"]


def test_a_repeated_key_counts_where_it_stands_first() -> None:
    (first, second) = reciprocal_rank_fusion({"one": ["a", "b", "a"]}, k=0)
    assert (first.key, first.score, second.score) == ("a", 1.0, 0.5)


@pytest.mark.parametrize("weights", [{"one": -1.0}, {"one": math.nan}, {"one": math.inf}, {"other": 1.0}])
def test_an_impossible_weight_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="rank fusion"):
        reciprocal_rank_fusion({"one": ["a"]}, weights=weights)


@pytest.mark.parametrize("k", [-1.0, math.nan, math.inf])
def test_an_impossible_k_is_refused(k: float) -> None:
    with pytest.raises(ConfigError, match="k is"):
        reciprocal_rank_fusion({"one": ["a"]}, k=k)


@given(rankings=RANKINGS)
def test_every_key_comes_once_in_falling_order_whatever_order_the_lists_are_given_in(
    rankings: dict[str, list[str]],
) -> None:
    fused = reciprocal_rank_fusion(rankings)
    assert sorted(hit.key for hit in fused) == sorted({key for ranking in rankings.values() for key in ranking})
    assert [hit.score for hit in fused] == sorted((hit.score for hit in fused), reverse=True)
    assert fused == reciprocal_rank_fusion(dict(reversed(rankings.items())))


@given(ranking=st.lists(st.integers(), unique=True))
def test_one_list_alone_keeps_its_order(ranking: list[int]) -> None:
    assert [hit.key for hit in reciprocal_rank_fusion({"only": ranking})] == ranking


@given(hits=st.lists(st.tuples(st.sampled_from("abcd"), st.floats(-1, 1))))
def test_a_document_has_the_best_score_of_its_chunks(hits: list[tuple[str, float]]) -> None:
    documents = best_by_document(hits)
    assert dict(documents) == {d: max(score for of, score in hits if of == d) for d in {d for d, _ in hits}}
    assert documents == sorted(documents, key=lambda item: (-item[1], item[0]))

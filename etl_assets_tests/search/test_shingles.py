"""How alike texts are, and whether signatures find those that are."""

import random

from hypothesis import given
from hypothesis import strategies as st

from etl_assets.search.shingles import (
    PERMUTATIONS,
    candidates,
    hashes,
    jaccard,
    matrix,
    shingles,
    signature,
)


def test_letter_case_blanks_and_punctuation_make_no_difference() -> None:
    assert (
        shingles("The group, used\nEMOTET.")
        == shingles("the GROUP used emotet")
        == {"the group used", "group used emotet"}
    )
    assert shingles("two words") == {"two words"} and shingles(" \n.,- ") == frozenset()


def test_characters_count_as_words_where_there_are_no_blanks() -> None:
    assert shingles("攻撃者は使う") == {"攻 撃 者", "撃 者 は", "者 は 使", "は 使 う"}
    assert "用 apt28 攻" in shingles("利用APT28攻擊")


@given(st.text(max_size=200), st.text(max_size=200))
def test_similarity_is_symmetric_between_nothing_and_the_same(one: str, other: str) -> None:
    first, second = shingles(one), shingles(other)
    assert 0.0 <= jaccard(first, second) == jaccard(second, first) <= 1.0
    assert jaccard(first, first) == 1.0


def test_the_least_hashes_of_two_parts_are_those_of_the_whole() -> None:
    one, other = shingles("a b c d e f"), shingles("d e f g h i")
    first, second, whole = hashes([one, other, one | other])
    assert (whole == [min(pair) for pair in zip(first, second, strict=True)]).all()
    assert hashes([]).shape == (0, PERMUTATIONS) and (hashes([frozenset()]) == 2**32 - 1).all()


def test_a_signature_is_the_same_in_every_process() -> None:
    # Of version 2 of R-MinHash: another version makes other numbers, and then the cache must be made anew.
    assert signature(hashes([shingles("the bear group used emotet against a bank")])[0])[:8].hex() == "13a9932eda40bca8"


def edited(words: list[str], share: float, rng: random.Random) -> str:
    return " ".join(f"x{rng.random()}" if rng.random() < share else word for word in words)


def test_pairs_at_the_threshold_are_found_and_others_are_not_proposed() -> None:
    rng = random.Random(7)
    texts = []
    for number in range(150):
        words = [f"w{rng.randrange(4000)}" for _ in range(120)]
        texts += [" ".join(words), edited(words, 0.02 if number % 2 else 0.3, rng)]
    sets = [shingles(text) for text in texts]
    rows = matrix([signature(row) for row in hashes(sets)])
    alike = {
        (one, other) for one in range(300) for other in range(one + 1, 300) if jaccard(sets[one], sets[other]) >= 0.8
    }
    found = set(candidates(rows, 0.8))
    assert alike and alike <= found and all(jaccard(sets[one], sets[other]) > 0.5 for one, other in found)
    assert candidates(rows[:0], 0.8) == []


def test_a_text_that_everybody_repeats_is_linked_without_comparing_all_with_all() -> None:
    rows = matrix([signature(row) for row in hashes([shingles("one two three four five six")] * 500)])
    found = candidates(rows, 0.8)
    assert len(found) < 1500 and {place for pair in found for place in pair} == set(range(500))

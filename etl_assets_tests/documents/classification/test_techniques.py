import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.documents.classification import linear
from etl_assets.documents.classification.evidence import Page
from etl_assets.documents.classification.find import Classifying, classified
from etl_assets.documents.classification.linear import BATCH
from etl_assets.documents.classification.ngrams import pieces, words
from etl_assets.documents.classification.techniques import TECHNIQUES_SHA256, ranked, techniques_model
from etl_assets.errors import ConfigError


@pytest.mark.parametrize(
    ("sentence", "technique"),
    [
        ("It injects shellcode into explorer.exe using CreateRemoteThread.", "T1055"),
        ("The malware creates a scheduled task for persistence.", "T1053.005"),
        ("The actor dumped credentials from LSASS memory with Mimikatz.", "T1003.001"),
        ("It logs keystrokes of the user.", "T1056.001"),
        ("The loader sideloads a malicious DLL through a legitimate signed executable.", "T1574.002"),
    ],
)
def test_a_plain_statement_has_its_technique_first(sentence: str, technique: str) -> None:
    (found,) = ranked([sentence])
    assert found.techniques[0][0] == technique
    assert found.stated > 0.5


def test_sentences_that_state_none_are_said_to_state_none() -> None:
    plain = [
        "The meeting took place in Paris on a rainy Tuesday.",
        "Our quarterly revenue grew by twelve percent.",
        "Contact your sales representative for more information.",
        "",
        "   ",
    ]
    assert [one.stated >= 0.5 for one in ranked(plain)] == [False] * len(plain)


STATED = "It injects shellcode into explorer.exe using CreateRemoteThread."


@pytest.mark.parametrize(
    "line", ["Archived Content", "Download the ebook", "Obiettivo del controllo: injection di codice", "CVE-2017-0199"]
)
def test_headings_banners_and_other_languages_state_no_technique_in_a_page(line: str) -> None:
    found = list(classified([Page(1, f"{line}\n\n{STATED}")], Classifying()))
    assert {row[5][0]["text"] for row in found} == {STATED}  # type: ignore[index]


def test_a_page_of_one_phrase_is_asked_about_that_phrase() -> None:
    (first, *_) = classified([Page(1, "Process injection")], Classifying())
    assert first[1] == "T1055"


def test_three_techniques_best_first_with_scores_in_bounds() -> None:
    (found,) = ranked(["It downloads a file and deletes it."])
    scores = [score for _, score in found.scores]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_a_sentence_is_judged_by_itself_whatever_stands_beside_it() -> None:
    sentence = "It encrypts its traffic with AES."
    alone = ranked([sentence])[0]
    crowd = ranked([f"sentence number {n} about files" for n in range(BATCH - 1)] + [sentence, "another"])
    assert crowd[BATCH - 1] == alone


def test_no_sentences_have_no_techniques() -> None:
    assert ranked([]) == []


def test_a_model_file_that_was_changed_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"techniques\.npz has sha256 .* expected 0000.*reinstall"):
        linear.load("techniques.npz", "0" * 64)
    with pytest.raises(ConfigError, match=r"absent\.npz cannot be read"):
        linear.load("absent.npz", TECHNIQUES_SHA256)


def test_the_model_is_small_integers_and_no_pickle() -> None:
    model = techniques_model()
    assert model.weights.dtype == np.int8
    assert len(model.labels) == 51


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(), max_size=30), max_size=6))
def test_features_of_a_text_do_not_depend_on_the_texts_around_it(texts: list[str]) -> None:
    for count in (words, pieces):
        together = count(texts)
        for row, text in enumerate(texts):
            alone, mine = count([text]), together.rows == row
            assert np.array_equal(alone.hashes, together.hashes[mine])
            assert np.array_equal(alone.counts, together.counts[mine])


def test_pieces_end_at_blanks_and_counts_add_up() -> None:
    found = pieces(["ab ab"])
    # " ab", "ab ", " ab " of each word; nothing across the blank.
    assert sorted(found.counts.tolist()) == [2.0, 2.0, 2.0]

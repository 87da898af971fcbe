import numpy as np
import pytest

from etl_assets.documents.mentions.borders import Borders
from etl_assets.documents.mentions.features import NEIGHBOURS, at_distance, in_document, of_tag, of_word, pairs
from etl_assets.documents.mentions.labeller import Chain, Labelled, Labeller, marginals, names, packaged
from etl_assets.documents.mentions.tokens import sequences

TEXT = "The Zorblax malware by TA505 hit Acme.\n\nZorblax again.\nAt 10 it ended (Zorblax)."
LABELS = ("B-malware", "I-malware", "O")


def features_of_tokens(
    tokens: list[list[str]], tags: list[list[str]], company: dict[str, tuple[str, ...]]
) -> list[list[str]]:
    """What training gives for each token, written out plainly."""
    found = []
    for words, marks in zip(tokens, tags, strict=True):
        own = [[*of_word(word), *company.get(word, ()), *of_tag(mark)] for word, mark in zip(words, marks, strict=True)]
        for place, word in enumerate(words):
            here = [
                feature
                for distance in NEIGHBOURS
                if 0 <= place + distance < len(words)
                for feature in at_distance(own[place + distance], distance)
            ]
            here.append(pairs(words[place - 1], word) if place else "first")
            here.append("+|" + pairs(word, words[place + 1]) if place + 1 < len(words) else "last")
            found.append(here)
    return found


def test_a_score_is_the_sum_of_the_weights_of_what_training_saw() -> None:
    parts = sequences(TEXT)
    words = [[token.word for token in part] for part in parts]
    tags = [["b:malware+" if word == "Zorblax" else "" for word in part] for part in words]
    expected = features_of_tokens(words, tags, dict(in_document(parts)))
    known = {feature: row for row, feature in enumerate(sorted({one for here in expected for one in here}))}
    weights = np.random.default_rng(7).normal(size=(len(known), len(LABELS)))
    labeller = Labeller(known, weights, {"x": Chain(LABELS, 0, np.zeros((3, 3)))}, Borders())
    scores = labeller._scores(parts, tags, [len(part) for part in parts])
    assert np.allclose(scores, [weights[[known[one] for one in here]].sum(axis=0) for here in expected])


def test_probabilities_are_those_of_all_ways_through_a_sequence() -> None:
    draw = np.random.default_rng(3)
    steps = draw.normal(size=(3, 3))
    scores = [draw.normal(size=(length, 3)) for length in (1, 3, 4)]
    found = marginals(scores, steps)
    for own, probabilities in zip(scores, found, strict=True):
        weights = np.zeros((len(own), 3))
        for way in np.ndindex(*(3,) * len(own)):
            total = sum(own[place, label] for place, label in enumerate(way))
            total += sum(steps[first, second] for first, second in zip(way, way[1:], strict=False))
            for place, label in enumerate(way):
                weights[place, label] += np.exp(total)
        assert np.allclose(probabilities[: len(own)], weights / weights.sum(axis=1, keepdims=True))


def test_a_name_begins_anew_where_a_beginning_is_likelier_and_ends_with_its_sequence() -> None:
    sure = {"B": [9.0, 0.0, 0.0], "I": [0.0, 9.0, 0.0], "O": [0.0, 0.0, 9.0]}
    scores = np.array([sure[label] for label in "BIBO" + "OB" + "IO"])
    found = names(scores, [4, 2, 2], Chain(LABELS, 0, np.zeros((3, 3))), 0.5)
    assert [[one[:3] for one in part] for part in found] == [
        [(0, 2, "malware"), (2, 3, "malware")], [(1, 2, "malware")], [(0, 1, "malware")]
    ]  # fmt: skip
    assert all(one.probability == pytest.approx(1, abs=0.01) for part in found for one in part)
    assert isinstance(found[0][0], Labelled)


def test_no_words_have_no_names() -> None:
    labeller = Labeller({"w=x": 0}, np.ones((1, 3)), {"x": Chain(LABELS, 0, np.zeros((3, 3)))}, Borders())
    assert labeller.label([], []) == {"x": []} and labeller.label([[]], [[]]) == {"x": [[]]}


def test_a_name_ends_before_words_of_grammar_and_keeps_what_could_be_its_own() -> None:
    borders = Borders(frozenset(("the", "of", "here")), frozenset(("of", "the", "here", "who")))
    kept = {
        text: text[slice(*borders.within(text, 0, len(text)))]
        for text in ("United States government Here", "chen of the", "of the", "WHO", "the Bank", "The Bank", "x-here")
    }
    assert list(kept.values()) == ["United States government", "chen", "", "WHO", "Bank", "The Bank", "x-here"]
    assert {"the", "of", "and", "here", "which"} <= packaged().borders.last
    assert not packaged().borders.last & {"government", "defence", "agency", "security", "group", "bank"}

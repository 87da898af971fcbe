from collections.abc import Sequence

import pytest

from etl_assets.documents.classification.find import classify_documents, default_classifying
from etl_assets.documents.classification.label_sets import threats
from etl_assets.documents.classification.serving import OWN, LocalClassifier, Served
from etl_assets.errors import ConfigError, DataError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.classifier import Label, LabelSet
from etl_assets.stages.spec import Computed
from etl_assets_tests.documents.classification.reports import BANKS, frame, scores, task


class Fixed:
    """Scores every label alike, or raises."""

    name = "fixed-1"

    def __init__(self, score: float, error: EtlAssetsError | None = None) -> None:
        self._score, self._error = score, error
        self.calls = 0

    def scores(self, texts: Sequence[str], labels: LabelSet) -> list[list[float]]:
        self.calls += 1
        if self._error is not None:
            raise self._error
        return [[self._score] * len(labels.labels) for _ in texts]


class Closed:
    """A till that lets nothing be sent."""

    def refusal(self, tokens: int) -> str:
        return "over budget"

    def enter(self, texts: int, tokens: int, seconds: float) -> None:
        raise AssertionError("nothing was sent")


def classified_by(served: Served) -> Computed:
    return classify_documents([task()], frame(BANKS), classifying=default_classifying(), served=served)


def served_by(served: Served) -> set[tuple[str, bool]]:
    """(classifier, accepted) of a report's label rows."""
    rows = classified_by(served).rows
    rows = rows.filter(rows["kind"] != "technique")
    return set(zip(rows["classifier"], rows["accepted"], strict=True))


def test_the_local_classifier_scores_texts_as_the_stage_does() -> None:
    (row,) = LocalClassifier().scores([BANKS], threats())
    assert list(row) == list(scores(BANKS, threats()).values())
    assert LocalClassifier().scores([""], threats()) == [(0.0,) * 6]


def test_another_classifiers_scores_stand_with_its_name() -> None:
    assert served_by(Served(Fixed(0.99))) == {("fixed-1", True)}
    assert classified_by(Served(Fixed(0.99))).facts["d1"] == {"classifiers": {"threat": "fixed-1", "sector": "fixed-1"}}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TransientError("rate limit"), "unavailable"), (PermanentError("balance"), "refused"),
        (DataError("cannot be read", reason="refused-text"), "text refused"),
    ],
)  # fmt: skip
def test_while_it_cannot_answer_the_local_one_serves_and_the_record_says_so(error: EtlAssetsError, why: str) -> None:
    classifier = Fixed(0.0, error)
    made = classified_by(Served(classifier))
    assert made.facts["d1"]["standing_in"] == why
    rows = made.rows.filter(made.rows["kind"] != "technique")
    assert set(rows["classifier"]) == {f"local-1 (for fixed-1: {why})"} and rows["accepted"].any()
    assert classifier.calls == (2 if isinstance(error, DataError) else 1), "who failed is not asked again in this run"


def test_beyond_the_budget_nothing_is_sent() -> None:
    classifier = Fixed(0.99)
    assert {name for name, _ in served_by(Served(classifier, Closed()))} == {"local-1 (for fixed-1: over budget)"}
    assert not classifier.calls


def test_a_set_of_one_label_and_a_blank_text_are_the_local_ones_own_and_equal_texts_are_asked_once() -> None:
    classifier = Fixed(0.99)
    assert Served(classifier).answers(["text"], LabelSet("one", (Label("only"),))) == [OWN]
    found = Served(classifier).answers(["a text", " ", "a text"], threats())
    assert found[1] == OWN and found[0] is found[2] and classifier.calls == 1


def test_what_is_set_wrongly_is_not_hidden() -> None:
    with pytest.raises(ConfigError):
        classified_by(Served(Fixed(0.0, ConfigError("no key"))))

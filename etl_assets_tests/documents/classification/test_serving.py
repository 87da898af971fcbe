from collections.abc import Sequence

import pytest

from etl_assets.documents.classification.calibration import Calibration
from etl_assets.documents.classification.find import classify_documents, default_classifying
from etl_assets.documents.classification.label_sets import threats
from etl_assets.documents.classification.serving import LocalClassifier, Served
from etl_assets.errors import DataError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.classifier import Classifier, LabelSet
from etl_assets_tests.documents.classification.reports import BANKS, frame, scores, task


class Fixed:
    """Scores every label alike, or raises."""

    name = "fixed-1"

    def __init__(self, score: float, error: EtlAssetsError | None = None) -> None:
        self._score, self._error = score, error

    def scores(self, texts: Sequence[str], labels: LabelSet) -> list[list[float]]:
        if self._error is not None:
            raise self._error
        return [[self._score] * len(labels.labels) for _ in texts]


def served_by(classifier: Classifier, calibration: Calibration | None = None) -> set[tuple[str, bool]]:
    """(classifier, accepted) of a report's label rows."""
    served = Served(classifier, calibration or Calibration())
    rows = classify_documents([task()], frame(BANKS), classifying=default_classifying(), served=served).rows
    rows = rows.filter(rows["kind"] != "technique")
    return set(zip(rows["classifier"], rows["accepted"], strict=True))


def test_the_local_classifier_scores_texts_as_the_stage_does() -> None:
    (row,) = LocalClassifier().scores([BANKS], threats())
    assert list(row) == list(scores(BANKS, threats()).values())
    assert LocalClassifier().scores([""], threats()) == [(0.0,) * 6]


def test_another_classifiers_scores_stand_with_its_name() -> None:
    assert served_by(Fixed(0.99)) == {("fixed-1", True)}


def test_a_classifier_has_its_own_cut() -> None:
    assert served_by(Fixed(0.3), Calibration(cut=0.2)) == {("fixed-1", True)}
    assert served_by(Fixed(0.3), Calibration(cut=0.4)) == {("fixed-1", False)}


@pytest.mark.parametrize(
    ("error", "why"), [(TransientError("rate limit"), "unavailable"), (PermanentError("balance"), "refused")]
)
def test_while_it_cannot_answer_the_local_one_serves_and_the_record_says_so(error: EtlAssetsError, why: str) -> None:
    found = served_by(Fixed(0.0, error))
    assert {name for name, _ in found} == {f"local-1 (for fixed-1: {why})"}
    assert True in {accepted for _, accepted in found}


def test_what_is_wrong_with_the_document_is_not_hidden() -> None:
    with pytest.raises(DataError):
        served_by(Fixed(0.0, DataError("cannot be read", reason="unreadable")))

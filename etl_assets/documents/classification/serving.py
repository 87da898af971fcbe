"""A classifier behind the protocol that is the packaged one, and one that serves for another that cannot answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from etl_assets.documents.classification import labelling
from etl_assets.documents.classification.calibration import Calibration
from etl_assets.documents.classification.evidence import Page
from etl_assets.documents.classification.labelling import Scored, labels_of
from etl_assets.errors import PermanentError, TransientError
from etl_assets.protocols.classifier import Classifier, LabelSet


class LocalClassifier:
    """The packaged classifier of documents. It needs no network, and any label set: see ``labels_of``."""

    @property
    def name(self) -> str:
        """With its version, which changes when its scores do."""
        return labelling.VERSION

    def scores(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...]]:
        """One score in [0, 1] for each label of each text, in the orders given."""
        return [tuple(one.score for one in labels_of((Page(1, text),), labels)) for text in texts]


@dataclass(frozen=True, slots=True)
class Served:
    """Labels by ``classifier`` as ``calibration`` has them, by the packaged one while that cannot answer."""

    classifier: Classifier
    calibration: Calibration = Calibration()

    def rescored(self, pages: Sequence[Page], labels: LabelSet, local: list[Scored]) -> tuple[list[Scored], str]:
        """``local`` with the classifier's scores, and what is to be recorded as having served.

        An exhausted account, a rate limit or a closed circuit leaves ``local`` as it is, and the record says for whom
        it serves and why not.
        """
        text = "\n".join(page.text for page in pages)
        if not text.strip():
            return local, labelling.VERSION
        try:
            (scores,) = self.classifier.scores([text], labels)
        except (TransientError, PermanentError) as e:
            why = "unavailable" if isinstance(e, TransientError) else "refused"
            return local, f"{labelling.VERSION} (for {self.classifier.name}: {why})"
        fitted = [
            self.calibration.of(one.label, score, labels.threshold) for one, score in zip(local, scores, strict=True)
        ]
        return [replace(one, score=score) for one, score in zip(local, fitted, strict=True)], self.classifier.name

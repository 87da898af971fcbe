"""A classifier behind the protocol that is the packaged one, and one that serves for another that cannot answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from etl_assets.documents.classification import labelling
from etl_assets.documents.classification.evidence import Page
from etl_assets.documents.classification.labelling import Scored, labels_of
from etl_assets.errors import DataError, PermanentError, TransientError
from etl_assets.protocols.classifier import Asking, Classifier, HostedClassifier, LabelSet

LEAST_LABELS = 2
"""A set with fewer gives another classifier nothing to choose between: it is the packaged one's."""


class LocalClassifier:
    """The packaged classifier of documents. It needs no network, and any label set: see ``labels_of``."""

    @property
    def name(self) -> str:
        """With its version, which changes when its scores do."""
        return labelling.VERSION

    def scores(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...]]:
        """One score in [0, 1] for each label of each text, in the orders given."""
        return [tuple(one.score for one in labels_of((Page(1, text),), labels)) for text in texts]


class Till(Protocol):
    """Where it is asked whether a classifier may be paid, and entered what it was paid for."""

    def refusal(self, tokens: int) -> str:
        """Why nothing may be sent, in a few words; "" if so many tokens may."""
        ...

    def enter(self, texts: int, tokens: int, seconds: float) -> None:
        """Texts of so many tokens were answered, and took so long."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """Scores of one text, and who gave them; ``None`` where the packaged classifier serves.

    ``why`` says why it stands in for the other one, and is "" where it does not.
    """

    scores: Sequence[float] | None
    classifier: str
    why: str = ""

    def rescored(self, local: list[Scored]) -> list[Scored]:
        """``local`` with these scores; the sentences behind a label stay the packaged classifier's."""
        if self.scores is None:
            return local
        return [replace(one, score=score) for one, score in zip(local, self.scores, strict=True)]


OWN = Answered(None, labelling.VERSION)
"""Of what no other classifier is asked about."""


@dataclass(slots=True)
class Served:
    """Scores by ``classifier``, by the packaged one while that cannot answer, for the time of one stage of a run.

    After a call that failed it is not asked again: each document would wait as long for the same. ``entered_s`` are
    seconds that were entered in the ``till``.
    """

    classifier: Classifier
    till: Till | None = None
    entered_s: float = 0.0
    failure: str = ""

    def answers(self, texts: Sequence[str], labels: LabelSet) -> list[Answered]:
        """For each text what it was answered. What is known costs nothing, and a blank text is not sent.

        Raises:
            ConfigError: there is a budget in money and nobody gave a price, or no credential.
        """
        if len(labels.labels) < LEAST_LABELS:
            return [OWN for _ in texts]
        answered = self._known(list(dict.fromkeys(text for text in texts if text.strip())), labels)
        unknown = [text for text, known in answered.items() if known is None]
        for asking in self._requests(unknown, labels):
            part = [unknown[place] for place in asking.texts]
            answered.update(zip(part, self._asked(part, labels, asking.tokens), strict=True))
        return [answered.get(text) or OWN for text in texts]

    def _known(self, texts: Sequence[str], labels: LabelSet) -> dict[str, Answered | None]:
        if not isinstance(self.classifier, HostedClassifier):
            return dict.fromkeys(texts)
        known = self.classifier.known(texts, labels)
        name = self.classifier.name
        return {
            text: None if scores is None else Answered(scores, name) for text, scores in zip(texts, known, strict=True)
        }

    def _requests(self, texts: Sequence[str], labels: LabelSet) -> Sequence[Asking]:
        if isinstance(self.classifier, HostedClassifier):
            return self.classifier.requests(texts, labels)
        return [Asking(range(len(texts)), 0)] if texts else []

    def _asked(self, texts: Sequence[str], labels: LabelSet, tokens: int) -> list[Answered]:
        why = self.failure or (self.till.refusal(tokens) if self.till is not None else "")
        if why:
            return self._stand_in(len(texts), why)
        began = time.monotonic()
        try:
            scores = self.classifier.scores(texts, labels)
        except DataError:
            if len(texts) == 1:
                return self._stand_in(1, "text refused")
            return [answered for text in texts for answered in self._alone(text, labels)]
        except (TransientError, PermanentError) as e:
            self.failure = "unavailable" if isinstance(e, TransientError) else "refused"
            return self._stand_in(len(texts), self.failure)
        if self.till is not None:
            took = time.monotonic() - began
            self.till.enter(len(texts), tokens, took)
            self.entered_s += took
        return [Answered(one, self.classifier.name) for one in scores]

    def _alone(self, text: str, labels: LabelSet) -> list[Answered]:
        """One text of a request that was refused for one of its texts."""
        (asking,) = self._requests([text], labels)
        return self._asked([text], labels, asking.tokens)

    def _stand_in(self, count: int, why: str) -> list[Answered]:
        return [Answered(None, f"{labelling.VERSION} (for {self.classifier.name}: {why})", why)] * count

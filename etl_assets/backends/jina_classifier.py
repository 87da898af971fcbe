"""Jina AI's classifier over its HTTP API: which of a set's labels a text fits, zero-shot.

API: api.jina.ai/v1/classify, as the vendor's guide of 2025 states it (github.com/jina-ai/meta-prompt, v9); the edition
of 2026 no longer lists it. It shares 1 out among the labels; here each label's share is read against an even one.
"""

import math
from collections.abc import Sequence
from typing import Any

from etl_assets.backends.estimated_tokens import EstimatedTokenizer
from etl_assets.backends.hosted_embedding import batches, encodable, text_refusal, tokens_spent
from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request, UnusableAnswer
from etl_assets.backends.jina import head_of
from etl_assets.backends.rate_budget import Budget
from etl_assets.errors import ConfigError, TransientError
from etl_assets.protocols.classifier import Asking, LabelSet
from etl_assets.protocols.hosted_models import JINA_CLASSIFIERS, jina_classifier_name

TEXT_TOKENS = 2_000
"""What is sent of a text: its beginning says what it is about, and longer ones would use up a free account."""

TEXTS_MAX = 64
"""Texts in one request; the vendor takes 512 and more, an answer lost then costs more."""

TOKENS_MAX = 16_000
"""Of texts in one request, unless one text alone has more: the least account may send 25,000 in a minute."""


PATIENCE = Patience(attempts=4, total_s=180.0)
"""A turn comes within a minute of it; past that the account is used up, and another classifier serves."""


class JinaClassifier:
    """Classifier over Jina's API. It gives no sentences, and its scores need a calibration of their own.

    A share of ``s`` among ``n`` labels becomes the score sigmoid(ln(s * n) * ``SHARPNESS``): an even share is a half.
    """

    SHARPNESS = 8.0

    def __init__(
        self,
        api: HttpApi,
        model: str = JINA_CLASSIFIERS[0],
        *,
        budget: Budget | None = None,
        patience: Patience | None = None,
    ) -> None:
        if model not in JINA_CLASSIFIERS:
            raise ConfigError(f"Jina classifier model {model!r}: use one of {', '.join(JINA_CLASSIFIERS)}")
        self._api = api
        self._model = model
        self._budget = budget
        self._patience = patience

    def for_scope(self, scope: str) -> "JinaClassifier":
        """Itself: nothing is kept here."""
        return self

    def known(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...] | None]:
        """Nothing is: see ``CachedClassifier``."""
        return [None for _ in texts]

    @property
    def name(self) -> str:
        """Vendor and model, as records name it."""
        return jina_classifier_name(self._model)

    def scores(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...]]:
        """One score in [0, 1] for each label of each text, in the orders given; an empty text scores 0 and is not sent.

        Raises:
            ConfigError: the set has under two labels: there is nothing to choose between.
            TransientError: no answer in time, a rate limit, an open circuit, or the budget is used up.
            PermanentError: the API refuses, as with an exhausted account (402).
            DataError: the API refuses one of the texts.
        """
        if len(labels.labels) < 2:
            raise ConfigError(f"label set {labels.name!r}: Jina's classifier needs two labels or more")
        found = [tuple(0.0 for _ in labels.labels) for _ in texts]
        sent = _sent(texts)
        for asking in self.requests(texts, labels):
            rows = [sent[place] for place in asking.texts]
            answers = self._part([text for _, text, _ in rows], labels, asking.tokens)
            for (row, _, _), scores in zip(rows, answers, strict=True):
                found[row] = scores
        return found

    def requests(self, texts: Sequence[str], labels: LabelSet) -> list[Asking]:
        """The requests that ``scores`` makes; the ``texts`` of each are places among those that are not empty."""
        count = EstimatedTokenizer().token_spans
        of_labels = sum(len(count(_said(one.name, one.description))) for one in labels.labels)
        sizes = [tokens for _, _, tokens in _sent(texts)]
        parts = batches(sizes, texts=TEXTS_MAX, tokens=TOKENS_MAX)
        return [Asking(part, of_labels + sum(sizes[place] for place in part)) for part in parts]

    def _part(self, inputs: Sequence[str], labels: LabelSet, tokens: int) -> list[tuple[float, ...]]:
        wanted = [_said(one.name, one.description) for one in labels.labels]
        body = {"model": self._model, "input": list(inputs), "labels": wanted}
        refusal = text_refusal(self._api.name, len(inputs))
        request = Request("POST", "/classify", body, tokens=tokens, spent=tokens_spent, refusal=refusal)
        return self._api.call(
            request, lambda answer: self._read(answer, len(inputs), wanted),
            budget=self._budget, patience=self._patience,
        )  # fmt: skip

    def _read(self, answer: Answer, count: int, wanted: Sequence[str]) -> list[tuple[float, ...]]:
        body = answer.body if isinstance(answer.body, dict) else {}
        rows = body.get("data")
        read = [_shares(row, wanted) for row in rows] if isinstance(rows, list) else []
        by_index = {one[0]: one[1] for one in read if one is not None}
        if len(read) != count or sorted(by_index) != list(range(count)):
            raise UnusableAnswer(
                TransientError(f"{self._api.name}: {len(by_index)} usable classifications for {count} texts")
            )
        return [tuple(_score(share, len(wanted)) for share in by_index[row]) for row in range(count)]


def _sent(texts: Sequence[str]) -> list[tuple[int, str, int]]:
    """(place, what is sent of it, its tokens) of each text that is not empty."""
    count = EstimatedTokenizer().token_spans
    heads = [(place, encodable(head_of(text, TEXT_TOKENS))) for place, text in enumerate(texts) if text.strip()]
    return [(place, head, len(count(head))) for place, head in heads]


def _said(name: str, description: str) -> str:
    words = name.replace("-", " ").replace("_", " ")
    return encodable(f"{words}: {description}" if description else words)


def _shares(row: Any, wanted: Sequence[str]) -> tuple[int, list[float]] | None:
    """Index of the text and the share of each label, or None where one is missing or out of [0, 1]."""
    index = row.get("index") if isinstance(row, dict) else None
    predictions = row.get("predictions") if isinstance(row, dict) else None
    if type(index) is not int or not isinstance(predictions, list):
        return None
    shares = {one.get("label"): one.get("score") for one in predictions if isinstance(one, dict)}
    found = [shares.get(label) for label in wanted]
    if len(predictions) != len(wanted) or not all(isinstance(one, (int, float)) and 0 <= one <= 1 for one in found):
        return None
    return index, [float(one) for one in found if one is not None]


def _score(share: float, count: int) -> float:
    return 1 / (1 + math.exp(-min(max(JinaClassifier.SHARPNESS * math.log(max(share, 1e-9) * count), -60), 60)))

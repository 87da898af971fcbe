"""Jina AI's classifier over its HTTP API: which of a set's labels a text fits, zero-shot.

API: api.jina.ai/v1/classify, as the vendor's guide of 2025 states it (github.com/jina-ai/meta-prompt, v9); the edition
of 2026 no longer lists it. It shares 1 out among the labels; here each label's share is read against an even one.
"""

import math
from collections.abc import Sequence
from typing import Any

from etl_assets.backends.estimated_tokens import EstimatedTokenizer
from etl_assets.backends.hosted_embedding import encodable, tokens_spent
from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request, UnusableAnswer
from etl_assets.backends.jina import head_of
from etl_assets.backends.rate_budget import Budget, Limits
from etl_assets.errors import ConfigError, TransientError
from etl_assets.protocols.classifier import LabelSet

MODELS = ("jina-embeddings-v3", "jina-embeddings-v4")
FREE, PAID, PREMIUM = Limits(25, 25_000), Limits(125, 500_000), Limits(1_250, 12_000_000)
"""Requests and tokens (of inputs and labels) a minute, by the kind of account."""

TEXT_TOKENS = 2_000
"""What is sent of a text: its beginning says what it is about, and longer ones would use up a free account."""

TEXTS_MAX = 64
"""Texts in one request; the vendor takes 512 and more, an answer lost then costs more."""


class JinaClassifier:
    """Classifier over Jina's API. It gives no sentences, and its scores need a calibration of their own.

    A share of ``s`` among ``n`` labels becomes the score sigmoid(ln(s * n) * ``SHARPNESS``): an even share is a half.
    """

    SHARPNESS = 8.0

    def __init__(
        self,
        api: HttpApi,
        model: str = "jina-embeddings-v3",
        *,
        budget: Budget | None = None,
        patience: Patience | None = None,
    ) -> None:
        if model not in MODELS:
            raise ConfigError(f"Jina classifier model {model!r}: use one of {', '.join(MODELS)}")
        self._api = api
        self._model = model
        self._budget = budget
        self._patience = patience

    @property
    def name(self) -> str:
        """Vendor and model, as records name it."""
        return f"jina/{self._model}/classify-1"

    def scores(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...]]:
        """One score in [0, 1] for each label of each text, in the orders given; an empty text scores 0 and is not sent.

        Raises:
            ConfigError: the set has under two labels: there is nothing to choose between.
            TransientError: no answer in time, a rate limit, an open circuit, or the budget is used up.
            PermanentError: the API refuses, as with an exhausted account (402).
        """
        if len(labels.labels) < 2:
            raise ConfigError(f"label set {labels.name!r}: Jina's classifier needs two labels or more")
        sent = [row for row, text in enumerate(texts) if text.strip()]
        found = [tuple(0.0 for _ in labels.labels) for _ in texts]
        for start in range(0, len(sent), TEXTS_MAX):
            rows = sent[start : start + TEXTS_MAX]
            for row, scores in zip(rows, self._part([texts[row] for row in rows], labels), strict=True):
                found[row] = scores
        return found

    def _part(self, texts: Sequence[str], labels: LabelSet) -> list[tuple[float, ...]]:
        wanted = [_said(one.name, one.description) for one in labels.labels]
        inputs = [encodable(head_of(text, TEXT_TOKENS)) for text in texts]
        count = EstimatedTokenizer().token_spans
        tokens = sum(len(count(text)) for text in (*inputs, *wanted))
        body = {"model": self._model, "input": inputs, "labels": wanted}
        request = Request("POST", "/classify", body, tokens=tokens, spent=tokens_spent)
        return self._api.call(
            request, lambda answer: self._read(answer, len(texts), wanted),
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

"""Jina AI: embeddings (v3, v4, v5, clip) and reranking over its HTTP API.

API: api.jina.ai/v1, as the vendor's machine-readable guide states it (github.com/jina-ai/meta-prompt); limits:
jina.ai/api-dashboard/rate-limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from etl_assets.backends.estimated_tokens import RULE, EstimatedTokenizer, longest_read_whole
from etl_assets.backends.hosted_embedding import (
    Batching,
    EmbeddingCalls,
    Keep,
    encodable,
    model_digest,
    stretches,
    tokens_spent,
)
from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request, UnusableAnswer
from etl_assets.backends.rate_budget import Budget, Limits
from etl_assets.errors import ConfigError, TransientError
from etl_assets.protocols.embedder import EmbeddingModel, Tokenizer
from etl_assets.protocols.hosted_models import JINA_DEFAULT, JINA_MODELS, checked_jina

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BASE_URL = "https://api.jina.ai/v1"
KEY_VARIABLE = "JINA_API_KEY"
FREE, PAID, PREMIUM = Limits(100, 100_000), Limits(500, 2_000_000), Limits(5_000, 50_000_000)
"""Requests and tokens a minute of embeddings, and again of reranking, by the kind of account."""

PASSAGE, QUERY = "retrieval.passage", "retrieval.query"

DOCUMENTS_MAX = 1024
"""Most texts in one reranking request."""

TEXT_TOKENS = 450
"""What the reranker reads of a query, and of each text."""


@dataclass(frozen=True, slots=True)
class JinaModel:
    """Which vectors are wanted. ``dimension`` None is the model's own; ``encoding`` is how they travel.

    Raises:
        ConfigError: the model is unknown, or cannot be cut to this dimension.
    """

    name: str = JINA_DEFAULT
    dimension: int | None = None
    late_chunking: bool = False
    encoding: Literal["float", "base64"] = "float"

    def __post_init__(self) -> None:
        checked_jina(self.name, self.dimension)

    def identity(self) -> EmbeddingModel:
        """Covers provider, model, tasks, dimension, late chunking and where texts are cut; not how vectors travel."""
        family = JINA_MODELS[self.name]
        dimension = self.dimension or family.dimension
        parts = {
            "provider": "jina", "model": self.name, "tasks": [PASSAGE, QUERY], "dimension": dimension,
            "late_chunking": self.late_chunking, "cut": RULE,
        }  # fmt: skip
        shown = f"jina/{self.name}" + (f"@{dimension}" if dimension != family.dimension else "")
        return EmbeddingModel(
            shown + ("+late" if self.late_chunking else ""), model_digest(parts), dimension,
            longest_read_whole(family.context_tokens),
        )  # fmt: skip


class JinaEmbedder:
    """Embedder over Jina's API. Safe from several threads.

    ``bulk`` and ``queries`` are the budgets of documents and of questions. Sizes are counted by ``EstimatedTokenizer``:
    the vendor's vocabularies are not at hand, and no text so sized is longer than the model reads.
    """

    def __init__(
        self,
        api: HttpApi,
        wanted: JinaModel | None = None,
        *,
        batching: Batching | None = None,
        bulk: Budget | None = None,
        queries: Budget | None = None,
    ) -> None:
        self._wanted = wanted or JinaModel()
        chosen = batching or Batching()
        items = min(chosen.texts, JINA_MODELS[self._wanted.name].items_max)
        self._batching = Batching(items, chosen.tokens, chosen.in_flight)
        self._calls = EmbeddingCalls(
            api, self._wanted.identity(), tokenizer=EstimatedTokenizer(), names=frozenset({self._wanted.name}),
            batching=self._batching, bulk=bulk, queries=queries,
        )  # fmt: skip

    @property
    def model(self) -> EmbeddingModel:
        """Identity of the model; reading it calls nothing."""
        return self._calls.model

    @property
    def tokenizer(self) -> Tokenizer:
        """The estimate by which texts are sized."""
        return self._calls.tokenizer

    @property
    def reads_context(self) -> bool:
        """Whether vectors depend on the chunks beside them (late chunking)."""
        return self._wanted.late_chunking

    def requests_for(self, token_counts: Sequence[int]) -> int:
        """Requests for texts of so many tokens each, given together; nothing is sent."""
        return self._calls.requests_for(token_counts)

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Unit vectors, shape (len(texts), dimension), in the order given; a text past ``max_tokens`` is cut.

        Raises:
            ConfigError: the model is set to late chunking, whose vectors depend on the texts beside them: use
                ``embed_windows`` with chunks of one document.
            DataError, TransientError, PermanentError: as ``EmbeddingCalls.documents``.
        """
        return self.embed_keeping(texts, lambda part, vectors: None)

    def embed_keeping(self, texts: Sequence[str], keep: Keep) -> "NDArray[np.float32]":
        """As ``embed_documents``; ``keep`` is told of each request's vectors as they come."""
        if self._wanted.late_chunking:
            raise ConfigError(
                "Jina late_chunking: such a vector depends on the chunks beside it, and may not be reused for the same "
                "text elsewhere; give the chunks of one document to embed_windows, or turn late_chunking off"
            )
        return self._calls.documents(texts, lambda part: self._body(part, PASSAGE), keep)

    def windows(self, texts: Sequence[str]) -> list[range]:
        """Which of a document's chunks one request holds: all of them, up to the model's context."""
        counts = [len(self.tokenizer.token_spans(text)) for text in texts]
        longest = min(self._batching.tokens, self.model.max_tokens)
        return stretches(texts, counts, most_texts=self._batching.texts, most_tokens=longest)

    def embed_windows(self, windows: "Sequence[Sequence[str]]") -> "list[NDArray[np.float32]]":
        """Unit vectors of each window's chunks, read together, in reading order: what late chunking is.

        Raises:
            ConfigError: the model is not set to late chunking.
            DataError, TransientError, PermanentError: as ``EmbeddingCalls.documents``.
        """
        if not self._wanted.late_chunking:
            raise ConfigError("Jina: set late_chunking to embed the chunks of a document in their context")
        return self._calls.windows(windows, lambda texts: self._body(texts, PASSAGE))

    def embed_query(self, text: str) -> "NDArray[np.float32]":
        """One unit vector, shape (dimension,), to compare with those of documents; raises as ``embed_documents``."""
        return self._calls.query(text, lambda part: self._body(part, QUERY))

    def _body(self, texts: list[str], task: str) -> dict[str, object]:
        family = JINA_MODELS[self._wanted.name]
        body: dict[str, object] = {"model": self._wanted.name, "task": task, "input": texts, "truncate": True}
        body["embedding_type"] = self._wanted.encoding
        if self._wanted.dimension is not None:
            body["dimensions"] = self._wanted.dimension
        if family.normalises:
            body["normalized"] = True
        if self._wanted.late_chunking and task == PASSAGE:
            body["late_chunking"] = True
        return body


class JinaReranker:
    """Reranker over Jina's API. When it cannot answer in ``patience``, it says so at once: the fused order serves.

    Of a query and of each text the first ``TEXT_TOKENS`` tokens are read, by ``EstimatedTokenizer``: what stands
    together in one reading then fits the smallest context of these models, 1,024 tokens, on ordinary prose.
    """

    def __init__(
        self,
        api: HttpApi,
        model: str = "jina-reranker-v2-base-multilingual",
        *,
        budget: Budget | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._api = api
        self._model = model
        self._budget = budget
        self._patience = patience or Patience(attempts=2, total_s=1.5, base_s=0.05, cap_s=0.2, answers=1)

    @property
    def name(self) -> str:
        """Vendor and model, as answers name it among their sources."""
        return f"jina/{self._model}"

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Relevance of each text, in the order given; higher is better.

        Raises:
            TransientError: no answer in time, or the budget is used up.
            PermanentError: the API refuses.
            ConfigError: more than ``DOCUMENTS_MAX`` texts.
        """
        ranked = dict(self.rerank(query, texts, len(texts)))
        return [ranked[index] for index in range(len(texts))]

    def rerank(self, query: str, texts: Sequence[str], top_n: int) -> list[tuple[int, float]]:
        """(index, score) of the ``top_n`` best texts, best first, ties by index; raises as ``scores``."""
        if not texts or top_n < 1:
            return []
        query, texts = head_of(query, TEXT_TOKENS), [head_of(text, TEXT_TOKENS) for text in texts]
        if len(texts) > DOCUMENTS_MAX:
            raise ConfigError(f"{self.name}: {len(texts)} texts to rerank, at most {DOCUMENTS_MAX} go in one request")
        wanted = min(top_n, len(texts))
        body = {
            "model": self._model, "query": encodable(query), "documents": [encodable(text) for text in texts],
            "top_n": wanted, "return_documents": False,
        }  # fmt: skip
        count = EstimatedTokenizer().token_spans
        # The query is read again beside every text, and so it is charged.
        tokens = sum(len(count(text)) for text in texts) + len(texts) * len(count(query))
        request = Request("POST", "/rerank", body, tokens=tokens, spent=tokens_spent)
        return self._api.call(
            request, lambda answer: self._ranked(answer, len(texts), wanted),
            budget=self._budget, patience=self._patience,
        )  # fmt: skip

    def _ranked(self, answer: Answer, count: int, wanted: int) -> list[tuple[int, float]]:
        body = answer.body if isinstance(answer.body, dict) else {}
        results = body.get("results")
        found = [_pair(result) for result in results] if isinstance(results, list) else []
        kept = {pair[0]: pair[1] for pair in found if pair is not None and 0 <= pair[0] < count}
        if len(found) != wanted or len(kept) != wanted or body.get("model") != self._model:
            raise UnusableAnswer(
                TransientError(
                    f"{self._api.name}: {len(kept)} scores of {str(body.get('model'))[:100]} for {wanted} of "
                    f"{self._model}"
                )
            )
        return sorted(kept.items(), key=lambda pair: (-pair[1], pair[0]))


def head_of(text: str, tokens: int) -> str:
    """The first so many tokens of ``text``, by the estimate."""
    spans = EstimatedTokenizer().token_spans(text)
    return text if len(spans) <= tokens else text[: spans[tokens - 1][1]]


def _pair(result: Any) -> tuple[int, float] | None:
    index = result.get("index") if isinstance(result, dict) else None
    score = result.get("relevance_score") if isinstance(result, dict) else None
    if type(index) is not int or not isinstance(score, (int, float)) or not abs(score) < float("inf"):
        return None
    return index, float(score)

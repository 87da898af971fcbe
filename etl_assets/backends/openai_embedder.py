"""Embeddings from any endpoint that speaks OpenAI's ``POST /v1/embeddings``: hosted, or a model server of one's own.

API: platform.openai.com/docs/api-reference/embeddings
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from etl_assets.backends.estimated_tokens import RULE, EstimatedTokenizer, longest_read_whole
from etl_assets.backends.hosted_embedding import Batching, EmbeddingCalls, Keep, model_digest
from etl_assets.backends.http_calls import HttpApi
from etl_assets.backends.rate_budget import Budget
from etl_assets.errors import ConfigError
from etl_assets.protocols.embedder import EmbeddingModel, Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ITEMS_MAX = 2048
"""Most texts in one request, by OpenAI's reference; model servers of one's own may take fewer."""


@dataclass(frozen=True, slots=True)
class OpenAIModel:
    """Which vectors are wanted. ``provider`` tells apart endpoints whose models have the same name.

    ``shorten`` asks the endpoint for ``dimension`` components; without it the model's own number must be
    ``dimension``. ``answers_as`` are further names by which the endpoint may call the model. The prefixes are put
    before texts, for models trained with them.

    Raises:
        ConfigError: a number is below 1, or the name is empty.
    """

    name: str
    dimension: int
    context_tokens: int = 8191
    provider: str = "openai"
    shorten: bool = False
    encoding: Literal["float", "base64"] = "float"
    answers_as: tuple[str, ...] = ()
    document_prefix: str = ""
    query_prefix: str = ""

    def __post_init__(self) -> None:
        if not self.name or self.dimension < 1 or self.context_tokens < 1:
            raise ConfigError(f"embedding model {self.name!r}: needs a name, dimension >= 1 and context_tokens >= 1")

    def identity(self) -> EmbeddingModel:
        """Covers provider, model, dimension, prefixes and where texts are cut; not how vectors travel."""
        parts = {
            "provider": self.provider, "model": self.name, "dimension": self.dimension, "shorten": self.shorten,
            "document_prefix": self.document_prefix, "query_prefix": self.query_prefix,
            "cut": [RULE, self.context_tokens],
        }  # fmt: skip
        longest_prefix = max(len(self.document_prefix.encode()), len(self.query_prefix.encode()))
        longest = longest_read_whole(max(self.context_tokens - longest_prefix, 1))
        return EmbeddingModel(f"{self.provider}/{self.name}", model_digest(parts), self.dimension, longest)


class OpenAIEmbedder:
    """Embedder over an OpenAI-compatible endpoint, whose base URL ends in ``/v1``. Safe from several threads.

    ``bulk`` and ``queries`` are the budgets of documents and of questions. Texts are sized by ``EstimatedTokenizer``
    and cut here: the API refuses what is too long.
    """

    def __init__(
        self,
        api: HttpApi,
        wanted: OpenAIModel,
        *,
        batching: Batching | None = None,
        bulk: Budget | None = None,
        queries: Budget | None = None,
    ) -> None:
        self._wanted = wanted
        chosen = batching or Batching()
        self._calls = EmbeddingCalls(
            api, wanted.identity(), tokenizer=EstimatedTokenizer(), names=frozenset({wanted.name, *wanted.answers_as}),
            batching=Batching(min(chosen.texts, ITEMS_MAX), chosen.tokens, chosen.in_flight),
            bulk=bulk, queries=queries,
        )  # fmt: skip

    @property
    def model(self) -> EmbeddingModel:
        """Identity of the model; reading it calls nothing."""
        return self._calls.model

    @property
    def tokenizer(self) -> Tokenizer:
        """The estimate by which texts are sized."""
        return self._calls.tokenizer

    def requests_for(self, token_counts: Sequence[int]) -> int:
        """Requests for texts of so many tokens each, given together; nothing is sent."""
        return self._calls.requests_for(token_counts)

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Unit vectors, shape (len(texts), dimension), in the order given; a text past ``max_tokens`` is cut.

        Raises:
            DataError, TransientError, PermanentError: as ``EmbeddingCalls.documents``.
        """
        return self.embed_keeping(texts, lambda part, vectors: None)

    def embed_keeping(self, texts: Sequence[str], keep: Keep) -> "NDArray[np.float32]":
        """As ``embed_documents``; ``keep`` is told of each request's vectors as they come."""
        return self._calls.documents(texts, lambda part: self._body(part, self._wanted.document_prefix), keep)

    def embed_query(self, text: str) -> "NDArray[np.float32]":
        """One unit vector, shape (dimension,), to compare with those of documents; raises as ``embed_documents``."""
        return self._calls.query(text, lambda part: self._body(part, self._wanted.query_prefix))

    def _body(self, texts: list[str], prefix: str) -> dict[str, object]:
        body: dict[str, object] = {"model": self._wanted.name, "input": [prefix + text for text in texts]}
        body["encoding_format"] = self._wanted.encoding
        if self._wanted.shorten:
            body["dimensions"] = self._wanted.dimension
        return body

"""The hosted models of one installation, by what a collection chose: each vendor opened once, for all who use it."""

from collections.abc import Callable
from dataclasses import dataclass

from etl_assets.backends.cached_models import CachedEmbedder, CachedReranker
from etl_assets.backends.embedders import ModelChoice
from etl_assets.backends.http_calls import HttpApi, Patience
from etl_assets.backends.jina import JinaEmbedder, JinaModel, JinaReranker
from etl_assets.backends.openai_embedder import OpenAIEmbedder, OpenAIModel
from etl_assets.backends.rate_budget import Budget
from etl_assets.errors import ConfigError
from etl_assets.protocols.cache import ResultCache
from etl_assets.protocols.hosted_models import JINA_DEFAULT

RERANKING_LIMIT_S = 2.0
"""The longest that one answer of the reranker is waited for: the time a search has by default."""

OPENAI_HOST = "api.openai.com"
OPENAI_CONTEXT_TOKENS = 8191


@dataclass(frozen=True, slots=True)
class Vendor:
    """Calls of one vendor, and the budgets of its account: for documents, and apart from them for questions."""

    api: HttpApi
    bulk: Budget | None = None
    queries: Budget | None = None


@dataclass(frozen=True, slots=True)
class HostedModels:
    """Hosted embedders and the reranker. Nothing is connected before the first text.

    What is a function opens a vendor once, and raises ConfigError when it is not configured. ``openai_host`` is where
    the OpenAI-compatible endpoint is: two endpoints that call a model alike need not mean the same one.
    """

    results: ResultCache
    jina: Callable[[], Vendor]
    openai: Callable[[], Vendor]
    openai_host: str = OPENAI_HOST

    def embedder(self, choice: ModelChoice) -> CachedEmbedder:
        """The embedder of a collection, for no tenant yet: take that of a tenant with ``for_scope``.

        Raises:
            ConfigError: its vendor is not configured, or the model cannot be had in this way.
        """
        opened = self._jina(choice) if choice.kind == "jina" else self._openai(choice)
        return CachedEmbedder(opened, self.results, scope="")

    def reranker(self, model: str, vendor: Vendor, *, patient: bool = False) -> CachedReranker:
        """A reranker of Jina's, for no tenant yet. ``vendor`` is not the one of embedding: see ``RERANKING_LIMIT_S``.

        With a connection, a circuit and a budget of its own it neither waits for an ingest nor holds one up. One that
        is ``patient`` waits for its turn instead of giving up within the time that a search has.
        """
        patience = Patience() if patient else None
        opened = JinaReranker(vendor.api, model, budget=vendor.bulk, patience=patience)
        return CachedReranker(opened, self.results, scope="")

    def _jina(self, choice: ModelChoice) -> JinaEmbedder:
        wanted = JinaModel(choice.model or JINA_DEFAULT, choice.dimension, choice.late_chunking, encoding="base64")
        vendor = self.jina()
        return JinaEmbedder(vendor.api, wanted, bulk=vendor.bulk, queries=vendor.queries)

    def _openai(self, choice: ModelChoice) -> OpenAIEmbedder:
        if choice.model is None or choice.dimension is None:
            raise ConfigError("embedder openai: needs model and dimension; add them in collections.yaml")
        provider = "openai" if self.openai_host == OPENAI_HOST else f"openai@{self.openai_host}"
        wanted = OpenAIModel(
            choice.model, choice.dimension, choice.context_tokens or OPENAI_CONTEXT_TOKENS, provider,
            shorten=choice.shorten, document_prefix=choice.document_prefix or "",
            query_prefix=choice.query_prefix or "",
        )  # fmt: skip
        vendor = self.openai()
        return OpenAIEmbedder(vendor.api, wanted, bulk=vendor.bulk, queries=vendor.queries)

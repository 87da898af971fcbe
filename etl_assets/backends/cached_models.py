"""An embedder and a reranker whose answers are kept: a text is sent, and paid for, once."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from etl_assets.backends.hosted_embedding import Keep
from etl_assets.errors import ConfigError, DataError
from etl_assets.protocols.cache import CacheKey, ResultCache
from etl_assets.protocols.embedder import (
    ContextEmbedder,
    CountsRequests,
    Embedder,
    EmbeddingModel,
    Tokenizer,
    in_context,
)
from etl_assets.protocols.reranker import Reranker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMBEDDING, RERANKING = "embedding", "reranking"
_UNIT_TOLERANCE = 1e-3


@runtime_checkable
class Keeping(Embedder, Protocol):
    """An embedder that hands out vectors request by request: one that fails later loses nothing."""

    def embed_keeping(self, texts: Sequence[str], keep: Keep) -> "NDArray[np.float32]":
        """As ``embed_documents``; ``keep`` is told of each request's vectors as they come."""
        ...


class CachedEmbedder:
    """``embedder`` with its vectors kept for one ``scope``, the tenant whose texts they are of.

    Documents and questions are kept apart, since most models embed them differently. A failed call keeps what
    succeeded: of texts among which one is refused, the others are not sent again.
    """

    def __init__(self, embedder: Embedder, cache: ResultCache, *, scope: str) -> None:
        self._embedder = embedder
        self._cache = cache
        self._scope = scope

    @property
    def model(self) -> EmbeddingModel:
        """Identity of the model that answers."""
        return self._embedder.model

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that belongs to the model."""
        return self._embedder.tokenizer

    def for_scope(self, scope: str) -> "CachedEmbedder":
        """The same embedder and cache for another tenant."""
        return CachedEmbedder(self._embedder, self._cache, scope=scope)

    def requests_for(self, token_counts: Sequence[int]) -> int:
        """Requests for texts of so many tokens each, of which none is kept; one where the embedder cannot say."""
        embedder = self._embedder
        return embedder.requests_for(token_counts) if isinstance(embedder, CountsRequests) else bool(token_counts)

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Unit vectors, shape (len(texts), dimension), in the order given; raises as the embedder."""
        import numpy as np

        keys = [self._key("document", text) for text in texts]
        known = self._known(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        known |= self._embedded(list(missing), list(missing.values()))
        if not texts:
            return np.empty((0, self.model.dimension), np.float32)
        return np.stack([known[key] for key in keys])

    def embed_query(self, text: str) -> "NDArray[np.float32]":
        """One unit vector, shape (dimension,); raises as the embedder."""
        key = self._key("query", text)
        known = self._known([key]).get(key)
        if known is None:
            known = self._embedder.embed_query(text)
            self._cache.put({key: _bytes(known)})
        return known

    @property
    def reads_context(self) -> bool:
        """Whether vectors depend on the chunks beside them; such vectors are not kept here, but by whoever has them."""
        return in_context(self._embedder) is not None

    def windows(self, texts: Sequence[str]) -> list[range]:
        """As the embedder's."""
        return self._in_context().windows(texts)

    def embed_windows(self, windows: "Sequence[Sequence[str]]") -> "list[NDArray[np.float32]]":
        """As the embedder's: nothing of it is kept here."""
        return self._in_context().embed_windows(windows)

    def _in_context(self) -> ContextEmbedder:
        embedder = in_context(self._embedder)
        if embedder is None:
            raise ConfigError(f"{self.model.name} reads no chunks in their context; use embed_documents")
        return embedder

    def _embedded(self, keys: list[CacheKey], texts: list[str]) -> "dict[CacheKey, NDArray[np.float32]]":
        """Vectors by key, kept; where a text is refused, both halves are tried, so that all others are kept first."""
        made: dict[CacheKey, NDArray[np.float32]] = {}
        if not keys:
            return made
        try:
            self._ask(keys, texts, made)
        except DataError:
            left = [(key, text) for key, text in zip(keys, texts, strict=True) if key not in made]
            if len(left) == 1:
                raise
            refused: list[DataError] = []
            for part in (left[: len(left) // 2], left[len(left) // 2 :]):
                try:
                    made |= self._embedded([key for key, _ in part], [text for _, text in part])
                except DataError as e:
                    refused.append(e)
            if refused:
                raise refused[0] from None
        return made

    def _ask(self, keys: list[CacheKey], texts: list[str], made: "dict[CacheKey, NDArray[np.float32]]") -> None:
        """Put vectors into ``made``, and keep them, as they come."""

        def keep(part: range, vectors: "NDArray[np.float32]") -> None:
            found = {keys[index]: vector for index, vector in zip(part, vectors, strict=True)}
            self._cache.put({key: _bytes(vector) for key, vector in found.items()})
            made.update(found)

        if isinstance(self._embedder, Keeping):
            self._embedder.embed_keeping(texts, keep)
        else:
            keep(range(len(texts)), self._embedder.embed_documents(texts))

    def _known(self, keys: Sequence[CacheKey]) -> "dict[CacheKey, NDArray[np.float32]]":
        import numpy as np

        known: dict[CacheKey, NDArray[np.float32]] = {}
        for key, result in self._cache.get(list(dict.fromkeys(keys))).items():
            if len(result) == 4 * self.model.dimension:
                vector = np.frombuffer(result, "<f4").astype(np.float32)
                if abs(float(np.linalg.norm(vector)) - 1.0) <= _UNIT_TOLERANCE:
                    known[key] = vector
        return known

    def _key(self, use: str, text: str) -> CacheKey:
        return CacheKey(EMBEDDING, self._scope, f"{self.model.digest}/{use}", _digest(text))


class CachedQuestions:
    """A local ``embedder`` whose questions are kept: computing one takes longer than looking it up.

    Documents are computed each time: what is known of them is in the ledger.
    """

    def __init__(self, embedder: Embedder, cache: ResultCache) -> None:
        self._embedder = embedder
        # One scope for all: a question's vector tells nobody that another one asked it.
        self._questions = CachedEmbedder(embedder, cache, scope="")

    @property
    def model(self) -> EmbeddingModel:
        """Identity of the model that answers."""
        return self._embedder.model

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that belongs to the model."""
        return self._embedder.tokenizer

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """As the embedder's."""
        return self._embedder.embed_documents(texts)

    def embed_query(self, text: str) -> "NDArray[np.float32]":
        """One unit vector, shape (dimension,); raises as the embedder."""
        return self._questions.embed_query(text)


class CachedReranker:
    """``reranker`` with its scores kept for one ``scope``: the same question over the same texts is asked once."""

    def __init__(self, reranker: Reranker, cache: ResultCache, *, scope: str) -> None:
        self._reranker = reranker
        self._cache = cache
        self._scope = scope

    @property
    def name(self) -> str:
        """Which model it is."""
        return self._reranker.name

    def for_scope(self, scope: str) -> "CachedReranker":
        """The same reranker and cache for another tenant."""
        return CachedReranker(self._reranker, self._cache, scope=scope)

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One score for each text, in the order given; raises as the reranker.

        A score may depend on the other texts, so the list as a whole is the key.
        """
        import numpy as np

        key = CacheKey(RERANKING, self._scope, self.name, _digest(query, *texts))
        kept = self._cache.get([key]).get(key)
        if kept is not None and len(kept) == 8 * len(texts):
            scores: list[float] = np.frombuffer(kept, "<f8").tolist()
            return scores
        made = self._reranker.scores(query, texts)
        self._cache.put({key: np.asarray(made, "<f8").tobytes()})
        return made


def _bytes(vector: "NDArray[np.float32]") -> bytes:
    return vector.astype("<f4", copy=False).tobytes()


def _digest(*texts: str) -> str:
    digest = hashlib.blake2b(digest_size=32)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()

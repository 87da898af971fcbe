"""An embedder and a reranker that are asked once for the same thing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from etl_assets.backends.cached_models import CachedEmbedder, CachedQuestions, CachedReranker
from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.estimated_tokens import EstimatedTokenizer
from etl_assets.backends.hosted_embedding import Batching
from etl_assets.backends.http_calls import HttpApi, Patience
from etl_assets.backends.jina import JinaEmbedder, JinaModel
from etl_assets.backends.result_cache import MemoryCache
from etl_assets.documents.embedding import embed_rows
from etl_assets.errors import ConfigError, DataError, TransientError
from etl_assets.protocols.cache import CacheKey
from etl_assets.protocols.embedder import EmbeddingModel, HostedEmbedder, for_tenant, in_context
from etl_assets.protocols.reranker import TenantReranker
from etl_assets.protocols.reranker import for_tenant as reranker_for_tenant
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.standin import Fault
from etl_assets_tests.servers.vectors import score_of, vector_of


@dataclass
class Counting:
    """Embeds by the text's hash, and keeps what it was asked for."""

    model: EmbeddingModel = field(default_factory=lambda: EmbeddingModel("counting", "1", 8, 100))
    tokenizer: EstimatedTokenizer = field(default_factory=EstimatedTokenizer)
    asked: list[list[str]] = field(default_factory=list)
    name: str = "counting"

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append(list(texts))
        if "poison" in texts:
            raise DataError("refused", reason="refused-text")
        return np.stack([self._vector(text) for text in texts])

    def embed_query(self, text: str) -> NDArray[np.float32]:
        self.asked.append([f"? {text}"])
        return -self._vector(text)

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        self.asked.append([query, *texts])
        return [score_of(query, text) for text in texts]

    def _vector(self, text: str) -> NDArray[np.float32]:
        vector = np.array(vector_of(text, 8, salt="counting"))
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_a_text_is_embedded_once_for_each_tenant_and_use() -> None:
    inner, cache = Counting(), MemoryCache()
    acme = CachedEmbedder(inner, cache, scope="acme")
    first = acme.embed_documents(["a", "b", "a"])
    np.testing.assert_array_equal(acme.embed_documents(["b", "a", "c"]), inner.embed_documents(["b", "a", "c"]))
    np.testing.assert_array_equal(first[0], first[2])
    assert inner.asked[:2] == [["a", "b"], ["c"]]
    inner.asked.clear()
    np.testing.assert_array_equal(acme.embed_query("a"), acme.embed_query("a"))
    assert not np.array_equal(acme.embed_query("a"), first[0])
    acme.for_scope("rival").embed_documents(["a"])
    assert inner.asked == [["? a"], ["a"]]
    assert acme.embed_documents([]).shape == (0, 8)
    assert acme.model is inner.model and acme.tokenizer is inner.tokenizer


def test_another_models_vectors_are_never_used() -> None:
    cache = MemoryCache()
    CachedEmbedder(Counting(), cache, scope="acme").embed_documents(["a"])
    other = Counting(EmbeddingModel("counting", "2", 8, 100))
    CachedEmbedder(other, cache, scope="acme").embed_documents(["a"])
    assert other.asked == [["a"]]


@pytest.mark.parametrize("wrong", [b"", b"x" * 12, np.zeros(8, "<f4").tobytes(), np.full(8, np.nan, "<f4").tobytes()])
def test_a_kept_vector_that_cannot_be_one_is_a_miss(wrong: bytes) -> None:
    class Wrong:
        def get(self, keys: Sequence[CacheKey]) -> dict[CacheKey, bytes]:
            return dict.fromkeys(keys, wrong)

        def put(self, results: object) -> None: ...

    inner = Counting()
    vectors = CachedEmbedder(inner, Wrong(), scope="acme").embed_documents(["a"])
    assert np.linalg.norm(vectors[0]) == pytest.approx(1.0)
    assert inner.asked == [["a"]]


def test_beside_a_refused_text_all_others_are_sent_once() -> None:
    import polars as pl

    inner = Counting()
    cached = CachedEmbedder(inner, MemoryCache(), scope="acme")
    texts = [f"text {number}" for number in range(63)] + ["poison"]
    rows = pl.DataFrame({"text": texts, "text_digest": texts})
    with pytest.raises(DataError, match="text poison"):
        embed_rows(rows, embedder=cached)
    asked = [text for part in inner.asked if "poison" not in part for text in part]
    assert sorted(asked) == sorted(set(asked)), "no text but the refused one, and those sent with it, is asked again"
    assert len(inner.asked) <= 15
    inner.asked.clear()
    embed_rows(rows.head(63), embedder=cached)
    assert inner.asked == []


def test_the_same_question_over_the_same_texts_is_scored_once() -> None:
    inner, cache = Counting(), MemoryCache()
    reranker = CachedReranker(inner, cache, scope="acme")
    scores = reranker.scores("q a", ["a", "b"])
    assert list(reranker.scores("q a", ["a", "b"])) == list(scores)
    reranker.scores("q a", ["b", "a"])
    reranker.scores("q", ["a a", "b"])
    assert len(inner.asked) == 3
    assert reranker.name == "counting"


def test_what_came_before_a_failure_is_not_sent_again() -> None:
    with JinaStandIn() as server:
        key = FixedCredential("test-key", source="JINA_API_KEY")
        api = HttpApi("Jina", f"{server.url}/v1", credential=key, patience=Patience(attempts=1))
        inner = JinaEmbedder(api, JinaModel(dimension=8), batching=Batching(texts=1, in_flight=1))
        embedder = CachedEmbedder(inner, MemoryCache(), scope="acme")
        server.misbehave(None, None, Fault("error"))
        with pytest.raises(TransientError):
            embedder.embed_documents(["one", "two", "three", "four"])
        assert embedder.embed_documents(["one", "two", "three", "four"]).shape == (4, 8)
        asked = [text for one in server.requests if one.status == 200 for text in one.body["input"]]
        assert sorted(asked) == ["four", "one", "three", "two"]
        api.close()


def test_vectors_that_depend_on_their_neighbours_are_not_kept_by_text() -> None:
    with JinaStandIn() as server:
        key = FixedCredential("test-key", source="JINA_API_KEY")
        api = HttpApi("Jina", f"{server.url}/v1", credential=key)
        late = CachedEmbedder(JinaEmbedder(api, JinaModel(dimension=8, late_chunking=True)), MemoryCache(), scope="a")
        assert in_context(late) is late and late.windows(["one", "two"]) == [range(2)]
        together, alone = late.embed_windows([["one", "two"], ["one"]])
        assert not np.allclose(together[0], alone[0])
        plain = CachedEmbedder(JinaEmbedder(api, JinaModel(dimension=8)), MemoryCache(), scope="a")
        assert in_context(plain) is None
        with pytest.raises(ConfigError, match="reads no chunks in their context"):
            plain.embed_windows([["one"]])
        api.close()


def test_a_local_models_questions_are_kept_and_its_documents_are_not() -> None:
    inner = Counting()
    embedder = CachedQuestions(inner, MemoryCache())
    np.testing.assert_array_equal(embedder.embed_query("a"), embedder.embed_query("a"))
    embedder.embed_documents(["a"])
    embedder.embed_documents(["a"])
    assert inner.asked == [["? a"], ["a"], ["a"]]
    assert embedder.model is inner.model and embedder.tokenizer is inner.tokenizer
    assert not isinstance(embedder, HostedEmbedder) and for_tenant(embedder, "acme") is embedder


def test_each_tenant_has_its_own_scope() -> None:
    inner, cache = Counting(), MemoryCache()
    embedder, reranker = CachedEmbedder(inner, cache, scope=""), CachedReranker(inner, cache, scope="")
    assert isinstance(embedder, HostedEmbedder) and isinstance(reranker, TenantReranker)
    for tenant in ("acme", "rival", "acme"):
        for_tenant(embedder, tenant).embed_query("q")
        reranker_for_tenant(reranker, tenant).scores("q", ["a"])
    assert inner.asked == [["? q"], ["q", "a"]] * 2
    assert reranker_for_tenant(inner, "acme") is inner

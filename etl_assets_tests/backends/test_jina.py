"""Jina's embeddings and reranking against a stand-in that validates every request by the vendor's guide."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.estimated_tokens import SPAN_BYTES, EstimatedTokenizer, longest_read_whole
from etl_assets.backends.hosted_embedding import Batching, batches, encodable, stretches
from etl_assets.backends.http_calls import HttpApi, Patience
from etl_assets.backends.jina import DOCUMENTS_MAX, JinaEmbedder, JinaModel, JinaReranker
from etl_assets.backends.rate_budget import FileBudget, Limits
from etl_assets.errors import ConfigError, DataError, PermanentError, TransientError
from etl_assets.protocols.hosted_models import JINA_MODELS
from etl_assets_tests.servers.jina_standin import JinaStandIn, contract
from etl_assets_tests.servers.standin import Fault, Kind, seeded_faults
from etl_assets_tests.servers.vectors import score_of, vector_of

AT_ONCE = Patience(attempts=30, total_s=20.0, base_s=0.0, cap_s=0.0)
SMALL = JinaModel(dimension=16)
V3 = "jina-embeddings-v3"


@pytest.fixture
def server() -> Iterator[JinaStandIn]:
    with JinaStandIn() as jina:
        assert isinstance(jina, JinaStandIn)
        yield jina


@pytest.fixture
def api(server: JinaStandIn) -> Iterator[HttpApi]:
    key = FixedCredential("test-key", source="JINA_API_KEY")
    opened = HttpApi("Jina", f"{server.url}/v1/", credential=key, patience=AT_ONCE)
    yield opened
    opened.close()


def expected(texts: list[str], task: str, dimension: int = 16, model: str = V3) -> np.ndarray:
    vectors = np.array([vector_of(text, dimension, salt=f"{model}/{task}") for text in texts])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


TEXTS = [f"text number {index} of many" for index in range(50)]


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_documents_and_questions_go_as_their_own_tasks(server: JinaStandIn, api: HttpApi, encoding: str) -> None:
    embedder = JinaEmbedder(api, JinaModel(dimension=16, encoding=encoding))  # type: ignore[arg-type]
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), expected(TEXTS, "retrieval.passage"), atol=1e-6)
    query = embedder.embed_query("text 3")
    assert query.shape == (16,) and query.dtype == np.float32
    np.testing.assert_allclose(query, expected(["text 3"], "retrieval.query")[0], atol=1e-6)
    assert all(one.status == 200 and one.headers["accept"] == "application/json" for one in server.requests)


@pytest.mark.parametrize("name", list(JINA_MODELS))
def test_every_model_is_asked_by_the_vendors_guide(server: JinaStandIn, api: HttpApi, name: str) -> None:
    facts = contract()["embeddings"]["models"][name]
    for dimension in (None, 32):
        embedder = JinaEmbedder(api, JinaModel(name, dimension=dimension))
        vectors = embedder.embed_documents(["one", "two"])
        assert vectors.shape == (2, dimension or facts["dimensions"])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
        assert embedder.embed_query("one").shape == (embedder.model.dimension,)
    assert JINA_MODELS[name].dimension == facts["dimensions"]
    assert JINA_MODELS[name].context_tokens <= facts.get("context_tokens", JINA_MODELS[name].context_tokens)
    assert JINA_MODELS[name].items_max <= contract()["input_items_max"].get(name, 512)


def test_the_guide_is_the_shared_one(shared_data: Callable[..., Path]) -> None:
    shared = shared_data().parent / "contracts" / "jina" / "search_foundation.json"
    if not shared.exists():
        pytest.skip(f"ETL_SHARED_DATA: {shared} is not there")
    assert json.loads(shared.read_text()) == contract()


def test_a_batch_stays_within_items_and_tokens_and_many_are_in_flight(server: JinaStandIn, api: HttpApi) -> None:
    server.together = 4
    embedder = JinaEmbedder(api, SMALL, batching=Batching(texts=10, tokens=60, in_flight=4))
    texts = [*TEXTS, "word " * 100]
    np.testing.assert_allclose(embedder.embed_documents(texts), expected(texts, "retrieval.passage"), atol=1e-6)
    sizes = [len(one.body["input"]) for one in server.requests]
    assert sum(sizes) == 51 and max(sizes) <= 10
    assert server.most_under_way == 4


def test_no_model_is_sent_more_items_than_it_takes(server: JinaStandIn, api: HttpApi) -> None:
    model = JinaModel("jina-embeddings-v4", dimension=2)
    JinaEmbedder(api, model, batching=Batching(texts=10_000, tokens=10**9)).embed_documents(["a"] * 600)
    assert sorted(len(one.body["input"]) for one in server.requests) == [88, 512]


def test_a_faulty_network_changes_no_vector(server: JinaStandIn, api: HttpApi) -> None:
    server.misbehave()
    server._faults = seeded_faults(7, 0.4)
    embedder = JinaEmbedder(api, SMALL, batching=Batching(texts=2, in_flight=2))
    api._patience = Patience(attempts=30, total_s=20, base_s=0, cap_s=0, answers=30)
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), expected(TEXTS, "retrieval.passage"), atol=1e-6)
    assert len(server.requests) > 25


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("wrong-model", PermanentError, "'another-model' answered, not jina-embeddings-v3; .*never mix"),
        ("wrong-dimension", PermanentError, r"shape \(15,\).*16 dimensions"),
        ("not-finite", TransientError, "length nan"),
        ("zero", TransientError, "length 0.0"),
        ("doubled", TransientError, "3 vectors with 2 different places for 2 texts"),
        ("missing", TransientError, "1 vectors with 1 different places for 2 texts"),
    ],
)  # fmt: skip
def test_no_wrong_vector_is_taken(
    server: JinaStandIn, api: HttpApi, kind: Kind, error: type[Exception], words: str
) -> None:
    server.misbehave(*[Fault(kind)] * 10)
    with pytest.raises(error, match=words):
        JinaEmbedder(api, SMALL).embed_documents(["one", "two"])
    assert len(server.requests) == 3, "asked again a few times, then not any more"


def test_one_wrong_answer_is_made_good_by_the_next(server: JinaStandIn, api: HttpApi) -> None:
    server.misbehave(Fault("wrong-model"))
    assert JinaEmbedder(api, SMALL).embed_documents(["one"]).shape == (1, 16)


@pytest.mark.parametrize(("status", "key"), [(401, "JINA_API_KEY"), (402, "balance"), (422, "input")])
def test_a_refusal_ends_all_batches_at_once(server: JinaStandIn, api: HttpApi, status: int, key: str) -> None:
    body = {"detail": [{"message": "Validation error", "field": "input"}]}
    server.misbehave(*[Fault("error", status=status, body=body)] * 99)
    embedder = JinaEmbedder(api, SMALL, batching=Batching(texts=1, in_flight=2))
    with pytest.raises(PermanentError, match=rf"HTTP {status}.*{key}"):
        embedder.embed_documents(TEXTS)
    assert len(server.requests) <= 4, "no storm"


def test_a_refused_text_is_its_documents_fault(server: JinaStandIn, api: HttpApi) -> None:
    server.refuse_text = "poison"
    with pytest.raises(DataError, match="refused one of 3 texts .HTTP 400.*Failed to encode text") as caught:
        JinaEmbedder(api, SMALL).embed_documents(["a", "poison", "b"])
    assert caught.value.reason == "refused-text"
    with pytest.raises(DataError, match="refused the text"):
        JinaEmbedder(api, SMALL).embed_documents(["poison"])


def test_blank_texts_are_not_sent(server: JinaStandIn, api: HttpApi) -> None:
    with pytest.raises(DataError, match="empty text"):
        JinaEmbedder(api, SMALL).embed_documents(["a", " \n"])
    assert JinaEmbedder(api, SMALL).embed_documents([]).shape == (0, 16)
    assert not server.requests


def test_a_long_text_is_cut_where_the_model_may_stop_reading(server: JinaStandIn, api: HttpApi) -> None:
    embedder = JinaEmbedder(api, SMALL)
    embedder.embed_documents(["word " * 10_000, "half \ud83d pair"])
    sent = [text for one in server.requests for text in one.body["input"]]
    assert len(embedder.tokenizer.token_spans(sent[0])) == embedder.model.max_tokens == 8192 // 6
    assert sent[1] == "half \ufffd pair"


def test_budgets_are_kept_and_questions_do_not_wait_for_documents(
    server: JinaStandIn, api: HttpApi, tmp_path: Path
) -> None:
    bulk = FileBudget(tmp_path / "bulk", Limits(requests=9, tokens=90_000), name="jina documents")
    queries = FileBudget(tmp_path / "queries", Limits(requests=1, tokens=10_000), name="jina queries")
    embedder = JinaEmbedder(api, SMALL, batching=Batching(texts=1, in_flight=3), bulk=bulk, queries=queries)
    server.windows.requests = 10
    embedder.embed_documents(TEXTS[:9])
    with pytest.raises(TransientError, match="jina documents: 9 requests"):
        api._patience = Patience(total_s=1)
        embedder.embed_documents(["one more"])
    embedder.embed_query("quick")
    with pytest.raises(TransientError, match="jina queries: 1 requests"):
        embedder.embed_query("quick")
    assert [one.status for one in server.requests] == [200] * 10


def test_late_chunking_reads_the_chunks_of_a_document_together(server: JinaStandIn, api: HttpApi) -> None:
    embedder = JinaEmbedder(api, JinaModel(dimension=16, late_chunking=True))
    first, second, none = embedder.embed_windows([["one", "two", "three"], ["one"], []])
    assert first.shape == (3, 16) and second.shape == (1, 16) and none.shape == (0, 16)
    assert sorted(one.body["input"] for one in server.requests) == [["one"], ["one", "two", "three"]]
    assert all(one.body["late_chunking"] for one in server.requests)
    assert not np.allclose(first[0], second[0]), "the same text beside others is another vector"
    embedder.embed_query("one")
    assert "late_chunking" not in server.requests[-1].body
    with pytest.raises(ConfigError, match="embed_windows"):
        embedder.embed_documents(["one"])
    with pytest.raises(ConfigError, match="set late_chunking"):
        JinaEmbedder(api, SMALL).embed_windows([["one"]])


def test_windows_hold_a_document_in_order_within_the_context(api: HttpApi) -> None:
    embedder = JinaEmbedder(api, JinaModel(late_chunking=True))
    texts = [f"chunk {number} " + "word " * (number % 90) for number in range(400)]
    windows = embedder.windows(texts)
    assert [index for window in windows for index in window] == list(range(400))
    sizes = [sum(len(embedder.tokenizer.token_spans(texts[index])) for index in window) for window in windows]
    assert max(sizes) <= embedder.model.max_tokens and max(map(len, windows)) <= Batching().texts
    assert embedder.windows([]) == []


@pytest.mark.parametrize("place", range(0, 400, 13))
def test_an_edit_moves_the_borders_of_few_windows(place: int) -> None:
    texts = [f"chunk {number} " + "word " * (number % 90) for number in range(400)]
    edited = [*texts[:place], f"another text in place of {place}", *texts[place + 1 :]]

    def windows(of: list[str]) -> set[tuple[str, ...]]:
        ranges = stretches(of, [len(text.split()) + 1 for text in of], most_texts=64, most_tokens=1365)
        return {tuple(of[index] for index in one) for one in ranges}

    before, after = windows(texts), windows(edited)
    assert len(after - before) <= 8 < len(before) / 1.5


def test_the_identity_covers_what_decides_a_vector() -> None:
    models = [
        JinaModel(), JinaModel(dimension=256), JinaModel(late_chunking=True), JinaModel("jina-embeddings-v4"),
        JinaModel("jina-embeddings-v4", dimension=1024),
    ]  # fmt: skip
    digests = [model.identity().digest for model in models]
    assert len(set(digests)) == len(models)
    assert JinaModel(encoding="base64").identity() == JinaModel(dimension=1024).identity() == JinaModel().identity()
    assert JinaModel(dimension=256, late_chunking=True).identity().name == "jina/jina-embeddings-v3@256+late"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "jina-embeddings-v9"},
        {"dimension": 1025},
        {"dimension": 0},
        {"name": "jina-embeddings-v5-text-nano", "dimension": 100},
    ],
)
def test_a_model_that_is_not_there_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="Jina model"):
        JinaModel(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="in_flight"):
        Batching(in_flight=0)


def test_scores_are_in_the_order_given_and_ranks_best_first(server: JinaStandIn, api: HttpApi) -> None:
    texts = ["nothing here", "vectors of a query", "query vectors rerank"]
    for model in contract()["rerank"]["models"]:
        reranker = JinaReranker(api, model)
        assert reranker.name == f"jina/{model}"
        scores = reranker.scores("rerank query", texts)
        assert scores == [score_of("rerank query", text) for text in texts]
        best = reranker.rerank("rerank query", texts, 2)
        assert [index for index, _ in best] == [2, 1]
    assert all(one.status == 200 for one in server.requests)
    assert list(reranker.scores("anything", [])) == []


@pytest.mark.parametrize("kind", ["wrong-model", "doubled", "missing", "error", "limited", "truncated"])
def test_an_exhausted_reranker_says_so_soon(server: JinaStandIn, api: HttpApi, kind: Kind) -> None:
    server.misbehave(*[Fault(kind, seconds=60)] * 9)
    with pytest.raises(TransientError):
        JinaReranker(api).scores("q", ["a", "b"])
    assert len(server.requests) <= 2


def test_too_many_texts_are_refused_before_they_are_sent(api: HttpApi) -> None:
    with pytest.raises(ConfigError, match="at most 1024"):
        JinaReranker(api).scores("q", ["a"] * (DOCUMENTS_MAX + 1))


@given(st.text())
def test_estimated_spans_hold_the_text_and_few_bytes_each(text: str) -> None:
    spans = EstimatedTokenizer().token_spans(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(len(text[start:end].encode("utf-8", "surrogatepass")) <= SPAN_BYTES for start, end in spans)
    assert longest_read_whole(8192) * SPAN_BYTES <= 8192


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 10), st.integers(1, 100))
def test_batches_hold_everything_once_and_stay_within_their_bounds(counts: list[int], texts: int, tokens: int) -> None:
    found = batches(counts, texts=texts, tokens=tokens)
    assert [index for part in found for index in part] == list(range(len(counts)))
    for part in found:
        assert 1 <= len(part) <= texts
        assert sum(counts[index] for index in part) <= tokens or len(part) == 1


@given(st.text(st.characters(), max_size=20) | st.just("a\ud800b"))
def test_what_is_sent_is_unicode_of_the_same_length(text: str) -> None:
    assert len(encodable(text)) == len(text)
    encodable(text).encode()

"""Embeddings of an OpenAI-compatible endpoint against a stand-in."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.hosted_embedding import Batching
from etl_assets.backends.http_calls import HttpApi, Patience
from etl_assets.backends.openai_embedder import OpenAIEmbedder, OpenAIModel
from etl_assets.errors import ConfigError, DataError, PermanentError
from etl_assets_tests.servers.openai_standin import OpenAIStandIn
from etl_assets_tests.servers.standin import Fault
from etl_assets_tests.servers.vectors import vector_of

MODEL = OpenAIModel("local-model", dimension=8)
Opened = Callable[..., OpenAIEmbedder]


@pytest.fixture
def server() -> Iterator[OpenAIStandIn]:
    with OpenAIStandIn(models={"local-model": 8, "large": 64}) as standin:
        assert isinstance(standin, OpenAIStandIn)
        yield standin


@pytest.fixture
def opened(server: OpenAIStandIn) -> Iterator[Opened]:
    with ExitStack() as stack:

        def make(model: OpenAIModel = MODEL, **options: object) -> OpenAIEmbedder:
            key = FixedCredential("test-key", source="OPENAI_API_KEY")
            patience = Patience(attempts=3, total_s=5, base_s=0, cap_s=0)
            api = HttpApi("Model server", f"{server.url}/v1", credential=key, patience=patience)
            stack.callback(api.close)
            return OpenAIEmbedder(api, model, **options)  # type: ignore[arg-type]

        yield make


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_vectors_are_the_models_at_unit_length(server: OpenAIStandIn, opened: Opened, encoding: str) -> None:
    model = OpenAIModel("large", dimension=16, shorten=True, encoding=encoding)  # type: ignore[arg-type]
    vectors = opened(model, batching=Batching(texts=2)).embed_documents(["one", "two", "three"])
    raw = np.array([vector_of(text, 16, salt="large") for text in ("one", "two", "three")])
    np.testing.assert_allclose(vectors, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-6)
    assert {one.body["dimensions"] for one in server.requests} == {16}


def test_prefixes_stand_before_texts(server: OpenAIStandIn, opened: Opened) -> None:
    embedder = opened(OpenAIModel("local-model", 8, document_prefix="passage: ", query_prefix="query: "))
    embedder.embed_documents(["x"])
    embedder.embed_query("x")
    assert [one.body["input"] for one in server.requests] == [["passage: x"], ["query: x"]]
    assert "dimensions" not in server.requests[0].body


def test_another_model_behind_the_same_address_is_refused(server: OpenAIStandIn, opened: Opened) -> None:
    server.answers_as = "local-model-v2"
    with pytest.raises(PermanentError, match="'local-model-v2' answered, not local-model"):
        opened().embed_documents(["x"])
    assert opened(OpenAIModel("local-model", 8, answers_as=("local-model-v2",))).embed_query("x").shape == (8,)


def test_an_unknown_model_and_a_wrong_dimension_are_permanent(opened: Opened) -> None:
    with pytest.raises(PermanentError, match="HTTP 404: The model absent does not exist"):
        opened(OpenAIModel("absent", 8)).embed_query("x")
    with pytest.raises(PermanentError, match=r"shape \(8,\).*9 dimensions"):
        opened(OpenAIModel("local-model", 9)).embed_documents(["x"])


def test_a_text_over_the_context_is_cut_here(server: OpenAIStandIn, opened: Opened) -> None:
    embedder = opened()
    embedder.embed_documents(["word " * 20_000])
    assert len(server.requests[0].body["input"][0]) < 8191 * 6
    server.misbehave(Fault("error", status=400, body={"error": {"message": "maximum context length is 1 tokens"}}))
    with pytest.raises(DataError, match="maximum context length"):
        embedder.embed_documents(["x"])


def test_the_identity_covers_what_decides_a_vector() -> None:
    models = [
        MODEL, OpenAIModel("other", 8), OpenAIModel("local-model", 9), OpenAIModel("local-model", 8, provider="mine"),
        OpenAIModel("local-model", 8, shorten=True), OpenAIModel("local-model", 8, document_prefix="p: "),
        OpenAIModel("local-model", 8, query_prefix="q: "), OpenAIModel("local-model", 8, context_tokens=512),
    ]  # fmt: skip
    assert len({model.identity().digest for model in models}) == len(models)
    assert OpenAIModel("local-model", 8, encoding="base64", answers_as=("x",)).identity() == MODEL.identity()
    assert MODEL.identity().name == "openai/local-model"
    assert MODEL.identity().max_tokens == 8191 // 6


@pytest.mark.parametrize("wrong", [("", 8), ("m", 0)])
def test_a_model_without_name_or_dimension_is_refused(wrong: tuple[str, int]) -> None:
    with pytest.raises(ConfigError):
        OpenAIModel(*wrong)


def test_no_key_is_needed_where_none_is_asked_for(server: OpenAIStandIn) -> None:
    server.keys = set()
    api = HttpApi("Model server", f"{server.url}/v1")
    embedder = OpenAIEmbedder(api, MODEL)
    assert embedder.embed_query("x").shape == (8,)
    assert embedder.tokenizer.token_spans("ab") == [(0, 2)]
    assert embedder.model.dimension == 8
    assert "authorization" not in server.requests[0].headers
    api.close()

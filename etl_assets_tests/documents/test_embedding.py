from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from etl_assets.backends.static_embedder import StaticEmbedder
from etl_assets.documents.embedding import embed_rows
from etl_assets.errors import DataError
from etl_assets.protocols.embedder import EmbeddingModel, Tokenizer


class Given:
    """An embedder that answers what it was given, by text."""

    model = EmbeddingModel("given", "0", dimension=2, max_tokens=9)

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self._vectors = vectors

    @property
    def tokenizer(self) -> Tokenizer:
        return StaticEmbedder().tokenizer

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if "refused" in texts:
            raise DataError("cannot be read", reason="refused")
        return np.array([self._vectors[text] for text in texts], np.float32)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self.embed_documents([text])[0]
        return vector


def rows(*texts: str) -> pl.DataFrame:
    return pl.DataFrame({"text_digest": [f"digest-{t}" for t in texts], "text": texts}, schema_overrides={
        "text_digest": pl.String, "text": pl.String})  # fmt: skip


def test_each_row_gets_the_vector_of_its_text() -> None:
    found = embed_rows(rows("a", "b"), embedder=Given({"a": [1, 0], "b": [0, -1]}))
    assert found.schema == {"text_digest": pl.String, "vector": pl.List(pl.Float32)}
    assert found.rows() == [("digest-a", [1.0, 0.0]), ("digest-b", [0.0, -1.0])]


def test_a_real_model_passes_and_no_rows_give_none() -> None:
    found = embed_rows(rows("phishing wave", "water plant"), embedder=StaticEmbedder())
    assert found["vector"].list.len().to_list() == [256, 256]
    empty = embed_rows(rows(), embedder=StaticEmbedder())
    assert empty.is_empty() and empty.columns == ["text_digest", "vector"]


@pytest.mark.parametrize(
    ("vector", "reason"),
    [([0.5, 0.5], "not-unit-length"), ([float("nan"), 1], "not-finite"), ([0, 0], "not-unit-length"),
     ([float("inf"), 0], "not-finite")],
)  # fmt: skip
def test_a_wrong_vector_is_refused_by_the_name_of_its_text(vector: list[float], reason: str) -> None:
    with pytest.raises(DataError, match="digest-b.*1 of 3 are wrong") as caught:
        embed_rows(rows("a", "b", "c"), embedder=Given({"a": [1, 0], "b": vector, "c": [0, 1]}))
    assert caught.value.reason == reason


def test_a_wrong_dimension_is_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(1, 3\).*digest-a.*\(1, 2\)") as caught:
        embed_rows(rows("a"), embedder=Given({"a": [1, 0, 0]}))
    assert caught.value.reason == "wrong-dimension"


def test_a_refused_text_is_named() -> None:
    with pytest.raises(DataError, match="text digest-refused: cannot be read") as caught:
        embed_rows(rows("a", "refused"), embedder=Given({"a": [1, 0]}))
    assert caught.value.reason == "refused"

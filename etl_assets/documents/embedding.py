"""Chunks to vectors: each text once, every vector checked before it is kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etl_assets.errors import DataError
from etl_assets.protocols.embedder import Embedder

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be: float32 gives 1e-6, a hosted model that rounds to float16 5e-4."""


def embed_rows(rows: "pl.DataFrame", *, embedder: Embedder) -> "pl.DataFrame":
    """``text_digest`` and ``vector`` (list of float32) for each row of ``rows``, in its order.

    ``rows`` holds ``text_digest`` and ``text``, each digest once.

    Raises:
        DataError: a text cannot be embedded, or its vector is missing, of the wrong dimension, not finite or not of
            unit length; the message names the text's digest.
        ConfigError, TransientError: as the embedder says.
    """
    import polars as pl

    digests = rows["text_digest"].to_list()
    vectors = _embedded(rows["text"].to_list(), digests, embedder)
    check_vectors(vectors, digests, embedder=embedder)
    column = pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, embedder.model.dimension))
    return pl.DataFrame([rows["text_digest"], column.cast(pl.List(pl.Float32))])


def _embedded(texts: list[str], digests: list[str], embedder: Embedder) -> "NDArray[np.float32]":
    """All vectors; when a text is refused, the one that is, by name."""
    try:
        return embedder.embed_documents(texts)
    except DataError:
        for text, digest in zip(texts, digests, strict=True):
            try:
                embedder.embed_documents([text])
            except DataError as e:
                raise DataError(f"text {digest}: {e}", reason=e.reason) from e
        raise


def check_vectors(vectors: "NDArray[np.float32]", digests: Sequence[str], *, embedder: Embedder) -> None:
    """Whether there is one finite unit vector of the model's dimension for each digest.

    Raises:
        DataError: naming the first digest whose vector is wrong, and how many are.
    """
    import numpy as np

    model = embedder.model
    expected = (len(digests), model.dimension)
    if vectors.shape != expected:
        raise DataError(
            f"model {model.name} gave vectors of shape {vectors.shape} for {len(digests)} texts from "
            f"{digests[0] if digests else 'none'} on, expected {expected}: check the embedder's dimension",
            reason="wrong-dimension",
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))  # a NaN is not within any tolerance
    if wrong.size:
        first = int(wrong[0])
        finite = bool(np.isfinite(lengths[first]))
        raise DataError(
            f"model {model.name} gave a vector of length {lengths[first]:.4g} for text {digests[first]} "
            f"({wrong.size} of {len(digests)} are wrong), expected 1: check that the model's files are whole",
            reason="not-unit-length" if finite else "not-finite",
        )

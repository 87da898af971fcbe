"""Chunks to vectors: each text once, or once in each context, every vector checked before it is kept."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from etl_assets.errors import DataError
from etl_assets.protocols.embedder import ContextEmbedder, Embedder

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
    digests = rows["text_digest"].to_list()
    return checked_rows(_embedded(rows["text"].to_list(), digests, embedder), digests, embedder)


class WindowedRows:
    """The rows of one run for an embedder that reads chunks in their context.

    A vector is remembered by its window and its place there, in place of its text: the same text beside others is
    another vector, and a changed chunk costs the vectors of its window, not those of its document.
    """

    def __init__(self, embedder: ContextEmbedder) -> None:
        self._embedder = embedder
        self._windows: dict[str, list[str]] = {}
        self._places: dict[str, tuple[str, int]] = {}
        self._refused: dict[str, DataError] = {}

    def keyed(self, rows: "pl.DataFrame") -> "pl.DataFrame":
        """Whole documents' chunks, with ``text_digest`` of window and place; what ``embed`` is given comes of these."""
        import polars as pl

        self._windows, self._places, self._refused = {}, {}, {}
        documents: dict[str, list[tuple[int, int, str]]] = {}
        for row, (document, ordinal, text) in enumerate(rows.select("document_id", "ordinal", "text").iter_rows()):
            documents.setdefault(document, []).append((ordinal, row, text))
        keys = [""] * rows.height
        for chunks in documents.values():
            chunks.sort()
            for row, key in zip(
                (row for _, row, _ in chunks), self._keys([text for _, _, text in chunks]), strict=True
            ):
                keys[row] = key
        return rows.with_columns(pl.Series("text_digest", keys, dtype=pl.String))

    def embed(self, rows: "pl.DataFrame") -> "pl.DataFrame":
        """As ``embed_rows``. Each window is read once, even where only a part of it is asked for.

        Raises:
            DataError: a window cannot be embedded.
            ConfigError, TransientError: as the embedder says.
        """
        import numpy as np

        keys = rows["text_digest"].to_list()
        wanted = list(dict.fromkeys(self._places[key][0] for key in keys))
        for window in wanted:
            if window in self._refused:
                raise self._refused[window]
        try:
            made = self._embedder.embed_windows([self._windows[window] for window in wanted])
        except DataError as e:
            if len(wanted) == 1:
                self._refused[wanted[0]] = e
            raise
        vectors = dict(zip(wanted, made, strict=True))
        found = [vectors[window][place] for window, place in (self._places[key] for key in keys)]
        return checked_rows(np.stack(found), keys, self._embedder)

    def windows_of(self, keys: Sequence[str]) -> int:
        """How many windows hold these keys of the rows that were ``keyed`` last: so many are read."""
        return len({self._places[key][0] for key in keys})

    def _keys(self, texts: list[str]) -> list[str]:
        """For each chunk of one document the digest of its window and of its place in it."""
        keys = []
        for part in self._embedder.windows(texts):
            window = texts[part.start : part.stop]
            digest = _window_digest(window)
            self._windows[digest] = window
            for place in range(len(window)):
                key = hashlib.blake2b(f"{digest}/{place}".encode(), digest_size=16).hexdigest()
                self._places[key] = (digest, place)
                keys.append(key)
        return keys


def _window_digest(texts: list[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def checked_rows(vectors: "NDArray[np.float32]", digests: Sequence[str], embedder: Embedder) -> "pl.DataFrame":
    """``text_digest`` and ``vector`` of each row of ``vectors``.

    Raises:
        DataError: as ``check_vectors``.
    """
    import polars as pl

    check_vectors(vectors, digests, embedder=embedder)
    column = pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, embedder.model.dimension))
    return pl.DataFrame([pl.Series("text_digest", digests, dtype=pl.String), column.cast(pl.List(pl.Float32))])


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

"""Fitting linear models over the n-grams that the product counts, and writing them as its packaged files.

scikit-learn is used here and in tests, never by the product. Everything is seeded or has no chance in it.
"""

import io
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from etl_assets.documents.classification.linear import Block, LinearModel
from etl_assets.documents.classification.ngrams import pieces, words

DATA = Path(os.environ.get("ETL_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
MODELS = Path(__file__).resolve().parents[1] / "etl_assets" / "documents" / "classification" / "data"
Floats = NDArray[np.float32]


def blocks_of(
    texts: Sequence[str], *, least: tuple[int, int] = (2, 2), shares: tuple[float, float] = (1.0, 1.5)
) -> tuple[Block, ...]:
    """Vocabularies of ``texts``: the features that stand in at least so many of them."""
    blocks = []
    for count, fewest, share in zip((words, pieces), least, shares, strict=True):
        found = count(texts)
        hashes, documents = np.unique(found.hashes, return_counts=True)
        kept = documents >= fewest
        idf = np.log((1 + len(texts)) / (1 + documents[kept])) + 1
        blocks.append(Block(count, hashes[kept], idf.astype(np.float32), share))
    return tuple(blocks)


def matrix(blocks: Sequence[Block], texts: Sequence[str]) -> Any:
    """The features of ``texts`` as a sparse matrix, one row a text."""
    parts = []
    for block in blocks:
        rows, columns, values = block.weighed(texts)
        parts.append(csr_matrix((values, (rows, columns)), shape=(len(texts), len(block.vocabulary))))
    return hstack(parts).tocsr()


def model(name: str, labels: Sequence[str], blocks: Sequence[Block], coefficients: Any, bias: Any) -> LinearModel:
    """A model whose weights (labels, features) are rounded to 8 bits, each label on its own scale."""
    scales = np.maximum(np.abs(coefficients).max(axis=1), 1e-12) / 127
    weights = np.ascontiguousarray(np.rint(coefficients / scales[:, None]).T.astype(np.int8))
    return LinearModel(
        name, tuple(labels), tuple(blocks), weights, scales.astype(np.float32), np.asarray(bias, np.float32), {}
    )


def write(fitted: LinearModel, **extra: Any) -> None:
    """The packaged file of a model: plain arrays, the same bytes on every run."""
    by_words, by_pieces = fitted.blocks
    arrays = {
        "labels": np.array(fitted.labels), "weights": fitted.weights, "scales": fitted.scales, "bias": fitted.bias,
        "words_hashes": by_words.vocabulary, "words_idf": by_words.idf.astype(np.float16),
        "pieces_hashes": by_pieces.vocabulary, "pieces_idf": by_pieces.idf.astype(np.float16),
        "shares": np.array([by_words.share, by_pieces.share], np.float32), **extra,
    }  # fmt: skip
    MODELS.mkdir(exist_ok=True)
    with zipfile.ZipFile(MODELS / fitted.name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for key, value in sorted(arrays.items()):
            held = io.BytesIO()
            np.save(held, value, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0)), held.getvalue(), zipfile.ZIP_DEFLATED)


def write_json(file: str, content: object) -> None:
    """The packaged file of small figures."""
    MODELS.mkdir(exist_ok=True)
    (MODELS / file).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")

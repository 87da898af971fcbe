"""Linear models over hashed n-grams: loading one from its packaged file, and scoring texts with numpy alone."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from etl_assets.documents.classification.ngrams import Counted, pieces, words
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 256
"""Texts scored at once: bounds the memory of a long document to some 20 MB."""


_PARTS = frozenset("labels weights scales bias shares words_hashes words_idf pieces_hashes pieces_idf".split())


@dataclass(frozen=True, slots=True)
class Block:
    """One family of features: its ``vocabulary`` (ascending hashes) and the inverse document frequency of each."""

    count: Callable[[Sequence[str]], Counted]
    vocabulary: "NDArray[np.uint32]"
    idf: "NDArray[np.float32]"
    share: float

    def places(self, hashes: "NDArray[np.uint32]") -> "tuple[NDArray[np.intp], NDArray[np.bool_]]":
        """For each hash its place in ``vocabulary``, which holds only where the second array is true."""
        import numpy as np

        places = np.searchsorted(self.vocabulary, hashes)
        known = places < len(self.vocabulary)
        known[known] = self.vocabulary[places[known]] == hashes[known]
        return places, known

    def weighed(self, texts: Sequence[str]) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]":
        """(text, feature, value): (1 + ln count) * idf, each text of length ``share``; unknown features are left out.

        ``feature`` is a place in ``vocabulary``; rows ascend.
        """
        import numpy as np

        found = self.count(texts)
        places, known = self.places(found.hashes)
        rows, columns = found.rows[known], places[known]
        values = (1 + np.log(found.counts[known])) * self.idf[columns]
        lengths = np.sqrt(np.bincount(rows, values * values, minlength=len(texts)))
        return rows, columns, (self.share * values / np.maximum(lengths, 1e-12)[rows]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class LinearModel:
    """``labels`` and what each feature says for each of them. ``extra`` are small arrays stored with it."""

    name: str
    labels: tuple[str, ...]
    blocks: tuple[Block, ...]
    weights: "NDArray[np.int8]"
    scales: "NDArray[np.float32]"
    bias: "NDArray[np.float32]"
    extra: "Mapping[str, NDArray[np.float32]]"

    def margins(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Shape (texts, labels): the side of each label's boundary a text lies on. A text is scored by itself alone."""
        import numpy as np

        parts = [self._batch(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), dtype=np.float32)

    def _batch(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        scores = np.zeros((len(texts), len(self.labels)), dtype=np.float64)
        base = 0
        for block in self.blocks:
            rows, columns, values = block.weighed(texts)
            if len(rows):
                said = self.weights[base + columns].astype(np.float64) * values[:, None]
                starts = np.flatnonzero(np.diff(rows, prepend=-1))
                scores[rows[starts]] += np.add.reduceat(said, starts, axis=0)
            base += len(block.vocabulary)
        return (scores * self.scales + self.bias).astype(np.float32)


def load(file: str, sha256: str) -> LinearModel:
    """The packaged model ``file`` of this folder's ``data``.

    Raises:
        ConfigError: it is missing, or its SHA-256 (hex) is not ``sha256``.
    """
    import numpy as np

    with np.load(io.BytesIO(packaged(file, sha256)), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    blocks = tuple(
        Block(count, arrays[f"{kind}_hashes"], arrays[f"{kind}_idf"].astype(np.float32), float(share))
        for kind, count, share in zip(("words", "pieces"), (words, pieces), arrays["shares"], strict=True)
    )
    extra = {name: value for name, value in arrays.items() if name not in _PARTS}
    labels = tuple(str(label) for label in arrays["labels"])
    return LinearModel(file, labels, blocks, arrays["weights"], arrays["scales"], arrays["bias"], extra)


def packaged(file: str, sha256: str) -> bytes:
    """The bytes of a data file of this package; raises as ``load``."""
    try:
        data = resources.files(__package__).joinpath("data", file).read_bytes()
    except OSError as e:
        raise ConfigError(f"classification: {file} cannot be read ({e.strerror}): reinstall etl-assets") from e
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ConfigError(
            f"classification: {file} has sha256 {found}, expected {sha256}: it is damaged or of another version; "
            "reinstall etl-assets"
        )
    return data

"""Text to vectors. A vector depends on its own text and the model alone, never on what stood beside it in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """Which vectors these are. Two vectors compare only when ``name`` and ``digest`` agree.

    ``digest`` covers weights, tokenizer, pooling, prefixes and the code that runs them; ``dimension`` counts
    float32 components; ``max_tokens`` is the longest text read whole, in the model's own tokens.
    """

    name: str
    digest: str
    dimension: int
    max_tokens: int


class Tokenizer(Protocol):
    """The embedder's own tokens, for sizing chunks."""

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """(start, end) of each token in ``text``, in code points, end exclusive, ascending; no special tokens."""
        ...


class Embedder(Protocol):
    """Every method may raise TransientError (hosted models) or DataError (a text that cannot be embedded)."""

    @property
    def model(self) -> EmbeddingModel:
        """Identity of the model that answers."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that belongs to the model."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dimension), in the order given; a text past ``max_tokens`` is cut."""
        ...

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """One unit vector, shape (dimension,), to compare with those of documents."""
        ...

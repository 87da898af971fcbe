"""Text to vectors.

A vector depends on its own text and the model alone, never on what stood beside it in a batch; the one exception are
models that read the chunks of a document in their context, and those say so (``in_context``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

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


@runtime_checkable
class HostedEmbedder(Embedder, Protocol):
    """An embedder that waits for a network more than it computes, and keeps what it paid for, tenant by tenant."""

    def for_scope(self, scope: str) -> Embedder:
        """The same embedder for another tenant: what is kept for one is never seen by another."""
        ...


@runtime_checkable
class CountsRequests(Protocol):
    """An embedder that can say beforehand how often it asks its vendor."""

    def requests_for(self, token_counts: Sequence[int]) -> int:
        """Requests for texts of so many tokens each, given together in this order, of which none is known."""
        ...


@runtime_checkable
class ContextEmbedder(Embedder, Protocol):
    """An embedder that can read chunks in the context of their document. ``embed_documents`` is not for those."""

    @property
    def reads_context(self) -> bool:
        """Whether this one does: a chunk's vector depends on its window."""
        ...

    def windows(self, texts: Sequence[str]) -> list[range]:
        """Which of a document's chunks, in reading order, are read together: consecutive ranges that hold them all.

        A change of one chunk moves few borders of other windows.
        """
        ...

    def embed_windows(self, windows: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        """For each window its vectors, shape (len(window), dimension), in the order given."""
        ...


def for_tenant(embedder: Embedder, tenant: str) -> Embedder:
    """The embedder to use for a tenant's texts and questions."""
    return embedder.for_scope(tenant) if isinstance(embedder, HostedEmbedder) else embedder


def in_context(embedder: Embedder) -> ContextEmbedder | None:
    """The embedder as one that reads windows of a document; None when a text is enough for a vector."""
    return embedder if isinstance(embedder, ContextEmbedder) and embedder.reads_context else None

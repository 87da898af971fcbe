"""The vector index and the keyword index: ids in, ids out. Text and spans are read from the lake, never from here.

Rows of both are addressed by (publication, chunk_id). A publication number is drawn once in the ledger and never
reused, so a write never overwrites a live row, and a repeated write of the same publication replaces itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Protocol

from etl_assets.protocols.visibility import Visibility

# pyarrow and numpy cost 0.3 s to import, and a command that only asks the ledger needs neither.
if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def id_fields() -> list[pa.Field[pa.DataType]]:
    """Columns that rows of both indexes begin with. ``document_type`` and ``document_date`` serve the filters."""
    import pyarrow as pa

    return [
        pa.field("publication", pa.int64(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("chunk_id", pa.string(), nullable=False),
        pa.field("document_type", pa.string()),
        pa.field("document_date", pa.date32()),
    ]


def labels_field() -> pa.Field[pa.DataType]:
    """What the row's document is about, each as ``set:label``. The last column: older tables get it added."""
    import pyarrow as pa

    return pa.field("labels", pa.list_(pa.string()))


@cache
def keyword_rows() -> pa.Schema:
    """Schema of keyword index rows: the id fields, ``text`` and ``labels``."""
    import pyarrow as pa

    return pa.schema([*id_fields(), pa.field("text", pa.string(), nullable=False), labels_field()])


@cache
def vector_rows(dimension: int) -> pa.Schema:
    """Schema of vector index rows: the id fields; ``vector``, float32, unit length, ``dimension`` wide; ``labels``."""
    import pyarrow as pa

    vector = pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False)
    return pa.schema([*id_fields(), vector, labels_field()])


@dataclass(frozen=True, slots=True)
class IndexSpace:
    """One index generation of one collection: where its rows live. A space never mixes embedding models."""

    tenant: str
    collection: str
    generation: int

    @property
    def name(self) -> str:
        """``tenant.collection.generation``; unique, since names hold no dot."""
        return f"{self.tenant}.{self.collection}.{self.generation}"


@dataclass(frozen=True, slots=True)
class Filters:
    """What rows must satisfy beside visibility. Empty means no restriction; all given restrictions must hold.

    ``since`` and ``until`` are inclusive, and rows without a date do not pass them. ``publications`` is an
    allow-list (``None``: all; empty: none). ``labels`` are ``set:label``; a row has to have each of them.
    """

    document_types: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    publications: tuple[int, ...] | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexHit:
    """One row found. A higher ``score`` is better; scores of different indexes do not compare."""

    publication: int
    document_id: str
    chunk_id: str
    score: float


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row as an index holds it now. ``digest`` covers all of it but the ids; see ``row_digests.row_digest``."""

    publication: int
    document_id: str
    chunk_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class SpaceStats:
    """What a space takes. ``None`` is what its store does not tell; ``unindexed_rows`` are scanned by every query."""

    rows: int
    size_bytes: int | None = None
    fragments: int | None = None
    unindexed_rows: int | None = None


class RowIndex(Protocol):
    """What both indexes offer for writing, reading back and removing. Every method may raise TransientError."""

    def write(self, space: IndexSpace, rows: pa.Table) -> None:
        """Add rows; rows of the same (publication, chunk_id) already there are replaced. Durable on return."""
        ...

    def counts(self, space: IndexSpace, publications: Sequence[int]) -> Mapping[int, int]:
        """Rows held of each publication, read back from the store; a publication without rows is absent."""
        ...

    def remove(self, space: IndexSpace, publications: Sequence[int]) -> None:
        """Delete every row of these publications. Unknown numbers and a missing space are no error."""
        ...

    def rows(self, space: IndexSpace, *, publications: Sequence[int] | None = None) -> Iterator[StoredRow]:
        """Everything the store holds of a space, visible or not, in no order; ``publications``: only of these.

        A missing space is empty.
        """
        ...

    def spaces(self) -> Sequence[IndexSpace]:
        """Every space the store holds."""
        ...

    def drop(self, space: IndexSpace) -> None:
        """Remove a space whole. A missing one is no error."""
        ...

    def stats(self, space: IndexSpace) -> SpaceStats:
        """Rows and sizes of a space; a missing one has no rows."""
        ...

    def optimise(self, space: IndexSpace, *, now: bool = False) -> None:
        """House-keeping when it is due (``now``: always): merge fragments, index new rows, drop old versions."""
        ...


class VectorIndex(RowIndex, Protocol):
    """Nearest neighbours by cosine similarity."""

    def query(
        self, space: IndexSpace, vector: NDArray[np.float32], *, k: int, visible: Visibility, filters: Filters
    ) -> list[IndexHit]:
        """The ``k`` visible rows most similar to ``vector``, best first; ``score`` is the cosine, in [-1, 1]."""
        ...


class KeywordIndex(RowIndex, Protocol):
    """BM25 over stemmed words."""

    def query(self, space: IndexSpace, text: str, *, k: int, visible: Visibility, filters: Filters) -> list[IndexHit]:
        """The ``k`` visible rows that match ``text`` best, best first. Any text is a query; none is a syntax error."""
        ...


def text_digest(text: str) -> str:
    """Digest of one text: BLAKE2b-128 over its UTF-8 bytes, in hex."""
    import hashlib

    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

"""Documents that came in chunks with their vectors: what their chunks are remembered by, and the vectors themselves.

Such a document is never embedded by the model that made its vectors: they are read from its original. Another model
leaves it out of the vector index, unless the document says that its texts may be embedded anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from etl_assets.documents.embedding import checked_rows
from etl_assets.documents.model import chunk_id, embedded_text_digest
from etl_assets.documents.parameters import EmbedderChoice
from etl_assets.documents.parsing.chunk_file import GIVEN, ChunkFile, read_chunk_file
from etl_assets.errors import DataError
from etl_assets.protocols.declared_models import GivenModel
from etl_assets.protocols.embedder import Embedder, EmbeddingModel
from etl_assets.stages.spec import Computed

if TYPE_CHECKING:
    import polars as pl

    from etl_assets.stages.engine import ComputeRows

Original = Callable[[str], AbstractContextManager[Path]]
"""The file with the bytes of a document, by its id, for the time of the context."""


def is_made_by(given: GivenModel, choice: EmbedderChoice, model: EmbeddingModel) -> bool:
    """Whether imported vectors compare with those of ``model``, which ``choice`` opened."""
    return given.is_chosen(asdict(choice), model.dimension)


def salted_pages(made: Computed, original: Original) -> Computed:
    """Parsed documents, with the digest of the vectors of those that brought their own."""
    files, failures = _files(_given_documents(made.rows), original)
    salts = {document: file.digest for document, file in files.items()}
    return replace(made, salts=salts, failures={**made.failures, **failures})


def keyed_chunks(made: Computed, pages: pl.DataFrame, original: Original) -> Computed:
    """Chunks as they were cut; those of documents that brought their vectors get keys of text and vector."""
    import polars as pl

    files, failures = _files(_given_documents(pages), original)
    if not files and not failures:
        return made
    own = {document: _keys_by_chunk(file) for document, file in files.items()}
    columns = made.rows.select("document_id", "chunk_id", "text_digest").iter_rows()
    keys = [own[document][chunk] if document in own else digest for document, chunk, digest in columns]
    return replace(
        made,
        rows=made.rows.with_columns(pl.Series("text_digest", keys, dtype=pl.String)),
        salts={document: file.digest for document, file in files.items()},
        failures={**made.failures, **failures},
    )


@dataclass(slots=True)
class GivenRows:
    """The rows of one run where some documents may have brought their vectors.

    ``embed`` computes the others, and those that may be embedded anew; ``inner`` keys them first, where it is given.
    ``choice`` is what ``embedder`` was opened by.
    """

    choice: EmbedderChoice
    embedder: Embedder
    original: Original
    embed: ComputeRows
    inner: ComputeRows | None = None
    _vectors: dict[str, bytes] = field(default_factory=dict)
    _refused: dict[str, DataError] = field(default_factory=dict)

    def keyed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Whole documents' chunks, without those that vectors of another model came with; given ones cost no token."""
        import polars as pl

        self._vectors, self._refused = {}, {}
        columns = rows.select("text_digest", "text").iter_rows()
        given = pl.Series([digest != embedded_text_digest(text) for digest, text in columns], dtype=pl.Boolean)
        mine, ordinary = rows.filter(given), [rows.filter(~given)]
        kept: list[pl.DataFrame] = []
        for document, own in mine.partition_by("document_id", as_dict=True, maintain_order=True).items():
            settled, is_ordinary = self._settled(str(document[0]), own)
            (ordinary if is_ordinary else kept).append(settled)
        others: pl.DataFrame = pl.concat(ordinary)
        return pl.concat([self.inner(others) if self.inner is not None else others, *kept])

    def is_given(self, key: str) -> bool:
        """Whether the vector of a key, of those that were ``keyed`` last, need not be computed."""
        return key in self._vectors or key in self._refused

    def vectors(self, rows: pl.DataFrame) -> pl.DataFrame:
        """``text_digest`` and ``vector`` of each row; only those without a given vector are computed.

        Raises:
            DataError: a given vector is not finite or not of unit length, or its original is gone; and as ``embed``.
        """
        import polars as pl

        keys = rows["text_digest"].to_list()
        for key in keys:
            if key in self._refused:
                raise self._refused[key]
        given = pl.Series([key in self._vectors for key in keys], dtype=pl.Boolean)
        frames = [self._read(rows.filter(given)["text_digest"].to_list())] if given.any() else []
        if not given.all():
            frames.append(self.embed(rows.filter(~given)).select("text_digest", "vector"))
        return pl.concat(frames)

    def _settled(self, document: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
        """A document's rows as they shall be remembered, and whether they are embedded like any other."""
        import polars as pl

        files, failures = _files([document], self.original)
        free = rows.with_columns(pl.lit(0, dtype=pl.Int32).alias("token_count"))
        if failures:
            self._refused.update(dict.fromkeys(rows["text_digest"].to_list(), failures[document]))
            return free, False
        file = files[document]
        if is_made_by(file.model, self.choice, self.embedder.model):
            self._vectors.update((chunk.key(file.model), chunk.vector) for chunk in file.chunks)
            return free, False
        if not file.embed:
            return rows.clear(), False
        digests = [embedded_text_digest(text) for text in rows["text"].to_list()]
        return rows.with_columns(pl.Series("text_digest", digests, dtype=pl.String)), True

    def _read(self, keys: Sequence[str]) -> pl.DataFrame:
        import numpy as np

        flat = np.frombuffer(b"".join(self._vectors[key] for key in keys), dtype="<f4").astype(np.float32)
        return checked_rows(flat.reshape(len(keys), self.embedder.model.dimension), keys, self.embedder)


def _given_documents(pages: pl.DataFrame) -> list[str]:
    """Documents whose pages have chunks that came with them."""
    pairs = pages.select("document_id", "headings").iter_rows()
    return list({document: None for document, spans in pairs if any(span["level"] == GIVEN for span in spans or ())})


def _files(documents: Iterable[str], original: Original) -> tuple[dict[str, ChunkFile], dict[str, DataError]]:
    """The documents as they came, and why some cannot be read."""
    files: dict[str, ChunkFile] = {}
    failures: dict[str, DataError] = {}
    for document in documents:
        try:
            with original(document) as path:
                files[document] = read_chunk_file(path)
        except FileNotFoundError as e:
            message = f"document {document}: its original, which holds its vectors, is missing from the store ({e})"
            failures[document] = DataError(message, reason="unreadable")
        except DataError as e:
            failures[document] = DataError(f"document {document}: {e}", reason=e.reason)
    return files, failures


def _keys_by_chunk(file: ChunkFile) -> dict[str, str]:
    """Key of each chunk's vector, by chunk id: equal texts are told apart by their order, as where they are cut."""
    seen: Counter[str] = Counter()
    keys: dict[str, str] = {}
    for chunk in file.chunks:
        keys[chunk_id(chunk.text, seen[chunk.text])] = chunk.key(file.model)
        seen[chunk.text] += 1
    return keys

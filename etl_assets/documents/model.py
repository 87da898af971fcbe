"""What a document is here: its identity, its stages and the columns of their rows. No computation."""

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from etl_assets.errors import ConfigError
from etl_assets.stages.spec import RowMemo, Stage

if TYPE_CHECKING:
    import polars as pl

SLOTS = 1024
"""A document's slot is fixed for ever; a shard is a range of slots."""

NAME = re.compile(r"[a-z0-9_-]{1,64}")
"""What a tenant and a collection may be called: no dot, so that a partition key can be taken apart."""


def document_id(tenant: str, collection: str, path: str) -> str:
    """128-bit identity of a key, as 32 hex digits. It does not depend on the bytes."""
    identity = "\x00".join((tenant, collection, path)).encode()
    return hashlib.blake2b(identity, digest_size=16).hexdigest()


def slot_of(document: str) -> int:
    """The slot of a document id, in [0, SLOTS)."""
    return int(document[-4:], 16) % SLOTS


def checked_name(name: str, what: str) -> str:
    """``name`` itself, if it may name a tenant or a collection.

    Raises:
        ConfigError: it has other characters than a-z, 0-9, ``_`` and ``-``, or not 1 to 64 of them.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigError(f"{what} {name!r}: use 1 to 64 of a-z, 0-9, _ and -")
    return name


def pages_columns() -> "pl.Schema":
    """One row per page. ``headings`` are spans of heading lines in ``text``; ``level`` counts from 1.

    ``tables`` are spans of tables in ``text``, with the spans of their cells row by row, in code points, ``end``
    exclusive; ``column`` counts from 0, the first ``header_rows`` name the columns, ``continues`` marks the rest of
    the table that ends the page before. ``box`` is (left, bottom, right, top) of a cell's words in points from the
    page's lower left corner; null for formats without a place on paper.

    Spans of level 0 are no headings: they are the chunks of a document that came in chunks, see ``chunk_file``.
    """
    import polars as pl

    heading = pl.Struct({"level": pl.Int8(), "start": pl.Int32(), "end": pl.Int32()})
    cell = pl.Struct({"start": pl.Int32(), "end": pl.Int32(), "column": pl.Int32(), "box": pl.List(pl.Float32())})
    place = {"start": pl.Int32(), "end": pl.Int32(), "header_rows": pl.Int32(), "continues": pl.Boolean()}
    table = pl.Struct({**place, "rows": pl.List(pl.List(cell))})
    return pl.Schema({"page": pl.Int32(), "text": pl.String(), "headings": pl.List(heading), "tables": pl.List(table)})


def chunks_columns() -> "pl.Schema":
    """One row per chunk: ``pages.text[start:end] == text`` on ``page``, in code points, ``end`` exclusive.

    ``ordinal`` counts the document's chunks from 0 in reading order; ``heading`` is the heading path, outermost
    first, joined by " > " ("" without one); ``text_digest`` is of the text that is embedded, see ``chunk_id``, or of
    text and vector where the vector came with the document.
    """
    import polars as pl

    return pl.Schema(
        {
            "chunk_id": pl.String(), "ordinal": pl.Int32(), "page": pl.Int32(), "start": pl.Int32(), "end": pl.Int32(),
            "text": pl.String(), "heading": pl.String(), "token_count": pl.Int32(), "text_digest": pl.String(),
        }
    )  # fmt: skip


def embeddings_columns() -> "pl.Schema":
    """One row per chunk. ``vector`` has unit length; its width is the embedder's dimension.

    ``text_digest`` is the key under which the vector is reused: of the text, or of the text in its context where the
    model reads that.
    """
    import polars as pl

    return pl.Schema({"chunk_id": pl.String(), "text_digest": pl.String(), "vector": pl.List(pl.Float32())})


def mentions_columns() -> "pl.Schema":
    """One row per mention of an entity: ``pages.text[start:end] == text`` on ``page``, in code points.

    ``entity_id`` is ``entity_type:normal form``; ``name`` is the canonical name shown to people; ``chunk_id`` is the
    first chunk that holds the whole span, or null; ``confidence`` is in (0, 1]; ``context`` is the text around;
    ``method`` says what found it (``pattern``, ``catalogue``, ``context``) or that people put it right (``corrected``).
    """
    import polars as pl

    return pl.Schema(
        {
            "page": pl.Int32(), "start": pl.Int32(), "end": pl.Int32(), "text": pl.String(),
            "entity_id": pl.String(), "entity_type": pl.String(), "name": pl.String(), "chunk_id": pl.String(),
            "confidence": pl.Float32(), "context": pl.String(), "method": pl.String(),
        }
    )  # fmt: skip


def knowledge_columns() -> "pl.Schema":
    """One row per thing known from outside that concerns a document: its kind, what it is about, and what is said.

    ``kind`` is ``entry`` (of the catalogue; ``key`` is the entity id) or that of a correction (``label``, ``link``,
    ``merge``, ``split``; ``key`` is its subject); ``value`` is canonical JSON.
    """
    import polars as pl

    return pl.Schema({"kind": pl.String(), "key": pl.String(), "value": pl.String()})


def classifications_columns() -> "pl.Schema":
    """One row per label of a document, and per technique of a sentence; see ``classification.find``."""
    from etl_assets.documents.classification.find import classifications_columns as columns

    return columns()


def relations_columns() -> "pl.Schema":
    """One row per relation and sentence that states it; see ``relations.statement``."""
    from etl_assets.documents.relations.statement import relations_columns as columns

    return columns()


def chunk_id(text: str, occurrence: int) -> str:
    """Content hash and occurrence: the n-th chunk (from 0) of one document with exactly this text."""
    return f"{embedded_text_digest(text)}-{occurrence}"


def embedded_text_digest(text: str) -> str:
    """BLAKE2b-128 of a chunk's text, in hex: the key under which its vector is reused."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


PAGES = Stage("pages", (), "7", pages_columns, ("page", "text", "headings", "tables"))
CHUNKS = Stage(
    "chunks", ("pages",), "1", chunks_columns, ("chunk_id", "page", "start", "end", "heading"), batch_documents=1024,
    input_columns=(pages_columns,),
)  # fmt: skip
EMBEDDINGS = Stage(
    "embeddings", ("chunks",), "1", embeddings_columns, ("chunk_id", "vector"), RowMemo("text_digest", ("vector",)),
    batch_documents=1024, batch_rows=512, input_columns=(chunks_columns,),
)  # fmt: skip
KNOWLEDGE = Stage(
    "knowledge", ("pages",), "1", knowledge_columns, ("kind", "key", "value"), batch_documents=1024,
    input_columns=(pages_columns,),
)  # fmt: skip
MENTIONS = Stage(
    "mentions", ("pages", "chunks", "knowledge"), "7", mentions_columns,
    ("page", "start", "end", "entity_id", "name", "chunk_id", "confidence"), batch_documents=1024,
    input_columns=(pages_columns, chunks_columns, knowledge_columns),
)  # fmt: skip
CLASSIFICATIONS = Stage(
    "classifications", ("pages", "knowledge"), "4", classifications_columns,
    ("kind", "label", "rank", "score", "accepted", "evidence", "classifier"), batch_documents=256,
    input_columns=(pages_columns, knowledge_columns),
)  # fmt: skip
RELATIONS = Stage(
    "relations", ("pages", "mentions"), "5", relations_columns,
    (
        "page", "start", "end", "sentence", "kind", "subject_id", "object_id", "subject_start", "subject_end",
        "object_start", "object_end", "negated", "certainty", "confidence",
    ),
    batch_documents=1024, input_columns=(pages_columns, mentions_columns),
)  # fmt: skip
HOSTED_EMBEDDINGS = replace(EMBEDDINGS, batch_rows=4096)
"""The same stage for a hosted model, which is waited for rather than computed: 64 requests of 64 texts, many at a
time. What they gave is kept as they come, so that a kill loses no more here."""

STAGES = (PAGES, CHUNKS, EMBEDDINGS, KNOWLEDGE, CLASSIFICATIONS, MENTIONS, RELATIONS)
"""In the order in which a run advances them. Parsing is dear, so its batches are small; embedding 512 texts takes
about 15 s on two cores, which is the most that a kill may lose."""

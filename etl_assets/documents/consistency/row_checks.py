"""What is wrong with the rows of a stage: document -> why, for those that broke a rule. Frames in, no store."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be: float32 sums of up to 1,024 squares differ by less."""

Problems = dict[str, str]


def broken_spans(rows: "pl.DataFrame", pages: "pl.DataFrame") -> Problems:
    """Documents with a row whose ``text`` is not what its page holds at ``[start, end)``, in code points.

    ``rows`` have ``document_id, page, start, end, text``; ``pages`` have ``document_id, page, text``.
    """
    texts = {(document, page): text for document, page, text in pages.select("document_id", "page", "text").rows()}
    wrong: Problems = {}
    for document, page, start, end, text in rows.select("document_id", "page", "start", "end", "text").rows():
        whole = texts.get((document, page))
        if whole is None:
            wrong.setdefault(document, f"a row names page {page}, which the document does not have")
        elif not 0 <= start < end <= len(whole) or whole[start:end] != text:
            wrong.setdefault(document, f"page {page} does not hold the row's text at [{start}, {end})")
    return wrong


def without_chunks(documents: Iterable[str], pages: "pl.DataFrame") -> Problems:
    """Those of ``documents``, which have no chunk, whose pages have text: search would never find them."""
    with_text = {document for document, text in pages.select("document_id", "text").rows() if text.strip()}
    return {document: "its pages have text, but it has no chunk" for document in documents if document in with_text}


def unfit_vectors(vectors: "pl.DataFrame", chunks: "pl.DataFrame", *, dimension: int) -> Problems:
    """Documents with a vector that is missing, superfluous, of another width, not finite, or not of unit length.

    ``vectors`` have ``document_id, chunk_id, vector``; ``chunks`` have ``document_id, chunk_id, text_digest``. A
    document that came with its vectors has none at all where another model answers: its keys are not of its texts.
    """
    import numpy as np
    import polars as pl

    wrong: Problems = {}
    with_vectors = vectors["document_id"].unique().implode()
    is_ordinary = pl.col("chunk_id").str.starts_with(pl.col("text_digest"))
    chunks = chunks.filter(is_ordinary | pl.col("document_id").is_in(with_vectors))
    wanted = set(chunks.select("document_id", "chunk_id").rows())
    found = set(vectors.select("document_id", "chunk_id").rows())
    for document, chunk in sorted(wanted - found):
        wrong.setdefault(document, f"chunk {chunk} has no vector")
    for document, chunk in sorted(found - wanted):
        wrong.setdefault(document, f"there is a vector for chunk {chunk}, which the document does not have")
    widths = vectors["vector"].list.len().fill_null(0).to_list()
    for document, width in zip(vectors["document_id"].to_list(), widths, strict=True):
        if width != dimension:
            wrong.setdefault(document, f"a vector has {width} dimensions, the collection has {dimension}")
    if vectors.height and all(width == dimension for width in widths):
        flat = vectors["vector"].explode(empty_as_null=False, keep_nulls=False).to_numpy().reshape(-1, dimension)
        lengths = np.linalg.norm(flat.astype(np.float64), axis=1)
        bad = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))
        documents = vectors["document_id"]
        for i in bad.tolist():
            why = "is not finite" if not np.isfinite(flat[i]).all() else f"has length {lengths[i]:.4f} instead of 1"
            wrong.setdefault(documents[i], f"the vector of chunk {vectors['chunk_id'][i]} {why}")
    return wrong


def misplaced_mentions(mentions: "pl.DataFrame", chunks: "pl.DataFrame") -> Problems:
    """Documents with a mention that names a chunk which it does not have, or which does not hold the mention."""
    columns = ("document_id", "chunk_id", "page", "start", "end")
    spans = {row[:2]: row[2:] for row in chunks.select(columns).rows()}
    wrong: Problems = {}
    for document, chunk, page, start, end in mentions.select(columns).rows():
        if chunk is None:
            continue
        span = spans.get((document, chunk))
        if span is None:
            wrong.setdefault(document, f"a mention names chunk {chunk}, which the document does not have")
        elif not (span[0] == page and span[1] <= start and end <= span[2]):
            wrong.setdefault(document, f"chunk {chunk} does not hold the mention on page {page} at [{start}, {end})")
    return wrong


def unread_relations(relations: "pl.DataFrame", mentions: "pl.DataFrame") -> Problems:
    """Documents with a relation of an entity that they do not mention, or whose confidence is not in (0, 1].

    ``relations`` have ``document_id, subject_id, object_id, confidence``; ``mentions`` have ``document_id, entity_id``.
    """
    mentioned = set(mentions.select("document_id", "entity_id").rows())
    wrong: Problems = {}
    columns = ("document_id", "subject_id", "object_id", "confidence")
    for document, subject, other, confidence in relations.select(columns).iter_rows():
        for entity in (subject, other):
            if (document, entity) not in mentioned:
                wrong.setdefault(document, f"a relation names {entity}, which the document does not mention")
        if not 0 < confidence <= 1:
            wrong.setdefault(document, f"a relation of {subject} has the confidence {confidence}")
    return wrong


def unfounded_labels(labels: "pl.DataFrame") -> Problems:
    """Documents with a label whose score is not in [0, 1], or that has one label of a set twice.

    ``labels`` have ``document_id, kind, label, score``, without those of single sentences.
    """
    wrong: Problems = {}
    seen: set[tuple[str, str, str]] = set()
    for document, kind, label, score in labels.select("document_id", "kind", "label", "score").iter_rows():
        if not 0 <= score <= 1:
            wrong.setdefault(document, f"the score of {kind}:{label} is {score}")
        if (document, kind, label) in seen:
            wrong.setdefault(document, f"it has {kind}:{label} twice")
        seen.add((document, kind, label))
    return wrong


def merged(*parts: Mapping[str, str]) -> Problems:
    """All problems, the first one of each document."""
    found: Problems = {}
    for part in parts:
        for document, why in part.items():
            found.setdefault(document, why)
    return found

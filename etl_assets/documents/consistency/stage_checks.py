"""Checks of what the stages made: the rows of one stage and of those it was made from, document by document."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_assets.documents.consistency.row_checks import (
    Problems,
    broken_spans,
    merged,
    misplaced_mentions,
    unfit_vectors,
    unfounded_labels,
    unread_relations,
    without_chunks,
)
from etl_assets.documents.labels import TECHNIQUE
from etl_assets.documents.model import CHUNKS, CLASSIFICATIONS, EMBEDDINGS, MENTIONS, PAGES, RELATIONS, STAGES
from etl_assets.ledger.check_marks import Made
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.segments import segment_files

if TYPE_CHECKING:
    import polars as pl

    from etl_assets.documents.platform import Platform

DOCUMENTS_AT_ONCE = 256
"""Documents whose rows are in memory together."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some documents with their rows, read from the lake as they are asked for. ``dimension`` is of the embedder."""

    platform: "Platform"
    made: Sequence[Made]
    dimension: Callable[[], int]

    def rows(self, stage: str, columns: Sequence[str], only: Sequence[str] | None = None) -> "pl.DataFrame":
        """These columns, after ``document_id``, of the documents' rows at a stage.

        Raises:
            SegmentLost: the lake does not hold them any more.
        """
        import polars as pl

        wanted: dict[int, list[int]] = {}
        for one in self.made:
            rows = one.rows[stage]
            if rows.segment_id is not None and (only is None or one.document_id in only):
                wanted.setdefault(rows.segment_id, []).append(rows.output_id)
        if not wanted:
            whole = next(one for one in STAGES if one.name == stage).columns()
            return pl.DataFrame(schema={"document_id": pl.String, **{name: whole[name] for name in columns}})
        with self.platform.ledger.reading() as connection:
            files = segment_files(connection, wanted)
        return self.platform.lake.read(files, wanted, ["document_id", *columns]).drop("output_id")


def have_pages(sample: Sample) -> Problems:
    """Documents without a page."""
    return {one.document_id: "it has no page" for one in sample.made if one.rows[PAGES.name].row_count == 0}


def have_chunks(sample: Sample) -> Problems:
    """Documents whose pages have text and that have no chunk."""
    empty = [one.document_id for one in sample.made if one.rows[CHUNKS.name].row_count == 0]
    return without_chunks(empty, sample.rows(PAGES.name, ["text"], empty)) if empty else {}


def chunks_reproduce_text(sample: Sample) -> Problems:
    """Documents with a chunk whose span does not give its text."""
    chunks = sample.rows(CHUNKS.name, ["page", "start", "end", "text"])
    return broken_spans(chunks, sample.rows(PAGES.name, ["page", "text"]))


def vectors_are_whole(sample: Sample) -> Problems:
    """Documents with a vector that is missing, superfluous or unfit."""
    vectors = sample.rows(EMBEDDINGS.name, ["chunk_id", "vector"])
    chunks = sample.rows(CHUNKS.name, ["chunk_id", "text_digest"])
    return unfit_vectors(vectors, chunks, dimension=sample.dimension())


def mentions_hold(sample: Sample) -> Problems:
    """Documents with a mention whose span does not give its text, or whose chunk does not hold it."""
    mentions = sample.rows(MENTIONS.name, ["page", "start", "end", "text", "chunk_id"])
    chunks = sample.rows(CHUNKS.name, ["chunk_id", "page", "start", "end"])
    return merged(
        broken_spans(mentions, sample.rows(PAGES.name, ["page", "text"])), misplaced_mentions(mentions, chunks)
    )


def labels_hold(sample: Sample) -> Problems:
    """Documents with a label out of bounds or given twice, or with evidence that its page does not hold."""
    import polars as pl

    rows = sample.rows(CLASSIFICATIONS.name, ["kind", "label", "score", "evidence"])
    spans = rows.select("document_id", "evidence").explode("evidence").drop_nulls().unnest("evidence")
    return merged(
        unfounded_labels(rows.filter(pl.col("kind") != TECHNIQUE)),
        broken_spans(spans, sample.rows(PAGES.name, ["page", "text"])),
    )


def relations_hold(sample: Sample) -> Problems:
    """Documents with a relation whose sentence its page does not hold, or of an entity that is not mentioned."""
    import polars as pl

    columns = ["page", "start", "end", "sentence", "subject_id", "object_id", "confidence"]
    rows = sample.rows(RELATIONS.name, columns).with_columns(pl.col("sentence").alias("text"))
    return merged(
        broken_spans(rows, sample.rows(PAGES.name, ["page", "text"])),
        unread_relations(rows, sample.rows(MENTIONS.name, ["entity_id"])),
    )


def examine(
    platform: "Platform",
    made: Sequence[Made],
    rule: Callable[[Sample], Mapping[str, str]],
    dimension: Callable[[], int],
) -> Mapping[str, str]:
    """Every document that breaks the rule, and why.

    Raises:
        SegmentLost: rows are gone from the lake.
    """
    wrong: Problems = {}
    for part in batches(made, DOCUMENTS_AT_ONCE):
        wrong.update(rule(Sample(platform, part, dimension)))
    return wrong

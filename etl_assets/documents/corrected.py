"""What people decided about a document, applied to what the stages found: read from rows of ``model.KNOWLEDGE``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from etl_assets.documents.knowledge import corrections_in, texts_of
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.corrections import METHOD, Correction, Meant, Merge, Relink, Split, corrected
from etl_assets.documents.mentions.find import chunk_spans, find_mentions, mention_rows
from etl_assets.documents.mentions.found import Found
from etl_assets.documents.mentions.names import folded
from etl_assets.stages.spec import Computed, Task

if TYPE_CHECKING:
    import polars as pl

Told = tuple[str, str, Mapping[str, Any]]
"""Kind, subject and value of a correction, as ``ledger.corrections.Kind`` says."""


def corrected_mentions(
    tasks: Sequence[Task], pages: "pl.DataFrame", chunks: "pl.DataFrame", knowledge: "pl.DataFrame", *,
    catalogue: Catalogue,
) -> Computed:  # fmt: skip
    """Rows of ``model.MENTIONS`` for every task, by page, start and end, as people corrected them.

    A text that a person linked is a mention wherever the document has it as whole words, found by the finder or not.
    """
    import polars as pl

    made = find_mentions(tasks, pages, chunks, catalogue=catalogue)
    told = {
        document: mine
        for document, rows in corrections_in(knowledge).items()
        if (mine := [row for row in rows if row[0] != "label"])
    }
    if not told:
        return made
    concerned = pl.col("document_id").is_in(list(told))
    parts = [made.rows.filter(~concerned)]
    spans = chunk_spans(chunks.filter(concerned))
    texts = texts_of(pages.filter(concerned))
    for document, rows in told.items():
        found = corrected(made.rows.filter(pl.col("document_id") == document), corrections_of(rows))
        taken = {(page, at) for page, start, end in found.select("page", "start", "end").rows()
                 for at in range(start, end)}  # fmt: skip
        added = [
            row
            for page, text in texts.get(document, ())
            for row in mention_rows(
                document, page, text, list(_linked(page, text, rows, taken)), spans.get((document, page), ())
            )
        ]
        parts += [found, pl.DataFrame(added, schema=made.rows.schema, orient="row")]
    order = {task.document_id: place for place, task in enumerate(tasks)}
    whole = pl.concat(parts).sort(
        pl.col("document_id").replace_strict(order, return_dtype=pl.Int64), "page", "start", "end"
    )  # fmt: skip
    return replace(made, rows=whole)


def corrections_of(told: Iterable[Told]) -> list[Correction]:
    """What rows of knowledge say of mentions: single texts first, then what was split, then what is one thing."""
    found: dict[str, list[Correction]] = {"link": [], "split": [], "merge": []}
    for kind, subject, value in told:
        if kind == "link":
            found[kind].append(Relink(_meant(value["entity"]), written=subject))
        elif kind == "split" and (meant := _meant(value["entity"])) is not None:
            found[kind].append(Split(subject, (str(value["text"]),), meant))
        elif kind == "merge" and (meant := _meant(value["entity"])) is not None:
            found[kind].append(Merge((subject,), meant))
    return [one for ones in found.values() for one in ones]


def _meant(entity: Mapping[str, str] | None) -> Meant | None:
    return None if entity is None else Meant(entity["entity_id"], entity["entity_type"], entity["name"])


def _linked(page: int, text: str, told: Iterable[Told], taken: set[tuple[int, int]]) -> Iterator[Found]:
    """Whole-word occurrences of linked texts where no mention stands; what is found is ``taken`` after."""
    low = folded(text)
    for kind, subject, value in told:
        meant = _meant(value["entity"]) if kind == "link" else None
        written = folded(subject.strip())
        start = low.find(written) if meant is not None and written else -1
        while start >= 0 and meant is not None:
            end = start + len(written)
            whole = not (low[start - 1 : start].isalnum() or low[end : end + 1].isalnum())
            span = {(page, at) for at in range(start, end)}
            if whole and taken.isdisjoint(span):
                taken |= span
                yield Found(start, end, meant.entity_id, meant.entity_type, meant.name, 1.0, METHOD)
            start = low.find(written, end)

"""The relations stage: rows of pages and mentions in, rows of relations out."""

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from etl_assets.documents.relations.masking import LETTERS, masked
from etl_assets.documents.relations.references import REACH, references_from
from etl_assets.documents.relations.stated import statements
from etl_assets.documents.relations.statement import Named, Statement, relations_columns
from etl_assets.documents.sentences import units
from etl_assets.stages.spec import Computed, Task

if TYPE_CHECKING:
    import polars as pl

LONGEST_SENTENCE = 1500
"""Code points. What is longer is a table or code without full stops: nothing is read from it."""


def relations_in(text: str, mentions: Sequence[Named]) -> list[Statement]:
    """What the sentences of one page state about ``mentions``, which are those of the page in order."""
    starts = [one.start for one in mentions]
    before: list[Sequence[Named]] = []
    found: list[Statement] = []
    for unit in units(text):
        here = mentions[bisect_left(starts, unit.start) : bisect_left(starts, unit.end)]
        here = [one for one in here if one.end <= unit.end]
        if here and unit.end - unit.start <= LONGEST_SENTENCE:
            known = references_from(before, LETTERS)
            if len(here) > 1 or known:
                sentence = masked(text, unit.start, unit.end, here)
                found += statements(sentence, unit.start, unit.end, known)
        before = [*before[-REACH:], here]
    return found


def find_relations(tasks: Sequence[Task], pages: "pl.DataFrame", mentions: "pl.DataFrame") -> Computed:
    """Rows of ``statement.relations_columns`` for every task, by page, sentence, kind, subject and object.

    ``mentions`` are rows of the stage ``mentions``. Statements that contradict one another are all kept, each with its
    sentence. Nothing here fails for a document: any text is valid input.
    """
    import polars as pl

    texts = _texts(pages)
    named = _mentions(mentions)
    rows: list[tuple[object, ...]] = []
    seconds: dict[str, float] = {}
    for task in tasks:
        begun = time.perf_counter()
        for page, text in sorted(texts.get(task.document_id, ())):
            rows.extend(
                _rows(task.document_id, page, text, relations_in(text, named.get((task.document_id, page), ())))
            )
        seconds[task.document_id] = time.perf_counter() - begun
    schema = pl.Schema([("document_id", pl.String()), *relations_columns().items()])
    return Computed(pl.DataFrame(rows, schema=schema, orient="row"), seconds=seconds)


def _texts(pages: "pl.DataFrame") -> dict[str, list[tuple[int, str]]]:
    texts: dict[str, list[tuple[int, str]]] = {}
    for document, page, text in pages.select("document_id", "page", "text").iter_rows():
        texts.setdefault(document, []).append((page, text))
    return texts


def _mentions(mentions: "pl.DataFrame") -> dict[tuple[str, int], list[Named]]:
    """Mentions of every page in order."""
    columns = ("document_id", "page", "start", "end", "entity_id", "entity_type", "name", "confidence")
    found: dict[tuple[str, int], list[Named]] = {}
    for document, page, *rest in mentions.select(columns).iter_rows():
        found.setdefault((document, page), []).append(Named(*rest))
    for on_page in found.values():
        on_page.sort(key=attrgetter("start", "end", "entity_id"))
    return found


def _rows(document: str, page: int, text: str, found: Sequence[Statement]) -> Iterator[tuple[object, ...]]:
    for one in found:
        yield (
            document, page, one.start, one.end, text[one.start : one.end], one.kind, *_end(one.subject),
            *_end(one.object), one.negated, one.certainty, one.confidence, one.trigger, one.method,
        )  # fmt: skip


def _end(one: Named) -> tuple[object, ...]:
    return one.entity_id, one.entity_type, one.name, one.start, one.end

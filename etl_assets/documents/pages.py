"""The stage ``pages``: originals to one row per page, by the worker processes of ``parsing``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from etl_assets.documents.model import pages_columns
from etl_assets.documents.parameters import ParsingLimits
from etl_assets.documents.parsing.workers import ParseRequest, ParseResult, ParserPool
from etl_assets.errors import DataError
from etl_assets.stages.spec import Computed, Json, Task

if TYPE_CHECKING:
    import polars as pl

    from etl_assets.documents.parsing.document import ParsedDocument, Table

Local: TypeAlias = Callable[[Task], AbstractContextManager[Path]]
"""A local file with a task's bytes, for the time of the context."""


def parse_documents(tasks: Sequence[Task], *, local: Local, pool: ParserPool, limits: ParsingLimits) -> Computed:
    """Pages, facts and seconds of every task; what cannot be parsed is in ``failures``, and its neighbours go on.

    Files are opened through ``local`` when a worker is free for them, and closed when their result is there: at most
    as many as there are workers are open. Rows come in the order of ``tasks``, pages ascending.

    Raises:
        TransientError, PermanentError: what ``local`` raises, except FileNotFoundError, which is the failure
            ``unreadable`` of that document, and DataError, which is its failure; and what the pool raises.
    """
    documents: dict[str, ParsedDocument] = {}
    failures: dict[str, DataError] = {}
    seconds: dict[str, float] = {}
    with _OpenFiles(local, failures) as files:
        for result in pool.parse_many(files.requests(tasks), limits):
            files.close(result.document_id)
            _settle(result, documents, failures, seconds)
    facts: dict[str, Mapping[str, Json]] = {key: document.facts for key, document in documents.items()}
    return Computed(rows=_frame(tasks, documents), failures=failures, facts=facts, seconds=seconds)


class _OpenFiles:
    """The contexts of the files that workers are reading now."""

    def __init__(self, local: Local, failures: dict[str, DataError]) -> None:
        self._local = local
        self._failures = failures
        self._open: dict[str, ExitStack] = {}

    def __enter__(self) -> _OpenFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for document_id in list(self._open):
            self.close(document_id)

    def requests(self, tasks: Sequence[Task]) -> Iterator[ParseRequest]:
        for task in tasks:
            stack = ExitStack()
            try:
                path = stack.enter_context(self._local(task))
            except FileNotFoundError as e:
                message = f"{task.path}: its original {task.version[:12]} is missing from the store ({e})"
                self._failures[task.document_id] = DataError(message, reason="unreadable")
                continue
            except DataError as e:
                # An encrypted original that was altered, or whose key was destroyed.
                self._failures[task.document_id] = DataError(f"{task.path}: {e}", reason=e.reason)
                continue
            self._open[task.document_id] = stack
            yield ParseRequest(task.document_id, path, task.path, task.content_type)

    def close(self, document_id: str) -> None:
        self._open.pop(document_id).close()


def _settle(
    result: ParseResult,
    documents: dict[str, ParsedDocument],
    failures: dict[str, DataError],
    seconds: dict[str, float],
) -> None:
    seconds[result.document_id] = result.seconds
    if result.error is not None:
        failures[result.document_id] = result.error
    elif result.document is not None:
        documents[result.document_id] = result.document


def _table_row(table: Table) -> dict[str, Any]:
    rows = [[{"start": c.start, "end": c.end, "column": c.column, "box": c.box} for c in row] for row in table.rows]
    named = {"start": table.start, "end": table.end, "header_rows": table.header_rows, "continues": table.continues}
    return {**named, "rows": rows}


def _frame(tasks: Sequence[Task], documents: Mapping[str, ParsedDocument]) -> pl.DataFrame:
    import polars as pl

    ids: list[str] = []
    numbers: list[int] = []
    texts: list[str] = []
    headings: list[list[dict[str, int]]] = []
    tables: list[list[dict[str, Any]]] = []
    for task in tasks:
        document = documents.get(task.document_id)
        for page in document.pages if document is not None else ():
            ids.append(task.document_id)
            numbers.append(page.number)
            texts.append(page.text)
            headings.append([{"level": h.level, "start": h.start, "end": h.end} for h in page.headings])
            tables.append([_table_row(table) for table in page.tables])
    columns = {"document_id": ids, "page": numbers, "text": texts, "headings": headings, "tables": tables}
    return pl.DataFrame(columns, schema=pl.Schema({"document_id": pl.String(), **pages_columns()}))

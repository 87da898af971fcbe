"""The parsing process: reads requests from a socket, parses under limits, answers in JSON. Started by ``workers``.

Answers are JSON and never pickles: a process that a hostile file took over must not run code in its parent.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

from etl_assets.documents.parsing.document import Cell, Heading, Page, ParsedDocument, Table
from etl_assets.documents.parsing.patience import heard_by
from etl_assets.documents.parsing.reading import reading_by
from etl_assets.errors import DataError

Parser: TypeAlias = Callable[..., ParsedDocument]

ALIVE = b'{"alive": true}'
"""Sent while a document of slow pages is parsed."""
PARENT_CHECK_S = 0.5
ALARM_GRACE_S = 10
ADDRESS_SLACK_BYTES = 256 << 20
"""Address space beyond the memory limit for libraries loaded on the way: they map more than they use."""


def main(descriptor: int, parent: int, parser: str) -> None:
    """Serve until the parent closes the socket or dies. ``parser`` is ``module:function``, called as ``parse`` is."""
    import logging
    import resource

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    module, function = parser.split(":")
    parse: Parser = getattr(import_module(module), function)
    with Connection(descriptor) as connection:
        serve(connection, parse)


def _watch_parent(parent: int) -> None:
    """End this process when its parent is gone, even in the middle of a document.

    PR_SET_PDEATHSIG would do it sooner, but fires when the *thread* that started this process ends. While native code
    holds the interpreter lock this thread waits; then the alarm of the document's time limit ends the process.
    """
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(0)


def serve(connection: Connection, parse: Parser) -> None:
    """Say ready, then answer requests one by one until the other end closes."""
    try:
        connection.send_bytes(b'{"ready": true}')
        while True:
            request = json.loads(connection.recv_bytes())
            with heard_by(lambda: connection.send_bytes(ALIVE)):
                connection.send_bytes(answer(request, parse))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def answer(request: dict[str, Any], parse: Parser) -> bytes:
    """The answer to one request. Whatever goes wrong in a parser is an answer too, never the end of the worker."""
    limits = _Limits(request["memory_limit_bytes"], request["time_limit_s"])
    started = time.perf_counter()
    try:
        with limits, heard_by(limits.begin_anew), reading_by(request.get("reading", {})):
            document = parse(Path(request["path"]), name=request["name"], content_type=request["content_type"])
            return encode_document(document, time.perf_counter() - started)
    except DataError as e:
        message, reason = str(e), e.reason
    except MemoryError:
        message, reason = f"{request['name']}: needs more memory than its limit", "memory-limit"
    except RecursionError:
        message, reason = f"{request['name']}: is nested deeper than any document", "nesting"
    except Exception as e:  # noqa: BLE001  the border: a library's bug on one file becomes that file's failure
        where = _innermost(e)
        message, reason = f"{request['name']}: the parser failed at {where} ({type(e).__name__}: {e})", "crashed"
    return json.dumps({"message": message[:2000], "reason": reason, "seconds": time.perf_counter() - started}).encode(
        "utf-8", "replace"
    )


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


class _Limits:
    """What the process does to itself while it parses: a cap on its address space and an alarm.

    The parent kills it earlier at both limits. These hold against what the parent is too slow to see, and when the
    parent is gone: SIGALRM's default action ends the process without asking the interpreter.
    """

    def __init__(self, memory_limit_bytes: int, time_limit_s: float) -> None:
        self._memory = memory_limit_bytes
        self._time = time_limit_s
        self._is_main = threading.current_thread() is threading.main_thread()

    def begin_anew(self) -> None:
        """Count the time from now: a page that takes long is done."""
        if self._is_main:
            signal.setitimer(signal.ITIMER_REAL, self._time + ALARM_GRACE_S)

    def __enter__(self) -> None:
        import resource

        used = _address_space_bytes()
        if self._is_main and used is not None:
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            cap = used + self._memory + ADDRESS_SLACK_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (cap if hard < 0 else min(cap, hard), hard))
            signal.setitimer(signal.ITIMER_REAL, self._time + ALARM_GRACE_S)

    def __exit__(self, *_: object) -> None:
        import resource

        if self._is_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _address_space_bytes() -> int | None:
    """Address space in use; None where there is no /proc, whose systems do not keep RLIMIT_AS either."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def encode_document(document: ParsedDocument, seconds: float) -> bytes:
    """A document as JSON. Lone surrogates, which facts may hold, become question marks."""
    pages = [
        [p.number, p.text, [[h.level, h.start, h.end] for h in p.headings], [_table_values(t) for t in p.tables]]
        for p in document.pages
    ]
    answer = {"pages": pages, "facts": document.facts, "seconds": seconds}
    return json.dumps(answer, ensure_ascii=False, check_circular=False).encode("utf-8", "replace")


def decode_document(answer: dict[str, Any]) -> ParsedDocument:
    """The document of an answer."""
    pages = (
        Page(number, text, tuple(Heading(*h) for h in headings), tuple(_table(t) for t in tables))
        for number, text, headings, tables in answer["pages"]
    )
    return ParsedDocument(tuple(pages), answer["facts"])


def _table_values(table: Table) -> list[Any]:
    rows = [[[c.start, c.end, c.column, c.box] for c in row] for row in table.rows]
    return [table.start, table.end, rows, table.header_rows, table.continues]


def _table(values: list[Any]) -> Table:
    start, end, rows, header_rows, continues = values
    cells = (
        tuple(
            Cell(first, last, column, None if box is None else (box[0], box[1], box[2], box[3]))
            for first, last, column, box in row
        )
        for row in rows
    )
    return Table(start, end, tuple(cells), header_rows, continues)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

"""One moment of the ledger for a reader of many tables: a snapshot, with the segments behind it pinned."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from etl_assets.ledger.database import Ledger
from etl_assets.ledger.export import table_batches
from etl_assets.ledger.pins import pinned
from etl_assets.ledger.row_places import CurrentOutput, current_outputs
from etl_assets.ledger.segments import SegmentFile, segment_files

if TYPE_CHECKING:
    import pyarrow as pa


class Moment:
    """A context manager. The pin is taken and the snapshot begun at the first question, by any thread.

    The pin comes first: whatever dies after it is kept for ``pin_s`` at most. Everything must be read before the
    context ends.
    """

    def __init__(self, ledger: Ledger, *, pin_s: float) -> None:
        self._ledger = ledger
        self._pin_s = pin_s
        self._stack = ExitStack()
        self._opened: Connection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> "Moment":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._stack.close()

    def stage_rows(self, stage: str) -> list[tuple[SegmentFile, list[CurrentOutput]]]:
        """Current outputs of a stage that have rows, by the segment that holds them, in order of segments."""
        with self._lock:
            outputs = [one for one in current_outputs(self._connection(), stage) if one.segment_id is not None]
            files = segment_files(self._connection(), [one.segment_id for one in outputs if one.segment_id is not None])
        by_segment: dict[int, list[CurrentOutput]] = {}
        for one in outputs:
            if one.segment_id is not None:
                by_segment.setdefault(one.segment_id, []).append(one)
        return [(files[segment_id], of_segment) for segment_id, of_segment in by_segment.items()]

    def table(self, name: str) -> "Iterator[pa.RecordBatch]":
        """Rows of one table of ``export.table_names``, streamed."""
        with self._lock:
            stream = table_batches(self._connection(), name)
        while True:
            with self._lock:
                batch = next(stream, None)
            if batch is None:
                return
            yield batch

    def _connection(self) -> Connection:
        if self._opened is None:
            self._stack.enter_context(pinned(self._ledger, ttl_s=self._pin_s))
            self._opened = self._stack.enter_context(self._ledger.reading())
        return self._opened

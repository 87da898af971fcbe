"""Rows of lake segments, kept in memory for the next search: a segment never changes, so it is verified once."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from etl_assets.ledger.segments import SegmentFile
from etl_assets.stages.lake import Lake

if TYPE_CHECKING:
    import polars as pl

CACHE_BYTES = 256 * 1024 * 1024


class SegmentCache:
    """The most recently used segments' columns, at most ``limit_bytes`` in memory. Safe to share between threads."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held: OrderedDict[tuple[SegmentFile, tuple[str, ...]], pl.DataFrame] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """What is held now."""
        return self._size_bytes

    def frame(self, lake: Lake, file: SegmentFile, columns: Sequence[str]) -> "pl.DataFrame":
        """These columns of every row of a segment; its bytes are checked when they are read.

        Raises:
            SegmentLost: the file is gone, or is not what was written.
        """
        import polars as pl

        key = (file, tuple(columns))
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        frame = pl.read_parquet(lake.verified_bytes(file), columns=list(columns)).select(columns)
        self._keep(key, frame)
        return frame

    def _keep(self, key: tuple[SegmentFile, tuple[str, ...]], frame: "pl.DataFrame") -> None:
        size = int(frame.estimated_size())
        with self._lock:
            if key in self._held or size > self._limit_bytes:
                return
            self._held[key] = frame
            self._size_bytes += size
            while self._size_bytes > self._limit_bytes:
                _, oldest = self._held.popitem(last=False)
                self._size_bytes -= int(oldest.estimated_size())

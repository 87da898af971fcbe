"""Rows in immutable Parquet segments: writing one, reading the rows of some outputs back."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from etl_assets.errors import DataError, PermanentError, TransientError
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.segments import Segment, SegmentFile
from etl_assets.protocols.objects import Blobs

if TYPE_CHECKING:
    import polars as pl

SMALL_SEGMENT_BYTES = 32 * 1024 * 1024
"""Only segments below this are ever merged."""


class SegmentLost(TransientError):
    """A segment that the ledger names is gone or cannot be read: what it held must be made again."""

    def __init__(self, segment_id: int, message: str) -> None:
        super().__init__(message)
        self.segment_id = segment_id


class Lake:
    """Segments under a blob store. It knows files, not which of them are alive: that is the ledger's."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    def write(self, partition: Partition, stage: str, segment_id: int, token: int, rows: "pl.DataFrame") -> Segment:
        """Store rows, which have ``output_id`` and ``document_id``, as one file; durable on return.

        The name carries the writer's lease token: a file that no ledger row names is garbage once that token is
        superseded.

        Raises:
            PermanentError: no space or no right to write.
        """
        key = f"{folder(partition, stage)}{token:012d}-{segment_id:012d}.parquet"
        # By way of memory: polars reports a full disk as an error of its own computation.
        file = io.BytesIO()
        rows.write_parquet(file, compression="zstd", compression_level=1)
        with self.blobs.scratch() as scratch:
            path = scratch / "segment.parquet"
            try:
                path.write_bytes(file.getbuffer())
            except OSError as e:
                raise PermanentError(f"writing segment {key}: {e.strerror}; make room, then run again") from e
            size = self.blobs.put(key, path)
        return Segment(segment_id, key, rows.height, size, hashlib.sha256(file.getbuffer()).hexdigest())

    def read(
        self,
        files: Mapping[int, SegmentFile],
        outputs: Mapping[int, Sequence[int]],
        columns: Sequence[str] | None = None,
    ) -> "pl.DataFrame":
        """Rows of some outputs, in stored order per segment. ``outputs`` maps segment id -> output ids wanted.

        ``columns`` is given without ``output_id``, which always comes first. At least one segment must be asked for.

        Raises:
            SegmentLost: a file is gone, or its bytes are not those that were written.
        """
        import polars as pl

        frames = []
        for segment_id, wanted in outputs.items():
            frame = self._frame(segment_id, files.get(segment_id), columns)
            frames.append(frame.filter(pl.col("output_id").is_in(list(wanted))))
        return pl.concat(frames) if len(frames) > 1 else frames[0]

    def read_all(self, segment_id: int, file: SegmentFile | None, columns: Sequence[str]) -> "pl.DataFrame":
        """These columns of every row of one segment.

        Raises:
            SegmentLost: as for ``read``.
        """
        return self._frame(segment_id, file, columns).drop("output_id")

    def _frame(self, segment_id: int, file: SegmentFile | None, columns: Sequence[str] | None) -> "pl.DataFrame":
        import polars as pl

        if file is None:
            raise SegmentLost(segment_id, f"segment {segment_id} is not in the ledger any more; run again")
        names = None if columns is None else ["output_id", *columns]
        return pl.read_parquet(self.verified_bytes(file), columns=names)

    def verified_bytes(self, file: SegmentFile) -> bytes:
        """The bytes of a segment, which are those that were written.

        Raises:
            SegmentLost: they are not there, or differ.
        """
        try:
            with self.blobs.local(file.key) as path:
                content = path.read_bytes()
        except FileNotFoundError as error:
            raise SegmentLost(
                file.segment_id, f"segment {file.key} is gone; run sync to make its rows again"
            ) from error
        except DataError as error:
            raise SegmentLost(file.segment_id, f"{error}; run sync to make its rows again") from error
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise SegmentLost(file.segment_id, f"segment {file.key} was altered; run sync to make its rows again")
        return content


def folder(partition: Partition, stage: str) -> str:
    """Prefix of every segment key of a partition at a stage, so that one listing shows one shard's files."""
    shard = partition.key.rsplit(".", 1)[1]
    return f"{stage}/{partition.tenant}/{partition.collection}/{shard}/"


def token_of(key: str) -> int | None:
    """The lease token in a segment's key; ``None`` for a key that is no segment's."""
    first = key.rsplit("/", 1)[-1].split("-")[0]
    return int(first) if first.isdecimal() else None

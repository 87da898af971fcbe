"""Rows of published outputs, read from the lake by those who show or export what documents say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etl_assets.errors import TransientError
from etl_assets.ledger.row_places import output_files
from etl_assets.ledger.segments import SegmentFile
from etl_assets.ledger.snapshots import VisibleDocument
from etl_assets.search.model import SearchPlaces
from etl_assets.stages.lake import SegmentLost

Row = Mapping[str, Any]

_TRIES = 3


def published_rows(
    places: SearchPlaces, documents: Iterable[VisibleDocument], stage: str, columns: Sequence[str]
) -> dict[int, list[Row]]:
    """By publication, the rows of ``stage`` that it was published with, in stored order; empty where it has none.

    An output never changes, so what is read is what the snapshot showed. A segment that compaction replaces meanwhile
    is looked up again.

    Raises:
        TransientError: rows are gone: what they belonged to was superseded and collected, or the lake is damaged.
    """
    publications = {
        document.outputs[stage]: document.publication for document in documents if stage in document.outputs
    }
    found: dict[int, list[Row]] = {number: [] for number in publications.values()}
    left = dict(publications)
    problem: SegmentLost | None = None
    for _ in range(_TRIES):
        files: dict[SegmentFile, list[int]] = {}
        for output, file in sorted(output_files(places.ledger, left).items()):
            files.setdefault(file, []).append(output)
        problem = None
        for file, outputs in files.items():
            try:
                rows = _rows(places, file, outputs, columns)
            except SegmentLost as lost:
                problem = lost
                continue
            for output, row in rows:
                found[publications[output]].append(row)
            for output in outputs:
                del left[output]
        if problem is None:
            return found
    raise TransientError(f"rows of {stage} could not be read ({problem}); ask again, then run: etl-assets check")


def _rows(
    places: SearchPlaces, file: SegmentFile, outputs: Sequence[int], columns: Sequence[str]
) -> list[tuple[int, Row]]:
    import polars as pl

    frame = places.segments.frame(places.lake, file, ("output_id", *columns))
    chosen = frame.filter(pl.col("output_id").is_in(list(outputs)))
    return [(int(row.pop("output_id")), row) for row in chosen.iter_rows(named=True)]

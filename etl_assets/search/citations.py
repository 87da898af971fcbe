"""From found chunks to cited ones: the quoted text and its place are read from the lake, never from an index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from etl_assets.errors import TransientError
from etl_assets.ledger.row_places import output_files
from etl_assets.ledger.segments import SegmentFile
from etl_assets.protocols.indexes import text_digest
from etl_assets.search.deadline import Deadline
from etl_assets.search.model import PoolHit, SearchPlaces
from etl_assets.stages.lake import SegmentLost

CHUNKS_STAGE = "chunks"
_COLUMNS = ("output_id", "chunk_id", "page", "start", "end", "text", "heading")
_TRIES = 3


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk as the lake has it."""

    page: int
    start: int
    end: int
    text: str
    heading: str


@dataclass(frozen=True, slots=True)
class Cited:
    """Rows by the hits' keys, and what is wrong with the others: every hit is in one of the two."""

    rows: Mapping[tuple[str, str, str, str], ChunkRow]
    problems: Mapping[tuple[str, str, str, str], str]


def cite(places: SearchPlaces, hits: Iterable[PoolHit], deadline: Deadline) -> Cited:
    """The chunk row of each hit.

    A segment that compaction replaces while it is read is looked up again. A row is taken only when its text has the
    digest that its chunk id names.

    Raises:
        TransientError: the deadline passed; rows of what is superseded may be gone by now.
    """
    rows: dict[tuple[str, str, str, str], ChunkRow] = {}
    problems: dict[tuple[str, str, str, str], str] = {}
    wanted: dict[int, list[PoolHit]] = {}
    for hit in hits:
        output = hit.document.outputs.get(CHUNKS_STAGE)
        if output is None:
            problems[hit.key] = f"{_name(hit)}: was published without chunks"
        else:
            wanted.setdefault(output, []).append(hit)
    found, lost = _read(places, wanted.keys(), deadline)
    for output, of_output in wanted.items():
        for hit in of_output:
            row = found.get((output, hit.chunk_id))
            if row is None:
                problems[hit.key] = lost.get(output) or f"{_name(hit)}: the lake has no such chunk"
            elif text_digest(row.text) != hit.chunk_id.rpartition("-")[0]:
                problems[hit.key] = f"{_name(hit)}: its text in the lake is not the one that was published"
            else:
                rows[hit.key] = row
    return Cited(rows, problems)


def best_cited(
    places: SearchPlaces, hits: Sequence[PoolHit], limit: int, deadline: Deadline
) -> tuple[list[tuple[PoolHit, ChunkRow]], list[str]]:
    """The first ``limit`` hits that the lake confirms, with their rows, and what is wrong with those left out.

    Raises:
        TransientError: as ``cite``.
    """
    kept: list[tuple[PoolHit, ChunkRow]] = []
    problems: list[str] = []
    taken = 0
    while len(kept) < limit and taken < len(hits):
        part = hits[taken : taken + limit - len(kept)]
        taken += len(part)
        cited = cite(places, part, deadline)
        problems += sorted(set(cited.problems.values()))
        kept += [(hit, cited.rows[hit.key]) for hit in part if hit.key in cited.rows]
    return kept, problems


def _read(
    places: SearchPlaces, outputs: Iterable[int], deadline: Deadline
) -> tuple[dict[tuple[int, str], ChunkRow], dict[int, str]]:
    """Every chunk of some outputs, and what went wrong with the outputs that could not be read."""
    found: dict[tuple[int, str], ChunkRow] = {}
    left = dict.fromkeys(outputs, "the ledger names no rows of it")
    for _ in range(_TRIES):
        files: dict[SegmentFile, list[int]] = {}
        for output, file in sorted(output_files(places.ledger, left).items()):
            files.setdefault(file, []).append(output)
        if not files:
            break
        for file, of_file in files.items():
            if deadline.passed:
                raise TransientError("the lake was read too slowly; rows may be gone by now")
            try:
                found.update(_rows(places, file, of_file))
            except SegmentLost as lost:
                left.update(dict.fromkeys(of_file, str(lost)))
            else:
                for output in of_file:
                    del left[output]
        if not left:
            break
    return found, left


def _rows(places: SearchPlaces, file: SegmentFile, outputs: list[int]) -> dict[tuple[int, str], ChunkRow]:
    import polars as pl

    frame = places.segments.frame(places.lake, file, _COLUMNS)
    rows = frame.filter(pl.col("output_id").is_in(outputs)).iter_rows()
    return {(output, chunk): ChunkRow(*rest) for output, chunk, *rest in rows}


def _name(hit: PoolHit) -> str:
    return f"{hit.view.tenant}/{hit.view.collection}/{hit.document.path}, chunk {hit.chunk_id}"

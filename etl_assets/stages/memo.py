"""Row-wise results, each computed once per tenant: only keys never seen are handed to the stage's function."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from etl_assets.errors import DataError
from etl_assets.ledger import segments as ledger_segments
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import Ledger, draw
from etl_assets.ledger.leases import Lease
from etl_assets.ledger.outputs import Step
from etl_assets.ledger.spend import Tariff, Used, record_spend
from etl_assets.stages.lake import Lake, SegmentLost
from etl_assets.stages.spec import Computed, RowMemo, Stage

if TYPE_CHECKING:
    import polars as pl


class Place(Protocol):
    """The part of a run's work that this needs."""

    @property
    def ledger(self) -> Ledger:
        """Where it is noted which segment holds which result."""
        ...

    @property
    def lake(self) -> Lake:
        """Where results are read and written."""
        ...

    @property
    def lease(self) -> Lease:
        """Held on the partition: without it nothing is written."""
        ...

    @property
    def partition(self) -> Partition:
        """Whose documents are worked on."""
        ...

    @property
    def run_id(self) -> str:
        """Who computes."""
        ...

    @property
    def tariff(self) -> Tariff:
        """By which model, and what it costs."""
        ...


@dataclass(slots=True)
class RowResults:
    """Rows of the batch with their values, and which keys they hold. ``seconds`` counts only the stage's function.

    ``kept`` is the part of what was computed that was entered in the ledger with its slices.
    """

    computed: Computed
    keys: list[bytes] = field(default_factory=list)
    computed_rows: int = 0
    computed_tokens: int = 0
    seconds: float = 0.0
    kept: Used = field(default_factory=lambda: Used(0, 0, 0.0))


def memoised(
    place: Place, stage: Stage, step: Step, rows: "pl.DataFrame",
    compute: Callable[["pl.DataFrame"], "pl.DataFrame"], *, reuse: bool = True,
) -> RowResults:  # fmt: skip
    """The stage's rows for input ``rows``, computing each unknown key once; without ``reuse`` none is known.

    A document with more unknown keys than a batch holds is computed in slices that are kept as they are made, so that
    a kill in the middle of a large document loses one slice only. A key whose computation raises DataError fails
    every document that holds it, and no other.
    """
    import polars as pl

    memo = _memo_of(stage)
    unique = rows.unique(subset=memo.key, keep="first", maintain_order=True).drop("document_id")
    values, known = _known_values(place, stage, step, unique[memo.key].to_list() if reuse else [])
    unknown = unique.filter(~pl.col(memo.key).is_in(list(known)))
    results = RowResults(Computed(rows.head(0)))
    failed: dict[str, DataError] = {}
    frames = [values] if values is not None else []
    for start in range(0, unknown.height, stage.batch_rows):
        part = unknown.slice(start, stage.batch_rows)
        began = time.monotonic()
        made = _blaming_rows(part, memo, compute, failed)
        seconds = time.monotonic() - began
        results.seconds += seconds
        if made is not None:
            used = Used(made.height, _token_sum(part, memo, made), seconds)
            results.computed_rows += used.rows
            results.computed_tokens += used.tokens
            frames.append(made)
            if start + stage.batch_rows < unknown.height:
                _keep_slice(place, stage, step, made, used)
                before = results.kept
                results.kept = Used(
                    before.rows + used.rows, before.tokens + used.tokens, before.seconds + used.seconds
                )  # fmt: skip
    results.computed = _joined(stage, memo, rows, frames, failed)
    results.keys = [bytes.fromhex(key) for key in results.computed.rows[memo.key].unique().to_list()]
    return results


def unknown_rows(
    ledger: Ledger, tenant: str, stage: Stage, producer_id: int, rows: "pl.DataFrame", seen: set[str]
) -> "pl.DataFrame":
    """Those of ``rows`` whose values ``memoised`` would compute, each key once, and none in ``seen``, which grows.

    By the ledger alone: a segment that is named there and gone is noticed only when it is read.
    """
    import polars as pl

    memo = _memo_of(stage)
    unique = rows.unique(subset=memo.key, keep="first", maintain_order=True)
    keys = [key for key in unique[memo.key].to_list() if key not in seen]
    with ledger.reading() as connection:
        found = ledger_segments.known_rows(connection, tenant, producer_id, [bytes.fromhex(key) for key in keys])
    new = [key for key in keys if bytes.fromhex(key) not in found]
    seen.update(new)
    return unique.filter(pl.col(memo.key).is_in(new))


def _memo_of(stage: Stage) -> RowMemo:
    if stage.memo is None:
        raise TypeError(f"stage {stage.name} declares no memo")
    return stage.memo


def _known_values(
    place: Place, stage: Stage, step: Step, keys: Sequence[str]
) -> tuple["pl.DataFrame | None", set[str]]:
    """(key, values) rows that can be read again. What cannot be read, or is not where it was noted, is computed."""
    import polars as pl

    memo = _memo_of(stage)
    with place.ledger.reading() as connection:
        found = ledger_segments.known_rows(
            connection, place.partition.tenant, step.producer_id, [bytes.fromhex(key) for key in keys]
        )
        files = ledger_segments.segment_files(connection, found.values())
    by_segment: dict[int, list[str]] = {}
    for key, segment_id in found.items():
        by_segment.setdefault(segment_id, []).append(key.hex())
    frames = []
    for segment_id, wanted in by_segment.items():
        try:
            frame = place.lake.read_all(segment_id, files.get(segment_id), [memo.key, *memo.values])
        except SegmentLost:
            continue
        frames.append(frame.filter(pl.col(memo.key).is_in(wanted)))
    if not frames:
        return None, set()
    values = pl.concat(frames).unique(subset=memo.key, keep="first", maintain_order=True)
    return values, set(values[memo.key].to_list())


def _blaming_rows(
    part: "pl.DataFrame",
    memo: RowMemo,
    compute: Callable[["pl.DataFrame"], "pl.DataFrame"],
    failed: dict[str, DataError],
) -> "pl.DataFrame | None":
    """Values for ``part``; when it fails, halves are tried until the rows to blame are found."""
    import polars as pl

    try:
        return compute(part).select(memo.key, *memo.values)
    except DataError as error:
        if part.height == 1:
            failed[part[memo.key][0]] = error
            return None
        half = part.height // 2
        halves = (part.head(half), part.slice(half))
        frames = [made for one in halves if (made := _blaming_rows(one, memo, compute, failed)) is not None]
        return pl.concat(frames) if frames else None


def _keep_slice(place: Place, stage: Stage, step: Step, made: "pl.DataFrame", used: Used) -> None:
    """Store values before the document that they belong to is whole; no output names this segment."""
    import polars as pl

    memo = _memo_of(stage)
    with place.ledger.writing() as connection:
        segment_id = draw(connection, "segment")
    rows = made.with_columns(pl.lit(0, dtype=pl.Int64).alias("output_id"), pl.lit("").alias("document_id"))
    segment = place.lake.write(place.partition, stage.name, segment_id, place.lease.token, rows)
    keys = [bytes.fromhex(key) for key in made[memo.key].to_list()]
    with place.lease.writing() as connection:
        ledger_segments.record_segment(connection, place.partition, stage.name, segment)
        ledger_segments.record_rows(connection, place.partition.tenant, step.producer_id, keys, segment_id)
        record_spend(connection, place.partition, stage.name, place.tariff, place.run_id, used)


def _joined(
    stage: Stage, memo: RowMemo, rows: "pl.DataFrame", frames: Sequence["pl.DataFrame"], failed: Mapping[str, DataError]
) -> Computed:
    import polars as pl

    columns = ["document_id", *stage.columns()]
    if not frames:
        empty = pl.DataFrame(schema={"document_id": pl.String, **stage.columns()})
        return Computed(empty, _blamed(rows, memo, failed))
    joined = rows.join(pl.concat(frames), on=memo.key, how="inner", maintain_order="left")
    failures = _blamed(rows, memo, failed)
    if failures:
        joined = joined.filter(~pl.col("document_id").is_in(list(failures)))
    return Computed(joined.select(columns), failures, tokens=_tokens(rows))


def _blamed(rows: "pl.DataFrame", memo: RowMemo, failed: Mapping[str, DataError]) -> dict[str, DataError]:
    if not failed:
        return {}
    pairs = rows.select("document_id", memo.key).rows()
    return {document: failed[key] for document, key in pairs if key in failed}


def _token_sum(part: "pl.DataFrame", memo: RowMemo, made: "pl.DataFrame") -> int:
    import polars as pl

    if "token_count" not in part.columns:
        return 0
    return int(part.filter(pl.col(memo.key).is_in(made[memo.key].to_list()))["token_count"].sum())


def _tokens(rows: "pl.DataFrame") -> dict[str, int]:
    import polars as pl

    if "token_count" not in rows.columns:
        return {}
    sums = rows.group_by("document_id").agg(pl.col("token_count").sum())
    return dict(sums.rows())

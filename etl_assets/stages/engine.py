"""The incremental engine: a stage is a memoised function, and a run computes wanted minus done, batch by batch.

Each batch ends in one ledger transaction under the partition's lease, which names a segment and the outputs that it
completes; so a kill loses at most one batch, and a second run over the same inputs computes nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.ledger import outputs as ledger_outputs
from etl_assets.ledger import quarantine
from etl_assets.ledger import segments as ledger_segments
from etl_assets.ledger.catalogue import Partition, mark_dirty
from etl_assets.ledger.database import Ledger, draw
from etl_assets.ledger.leases import Lease, LeaseLost
from etl_assets.ledger.outputs import Missing, Output, Recipe, Step, Twin
from etl_assets.ledger.segments import Segment
from etl_assets.ledger.spend import FREE, Tariff, Used, record_spend
from etl_assets.stages.digests import EMPTY, output_digests, salted
from etl_assets.stages.lake import Lake, SegmentLost
from etl_assets.stages.memo import RowResults, memoised, unknown_rows
from etl_assets.stages.report import Progress, StageReport, Watcher, ignore
from etl_assets.stages.spec import Compute, Computed, Stage, Task

if TYPE_CHECKING:
    import polars as pl

ComputeRows = Callable[["pl.DataFrame"], "pl.DataFrame"]
"""Unique keyed rows in, the same keys and their values out, for stages with a ``RowMemo``."""


@dataclass(frozen=True, slots=True)
class Work:
    """Everything a stage needs to know about where it runs. ``tariff`` is of the stage that has a memo.

    ``anew`` are documents, by stage, that are computed although their output is there, and without known results.
    """

    ledger: Ledger
    lake: Lake
    lease: Lease
    partition: Partition
    recipe: Recipe
    run_id: str
    watch: Watcher = ignore
    tariff: Tariff = FREE
    anew: Mapping[str, frozenset[str]] = field(default_factory=dict)


def advance(
    work: Work,
    stage: Stage,
    *,
    compute: Compute | None = None,
    compute_rows: ComputeRows | None = None,
    keyed: ComputeRows | None = None,
    stop_after_s: float | None = None,
) -> StageReport:
    """Compute what is wanted and missing at ``stage``. A no-op reads the ledger only.

    Exactly one of ``compute`` and ``compute_rows`` is given; the latter for stages with a memo. ``keyed`` is then
    given a batch's input rows first, and returns them with the keys by which they are remembered; it has whole
    documents before it, where ``compute_rows`` has only rows that are new. Documents that fail go to quarantine,
    their neighbours go on. After ``stop_after_s`` no further batch is begun.

    Raises:
        LeaseLost: somebody else has the partition now.
        SegmentLost: an input is gone from the lake; its outputs were struck out, so the next run makes them again.
    """
    started = time.monotonic()
    with work.ledger.reading() as connection:
        todo = ledger_outputs.missing(connection, work.partition, work.recipe, stage.name)
        again = work.anew.get(stage.name)
        if again:
            todo += ledger_outputs.made(connection, work.partition, work.recipe, stage.name, only=again)
    report = StageReport(stage.name, wanted=len(todo))
    done = 0
    batches = _batches(stage, todo)
    output_id, segment_id = _draw_numbers(work, len(todo), len(batches))
    for i, batch in enumerate(batches):
        if stop_after_s is not None and i and time.monotonic() - started >= stop_after_s:
            report.left = len(todo) - done
            break
        try:
            _Batch(work, stage, batch, report, output_id + done, segment_id + i).run(compute, compute_rows, keyed)
        except SegmentLost as lost:
            strike_out(work, lost.segment_id)
            raise
        done += len(batch)
        report.elapsed_s = time.monotonic() - started
        work.watch(Progress(work.partition.key, stage.name, done, len(todo), report.rows, report.elapsed_s))
    report.elapsed_s = time.monotonic() - started
    return report


def uncomputed(work: Work, stage: Stage, keyed: ComputeRows | None = None) -> Iterator["pl.DataFrame"]:
    """Rows that ``advance`` would hand to a stage with a memo, batch by batch, each key once. It writes nothing.

    Raises:
        SegmentLost: as ``advance``, which strikes out what rests on the segment.
    """
    with work.ledger.reading() as connection:
        todo = ledger_outputs.missing(connection, work.partition, work.recipe, stage.name)
    seen: set[str] = set()
    for batch in _batches(stage, todo):
        yield _Batch(work, stage, batch, StageReport(stage.name), 0, 0).unknown(keyed, seen)


def unmade(work: Work, stage: Stage) -> "Iterator[tuple[list[Task], list[pl.DataFrame]]]":
    """Tasks and input rows that ``advance`` would hand to ``compute``, batch by batch. It writes nothing.

    Raises:
        SegmentLost: as ``advance``, which strikes out what rests on the segment.
    """
    with work.ledger.reading() as connection:
        todo = ledger_outputs.missing(connection, work.partition, work.recipe, stage.name)
    for batch in _batches(stage, todo):
        yield _Batch(work, stage, batch, StageReport(stage.name), 0, 0).unmade()


def strike_out(work: Work, segment_id: int) -> None:
    """End every output that rests on a lost segment, so that it is made again."""
    with work.lease.writing() as connection:
        ledger_segments.end_outputs_of(connection, work.partition, segment_id)


def _draw_numbers(work: Work, outputs: int, segments: int) -> tuple[int, int]:
    """The first of so many fresh output and segment numbers; none is drawn for nothing to do."""
    if not outputs:
        return 0, 0
    with work.ledger.writing() as connection:
        mark_dirty(connection, work.partition.key, ())  # from here on a kill may leave a file that nothing names
        return draw(connection, "output", outputs), draw(connection, "segment", segments)


def _batches(stage: Stage, todo: Sequence[Missing]) -> list[list[Missing]]:
    """Consecutive documents, at most ``batch_documents`` and, unless one alone is larger, ``batch_rows`` input rows."""
    batches: list[list[Missing]] = []
    rows = 0
    for one in todo:
        full = batches and (len(batches[-1]) >= stage.batch_documents or rows + one.input_rows > stage.batch_rows)
        if not batches or full:
            batches.append([])
            rows = 0
        batches[-1].append(one)
        rows += one.input_rows
    return batches


class _Batch:
    """One batch on its way from missing to committed."""

    def __init__(
        self, work: Work, stage: Stage, todo: Sequence[Missing], report: StageReport, output_id: int, segment_id: int
    ) -> None:
        self._work = work
        self._output_id = output_id
        self._segment_id = segment_id
        self._stage = stage
        self._step: Step = work.recipe[stage.name]
        self._todo = todo
        self._report = report
        self._anew = work.anew.get(stage.name, frozenset())
        self._began = time.monotonic()

    def unknown(self, keyed: ComputeRows | None, seen: set[str]) -> "pl.DataFrame":
        """Rows of the batch whose keys nobody has computed, without those in ``seen``, to which they are added."""
        twins = self._twins()
        rows = self._input_rows([one for one in self._todo if one.input_digest not in twins], 0)
        rows = keyed(rows) if keyed is not None else rows
        work = self._work
        return unknown_rows(work.ledger, work.partition.tenant, self._stage, self._step.producer_id, rows, seen)

    def unmade(self) -> "tuple[list[Task], list[pl.DataFrame]]":
        """Tasks of the batch that no equal result is known of, and their input rows."""
        twins = self._twins()
        fresh = [one for one in self._todo if one.input_digest not in twins]
        return self._tasks(fresh), [self._input_rows(fresh, i) for i in range(len(self._step.inputs))]

    def run(self, compute: Compute | None, compute_rows: ComputeRows | None, keyed: ComputeRows | None = None) -> None:
        twins = self._twins()
        fresh = [one for one in self._todo if not self._is_copied(one, twins)]
        began = time.monotonic()
        results: RowResults | None = None
        if not fresh:
            made = Computed(self._empty())
        elif compute_rows is not None:
            rows = self._input_rows(fresh, 0)
            rows = keyed(rows) if keyed is not None else rows
            reuse = not any(one.document_id in self._anew for one in fresh)
            results = memoised(self._work, self._stage, self._step, rows, compute_rows, reuse=reuse)
            made = results.computed
        elif compute is not None:
            made = compute(self._tasks(fresh), *(self._input_rows(fresh, i) for i in range(len(self._step.inputs))))
        else:
            raise TypeError(f"stage {self._stage.name} was given nothing to compute with")
        seconds = time.monotonic() - began if results is None else results.seconds
        self._commit(fresh, made, twins, results, seconds)

    def _twins(self) -> dict[str, Twin]:
        with self._work.ledger.reading() as connection:
            digests = sorted({one.input_digest for one in self._todo})
            return ledger_outputs.twins(connection, self._work.partition.tenant, self._step.producer_id, digests)

    def _is_copied(self, one: Missing, twins: Mapping[str, Twin]) -> bool:
        return one.input_digest in twins and one.document_id not in self._anew

    def _tasks(self, fresh: Sequence[Missing]) -> list[Task]:
        place = self._work.partition
        return [
            Task(one.document_id, place.tenant, place.collection, one.path, one.version, one.size_bytes)
            for one in fresh
        ]

    def _input_rows(self, fresh: Sequence[Missing], which: int) -> "pl.DataFrame":
        outputs: dict[int, list[int]] = {}
        for one in fresh:
            output_id, segment_id = one.inputs[which]
            if segment_id is not None:
                outputs.setdefault(segment_id, []).append(output_id)
        if not outputs:
            return self._empty(self._stage.input_columns[which])
        with self._work.ledger.reading() as connection:
            keys = ledger_segments.segment_files(connection, outputs)
        return self._work.lake.read(keys, outputs).drop("output_id")

    def _empty(self, columns: Callable[[], "pl.Schema"] | None = None) -> "pl.DataFrame":
        """No rows, with these columns or the stage's own."""
        import polars as pl

        return pl.DataFrame(schema={"document_id": pl.String, **(columns or self._stage.columns)()})

    def _commit(
        self,
        fresh: Sequence[Missing],
        made: Computed,
        twins: Mapping[str, Twin],
        results: RowResults | None,
        seconds: float,
    ) -> None:
        import polars as pl

        good = [one for one in fresh if one.document_id not in made.failures]
        copied = [one for one in self._todo if self._is_copied(one, twins)]
        rows = made.rows.select("document_id", *self._stage.columns())
        if made.failures:  # a failed document may have got as far as some rows
            rows = rows.filter(~pl.col("document_id").is_in(list(made.failures)))
        digests = salted(output_digests(rows, self._stage.digest_columns), made.salts)
        counts = _counts(rows)
        if copied:
            copies = self._copies(copied, twins)
            rows = rows.vstack(copies) if copies is not None else rows
        ids = {one.document_id: self._output_id + i for i, one in enumerate([*good, *copied])}
        segment = self._write(rows, ids)
        share = seconds / len(fresh) if fresh else 0.0
        done = [
            self._output(
                one, ids[one.document_id], digests.get(one.document_id, EMPTY), counts.get(one.document_id, 0),
                made.seconds.get(one.document_id, share), made.tokens.get(one.document_id, 0), segment,
                made.facts.get(one.document_id),
            )
            for one in good
        ]  # fmt: skip
        for one in copied:
            twin = twins[one.input_digest]
            done.append(
                self._output(one, ids[one.document_id], twin.output_digest, twin.row_count, 0.0, 0, segment, twin.facts)
            )
        try:
            self._record(done, segment, made, fresh, results)
        except LeaseLost:
            # Whoever has the partition now may have tidied it already, and would not look for this file again.
            if segment is not None:
                self._work.lake.blobs.delete(segment.key)
            raise
        self._count(done, made, len(copied), results, seconds)

    def _write(self, rows: "pl.DataFrame", ids: Mapping[str, int]) -> Segment | None:
        import polars as pl

        if not rows.height:
            return None
        numbers = [ids[document] for document in rows["document_id"].to_list()]
        rows = rows.insert_column(0, pl.Series("output_id", numbers, dtype=pl.Int64))
        work = self._work
        return work.lake.write(work.partition, self._stage.name, self._segment_id, work.lease.token, rows)

    def _copies(self, copied: Sequence[Missing], twins: Mapping[str, Twin]) -> "pl.DataFrame | None":
        """Rows of equal results under their new documents' ids. Rows are never shared, results are."""
        import polars as pl

        outputs: dict[int, list[int]] = {}
        for digest in {one.input_digest for one in copied}:
            twin = twins[digest]
            if twin.segment_id is not None and twin.row_count:
                outputs.setdefault(twin.segment_id, []).append(twin.output_id)
        if not outputs:
            return None
        with self._work.ledger.reading() as connection:
            keys = ledger_segments.segment_files(connection, outputs)
        source = self._work.lake.read(keys, outputs).drop("document_id")
        pairs = pl.DataFrame(
            {
                "output_id": [twins[one.input_digest].output_id for one in copied],
                "document_id": [one.document_id for one in copied],
            },
            schema={"output_id": pl.Int64, "document_id": pl.String},
        )
        joined = pairs.join(source, on="output_id", how="inner", maintain_order="left_right")
        return joined.select("document_id", *self._stage.columns())

    def _output(
        self, one: Missing, output_id: int, digest: str, rows: int, seconds: float, tokens: int,
        segment: Segment | None, facts: Mapping[str, object] | None,
    ) -> Output:  # fmt: skip
        where = segment.segment_id if segment is not None and rows else None
        return Output(
            output_id,
            one.document_id,
            one.slot,
            one.version,
            one.input_digest,
            digest,
            rows,
            seconds,
            tokens,
            where,
            facts,
        )

    def _record(
        self, done: Sequence[Output], segment: Segment | None, made: Computed, fresh: Sequence[Missing],
        results: RowResults | None,
    ) -> None:  # fmt: skip
        work, step = self._work, self._step
        by_id = {one.document_id: one for one in fresh}
        held = [
            quarantine.Held(one.document_id, one.path, one.version, error, input_digest=one.input_digest)
            for one, error in ((by_id[document], error) for document, error in made.failures.items())
        ]
        with work.lease.writing() as connection:
            if segment is not None:
                ledger_segments.record_segment(connection, work.partition, step.stage, segment)
                if results is not None:
                    ledger_segments.record_rows(
                        connection, work.partition.tenant, step.producer_id, results.keys, segment.segment_id
                    )
            if self._anew:
                ledger_outputs.end_replaced(connection, step.producer_id, done)
            ledger_outputs.record_outputs(connection, work.partition, step.producer_id, work.run_id, done)
            settled = [(one.document_id, one.version, one.input_digest) for one in done]
            quarantine.settle(connection, step.stage, step.producer_id, settled)
            quarantine.hold(connection, work.partition, step.stage, step.producer_id, held)
            if fresh:
                tariff = work.tariff if self._stage.memo is not None else FREE
                record_spend(connection, work.partition, step.stage, tariff, work.run_id, self._used(made, results))

    def _used(self, made: Computed, results: RowResults | None) -> Used:
        """What the batch took beside what was entered with the slices of it."""
        seconds = time.monotonic() - self._began
        if results is None:
            return Used(made.rows.height, 0, seconds - made.entered_s)
        kept = results.kept
        return Used(results.computed_rows - kept.rows, results.computed_tokens - kept.tokens, seconds - kept.seconds)

    def _count(
        self, done: Sequence[Output], made: Computed, copied: int, results: RowResults | None, seconds: float
    ) -> None:
        report = self._report
        report.computed += len(done) - copied
        report.reused += copied
        report.quarantined += len(made.failures)
        report.rows += sum(one.row_count for one in done)
        report.rows_computed += made.rows.height if results is None else results.computed_rows
        report.tokens += sum(one.tokens for one in done)
        report.seconds += seconds
        for error in made.failures.values():
            report.reasons[error.reason] = report.reasons.get(error.reason, 0) + 1


def _counts(rows: "pl.DataFrame") -> dict[str, int]:
    counts: dict[str, int] = {}
    for document in rows["document_id"].to_list():
        counts[document] = counts.get(document, 0) + 1
    return counts

"""Publishing finished documents to the indexes and the graph: stage, write, commit, collect (design section 3).

The ledger is the commit point: nothing a store holds is visible before ``commit``, and nothing that a search may
still be reading is removed before ``collect`` has waited out the search time limit.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from etl_assets.documents.parameters import Publications
from etl_assets.documents.publication.index_rows import COLUMNS, SOURCES, graph_edges, keyword_table, vector_table
from etl_assets.errors import TransientError
from etl_assets.ledger import generations
from etl_assets.ledger import publications as ledger_publications
from etl_assets.ledger.database import digest_of
from etl_assets.ledger.outputs import Recipe, batches, output_places
from etl_assets.ledger.publications import STORES, Due, Publication, Ready, ToCollect
from etl_assets.ledger.segments import segment_files
from etl_assets.protocols.graph import KnowledgeGraph
from etl_assets.protocols.indexes import IndexSpace, KeywordIndex, RowIndex, VectorIndex
from etl_assets.stages.engine import Work, strike_out
from etl_assets.stages.lake import SegmentLost

if TYPE_CHECKING:
    import polars as pl

WRITE_ROWS = 4096
"""About how many rows go to a store in one write: each write is a fragment in LanceDB."""
COMMIT_DOCUMENTS = 1000


@dataclass(frozen=True, slots=True)
class Stores:
    """Where publications go."""

    vector: VectorIndex
    keyword: KeywordIndex
    graph: KnowledgeGraph


@dataclass(slots=True)
class StoreReport:
    """What one store was given."""

    store: str
    documents: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class CommitReport:
    """What became visible, and what was tidied after it. ``sequence`` is the last one taken, 0 if nothing changed."""

    published: int = 0
    repointed: int = 0
    removed: int = 0
    collected: int = 0
    waited_s: float = 0.0
    sequence: int = 0
    promoted: int | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """One index generation that a partition is published to: by which recipe, and to which stores."""

    generation_id: int
    recipe: Recipe
    publications: Publications

    @property
    def stores(self) -> tuple[str, ...]:
        """The stores that are on, in the order in which they are written."""
        return tuple(store for store in STORES if getattr(self.publications, store))

    @property
    def switches(self) -> str:
        """Digest of which stores are on: what was published under another one is due again."""
        return digest_of(self.publications.parameters())


@dataclass(frozen=True, slots=True)
class _Prepared:
    due: Due
    record: Mapping[str, Any]
    content_digest: str


@dataclass(slots=True)
class _Plan:
    """Documents of one generation with a number drawn. ``written`` is number -> stores that hold its rows."""

    target: Target
    numbers: dict[str, int]
    prepared: dict[str, _Prepared]
    written: dict[int, set[str]]
    rows: dict[int, dict[str, int]]


class Publisher:
    """Publishes one partition under its lease, to every index generation in use, in one commit."""

    def __init__(self, work: Work, stores: Stores, targets: Sequence[Target], *, time_limit_s: float) -> None:
        self._work = work
        self._stores = stores
        self._targets = tuple(targets)
        self._time_limit_s = time_limit_s
        self._plans: list[_Plan] | None = None
        self._repointed = 0

    def write(self, store: str) -> StoreReport:
        """Write every staged document to a store and read the counts back; what it holds already is left.

        Raises:
            TransientError: the store does not hold what it was given.
        """
        started = time.monotonic()
        report = StoreReport(store)
        for plan in self._staged():
            if store in plan.target.stores:
                todo = [document for document, number in plan.numbers.items() if store not in plan.written[number]]
                for batch in self._sized(plan, store, todo):
                    report.rows += self._write_batch(plan, store, batch)
                    report.documents += len(batch)
        report.seconds = time.monotonic() - started
        return report

    def commit(self) -> CommitReport:
        """Make everything that is staged visible and everything that is gone invisible."""
        for store in STORES:
            self.write(store)
        plans = self._staged()
        report = CommitReport(repointed=self._repointed)
        documents = list(dict.fromkeys(document for plan in plans for document in plan.numbers))
        for part in batches(documents, COMMIT_DOCUMENTS):
            ready = [self._ready(plan, part) for plan in plans]
            with self._work.lease.writing() as connection:
                report.sequence = ledger_publications.commit(connection, self._work.partition, ready)
            report.published += sum(len(one.publications) for one in ready)
        with self._work.ledger.reading() as connection:
            gone = ledger_publications.removed(connection, self._work.partition)
        for removals in batches(gone, COMMIT_DOCUMENTS):
            with self._work.lease.writing() as connection:
                # A generation that was retired meanwhile has ended some of them since they were read.
                ledger_publications.lock_collection(connection, self._work.partition.cid)
                open_still = set(ledger_publications.removed(connection, self._work.partition))
                ending = [one for one in removals if one in open_still]
                report.sequence = ledger_publications.commit_removals(connection, self._work.partition, ending)
            report.removed += len(ending)
        self._plans, self._repointed = None, 0
        return report

    def seconds_to_wait(self) -> float:
        """How long until no search can read what was superseded; 0 when nothing waits."""
        with self._work.ledger.reading() as connection:
            place, limit_s = self._work.partition, self._time_limit_s
            wait = ledger_publications.seconds_to_wait(connection, place, older_than_s=limit_s)
            drop = generations.seconds_until_droppable(connection, place.cid, older_than_s=limit_s)
        return max(wait or 0.0, drop)

    def collect(self) -> int:
        """Remove superseded and abandoned numbers from every store, read back, and confirm; how many went."""
        with self._work.ledger.reading() as connection:
            old = ledger_publications.to_collect(connection, self._work.partition, older_than_s=self._time_limit_s)
        for store in STORES:
            waiting = [one for one in old if store in one.stores]
            for part in batches(waiting, COMMIT_DOCUMENTS):
                self._collect_from(store, part)
            old = [ToCollect(one.publication, one.cid, one.generation_id, one.stores - {store}) for one in old]
        return len(old)

    def drop_retired(self) -> None:
        """Remove the index spaces of retired generations, once all of their rows are collected."""
        with self._work.ledger.reading() as connection:
            place = self._work.partition
            empty = generations.droppable(connection, place.cid, older_than_s=self._time_limit_s)
        for generation_id in empty:
            for store in ("vector", "keyword"):
                self._index(store).drop(self._space(generation_id))
            with self._work.lease.writing() as connection:
                generations.note_dropped(connection, generation_id)

    def optimise(self) -> None:
        """House-keeping of the indexes that were written, when it is due."""
        for target in self._targets:
            for store in ("vector", "keyword"):
                if store in target.stores:
                    self._index(store).optimise(self._space(target.generation_id))

    def _staged(self) -> list[_Plan]:
        if self._plans is None:
            self._plans = self._draw()
        return self._plans

    def _draw(self) -> list[_Plan]:
        """Give up numbers that nobody may resume, then see that every document that is due has one of ours."""
        work = self._work
        with work.ledger.reading() as connection:
            due = [
                ledger_publications.due(
                    connection, work.partition, one.recipe, one.generation_id, switches=one.switches
                )
                for one in self._targets
            ]  # fmt: skip
            waiting = ledger_publications.has_staged(connection, work.partition)
        if not any(due) and not waiting:
            return []
        prepared = [
            [_prepare(one, target.switches) for one in documents]
            for target, documents in zip(self._targets, due, strict=True)
        ]
        with work.lease.writing() as connection:
            plans = [
                _resumed(connection, work, target, documents)
                for target, documents in zip(self._targets, prepared, strict=True)
            ]
            kept = [number for plan in plans for number in plan.numbers.values()]
            ledger_publications.abandon(connection, work.partition, but=kept)
            for plan, documents in zip(plans, prepared, strict=True):
                same = [one.due for one in documents if one.due.document_id not in plan.prepared]
                ledger_publications.repoint(connection, same, switches=plan.target.switches)
                _draw_rest(connection, work, plan)
        self._repointed += sum(map(len, due)) - sum(len(plan.prepared) for plan in plans)
        return plans

    def _ready(self, plan: _Plan, documents: Sequence[str]) -> Ready:
        mine = [document for document in documents if document in plan.numbers]
        target = plan.target
        return Ready(target.generation_id, target.switches, [_publication(plan, document) for document in mine])

    def _space(self, generation_id: int) -> IndexSpace:
        place = self._work.partition
        return IndexSpace(place.tenant, place.collection, generation_id)

    def _sized(self, plan: _Plan, store: str, documents: Sequence[str]) -> Iterable[list[str]]:
        counts = self._row_counts(plan, store, documents)
        batch: list[str] = []
        rows = 0
        for document in documents:
            if batch and rows + counts[document] > WRITE_ROWS:
                yield batch
                batch, rows = [], 0
            batch.append(document)
            rows += counts[document]
        if batch:
            yield batch

    def _row_counts(self, plan: _Plan, store: str, documents: Sequence[str]) -> dict[str, int]:
        outputs = {document: plan.prepared[document].due.outputs for document in documents}
        ids = {held[stage]: document for document, held in outputs.items() for stage in SOURCES[store] if stage in held}
        with self._work.ledger.reading() as connection:
            places = output_places(connection, list(ids))
        counts = dict.fromkeys(documents, 0)
        for number, place in places.items():
            counts[ids[number]] += place.row_count
        return counts

    def _write_batch(self, plan: _Plan, store: str, documents: Sequence[str]) -> int:
        numbers = {document: plan.numbers[document] for document in documents}
        expected = dict.fromkeys(numbers.values(), 0)
        for number in self._write_rows(plan, store, numbers):
            expected[number] += 1
        self._read_back(plan, store, numbers, expected)
        with self._work.lease.writing() as connection:
            for number in numbers.values():
                plan.written[number].add(store)
                plan.rows[number][store] = expected[number]
            written = {number: sorted(plan.written[number]) for number in numbers.values()}
            ledger_publications.mark_written(connection, written)
        return sum(expected.values())

    def _write_rows(self, plan: _Plan, store: str, numbers: Mapping[str, int]) -> list[int]:
        """Give a store what it gets of these documents; the publication of each row."""
        if store == "graph":
            place, graph = self._work.partition, self._stores.graph
            edges, relations = graph_edges(lambda stage: self._rows(plan, stage, numbers), place, numbers)
            graph.write(edges, relations)
            return [edge.publication for edge in edges] + [one.publication for one in relations]
        rows = self._rows(plan, SOURCES[store][0], numbers)
        if rows is None:
            return []
        build = vector_table if store == "vector" else keyword_table
        table = build(rows, numbers, {document: plan.prepared[document].record for document in numbers})
        self._index(store).write(self._space(plan.target.generation_id), table)
        return [int(number) for number in table["publication"].to_pylist()]

    def _rows(self, plan: _Plan, stage: str, documents: Iterable[str]) -> "pl.DataFrame | None":
        """The documents' rows at a stage that a store is fed from; ``None`` when they have none."""
        due = (plan.prepared[document].due for document in documents)
        ids = [one.outputs[stage] for one in due if stage in one.outputs]
        outputs: dict[int, list[int]] = {}
        with self._work.ledger.reading() as connection:
            for number, place in output_places(connection, ids).items():
                if place.segment_id is not None:
                    outputs.setdefault(place.segment_id, []).append(number)
            files = segment_files(connection, outputs)
        if not outputs:
            return None
        try:
            return self._work.lake.read(files, outputs, ["document_id", *COLUMNS[stage]])
        except SegmentLost as lost:
            strike_out(self._work, lost.segment_id)
            raise

    def _read_back(self, plan: _Plan, store: str, numbers: Mapping[str, int], expected: Mapping[int, int]) -> None:
        if store == "graph":
            place = self._work.partition
            held = self._stores.graph.counts(place.tenant, place.collection, list(numbers.values()))
        else:
            held = self._index(store).counts(self._space(plan.target.generation_id), list(numbers.values()))
        wrong = [document for document, number in numbers.items() if held.get(number, 0) != expected[number]]
        if wrong:
            first = plan.prepared[wrong[0]].due.path
            number = numbers[wrong[0]]
            raise TransientError(
                f"{store} index, partition {self._work.partition.key}: {len(wrong)} documents were not stored whole; "
                f"{first} has {held.get(number, 0)} of {expected[number]} rows; run again"
            )

    def _index(self, store: str) -> RowIndex:
        return self._stores.vector if store == "vector" else self._stores.keyword

    def _collect_from(self, store: str, old: Sequence[ToCollect]) -> None:
        numbers = [one.publication for one in old]
        if store == "graph":
            place = self._work.partition
            self._stores.graph.remove(place.tenant, place.collection, numbers)
            left: Mapping[int, int] = self._stores.graph.counts(place.tenant, place.collection, numbers)
        else:
            left = {}
            for generation_id in {one.generation_id for one in old}:
                space = self._space(generation_id)
                mine = [one.publication for one in old if one.generation_id == generation_id]
                self._index(store).remove(space, mine)
                left = {**left, **self._index(store).counts(space, mine)}
        gone = [one for one in old if one.publication not in left]
        with self._work.lease.writing() as connection:
            ledger_publications.confirm_collected(connection, store, gone)
        if left:
            raise TransientError(
                f"{store} index, partition {self._work.partition.key}: {len(left)} publications could not be removed"
            )


def _resumed(connection: Any, work: Work, target: Target, prepared: Sequence[_Prepared]) -> _Plan:
    """What has to be written to one generation, with the numbers that this very token drew for the same contents."""
    changed = {one.due.document_id: one for one in prepared if one.due.published_digest != one.content_digest}
    staged = ledger_publications.staged(connection, work.partition, work.lease.token, target.generation_id)
    numbers = {
        document: one.publication
        for document, one in staged.items()
        if document in changed and changed[document].content_digest == one.content_digest
    }
    return _Plan(target, numbers, changed, {}, {})


def _draw_rest(connection: Any, work: Work, plan: _Plan) -> None:
    fresh = {d: one.content_digest for d, one in plan.prepared.items() if d not in plan.numbers}
    plan.numbers |= ledger_publications.draw_publications(
        connection, work.partition, work.lease.token, plan.target.generation_id, fresh
    )
    for number in plan.numbers.values():
        plan.written[number], plan.rows[number] = set(), {}


def _prepare(due: Due, switches: str) -> _Prepared:
    record = document_record(due)
    feeding = [stage for store in ("keyword", "vector", "graph") for stage in SOURCES[store]]
    parts = [due.digests[stage] for stage in feeding if stage in due.digests]
    return _Prepared(due, record, digest_of([*parts, record, switches]))


def _publication(plan: _Plan, document: str) -> Publication:
    one = plan.prepared[document]
    number = plan.numbers[document]
    return Publication(number, one.due, one.record, one.content_digest, plan.rows[number])


def is_as_published(due: Due, switches: str) -> bool:
    """Whether what is due has the contents that are published already: then nothing is written for it."""
    return due.published_digest == _prepare(due, switches).content_digest


def document_record(due: Due) -> dict[str, Any]:
    """What is published about a document beside its rows: title, date, type, source and the store's own metadata."""
    facts = {key: value for key, value in due.facts.items() if key != "outline"}
    return {
        **facts,
        "title": due.facts.get("title") or PurePosixPath(due.path).stem,
        "path": due.path,
        "content_type": due.content_type,
        "metadata": dict(due.attributes),
    }

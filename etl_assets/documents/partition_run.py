"""One run of one partition: the steps that Dagster's assets, and tests without Dagster, call in order."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any

from etl_assets.documents.anew import Anew, enter
from etl_assets.documents.arrivals.intake import Intake
from etl_assets.documents.arrivals.step import take_arrivals
from etl_assets.documents.generations.in_use import (
    InUse,
    Served,
    distinct,
    follow_settings,
    in_use,
    is_followed,
    known_outside,
    saved_judgement,
)
from etl_assets.documents.generations.promotion import Candidate, consider, retire_expired
from etl_assets.documents.knowledge import Outside
from etl_assets.documents.model import (
    CHUNKS,
    CLASSIFICATIONS,
    EMBEDDINGS,
    KNOWLEDGE,
    MENTIONS,
    PAGES,
    RELATIONS,
)
from etl_assets.documents.parameters import CollectionSettings, UpdateMode
from etl_assets.documents.planning.budget import OverBudget
from etl_assets.documents.planning.prices import tariff_of
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.moves import follow_moves
from etl_assets.documents.publication.publisher import CommitReport, Publisher, StoreReport, Target
from etl_assets.documents.run_watch import RunWatch
from etl_assets.documents.stage_work import StageWork
from etl_assets.documents.tidying import tidy
from etl_assets.documents.unfinished_work import Pending, pending_work
from etl_assets.documents.upkeep import recipe_digest, settle, to_look_at
from etl_assets.ledger import generations as ledger_generations
from etl_assets.ledger import publications as ledger_publications
from etl_assets.ledger import runs
from etl_assets.ledger.catalogue import Partition, partition
from etl_assets.ledger.leases import Lease, acquire
from etl_assets.ledger.outputs import Recipe, Step
from etl_assets.ledger.settings_history import record_settings
from etl_assets.protocols.comparison import Quality
from etl_assets.stages.engine import Work
from etl_assets.stages.report import StageReport, Watcher, ignore
from etl_assets.stages.spec import Parameters, Stage

if TYPE_CHECKING:
    from etl_assets.protocols.embedder import Embedder

_BEGUN: set[str] = set()
"""Steps that had something to do in this process."""


class PartitionRun:
    """Holds the partition's lease from the first step to ``close``; use it as a context manager.

    Steps may be called singly and in any subset; each computes only what is missing of it, for every index generation
    in use. ``wait_s`` is how long to wait for whoever has the partition. ``build_s`` is how long a stage may compute
    for a generation that is being built, so that new documents do not wait for it; the rest is for the next run.
    """

    def __init__(
        self,
        platform: Platform,
        key: str,
        *,
        run_id: str,
        watch: Watcher = ignore,
        wait_s: float = 0.0,
        build_s: float | None = None,
        origin: runs.Origin | None = None,
        anew: Anew | None = None,
    ) -> None:
        self.platform = platform
        self.partition: Partition = partition(platform.ledger, key)
        self.run_id = run_id
        self.report: dict[str, Any] = {}
        self.left = 0
        self._watch = RunWatch(platform.ledger, run_id, key, watch)
        self._origin = origin
        self._anew = anew
        self._wait_s = wait_s
        self._build_s = build_s
        self._lease: Lease | None = None
        self._in_use: InUse | None = None
        self._outside: Outside | None = None
        self._works: list[StageWork] | None = None
        self._begun_under = ""
        self._publisher: Publisher | None = None
        self._over_budget: OverBudget | None = None
        self._step: str | None = None

    def __enter__(self) -> "PartitionRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    @property
    def settings(self) -> CollectionSettings:
        """What was decided about this partition's collection."""
        return self.platform.collections.of(self.partition.tenant, self.partition.collection)

    @property
    def in_use(self) -> InUse:
        """The index generations of the collection as this run finds them; a run that has the lease begins new ones."""
        if self._in_use is None:
            place, settings = self.partition, self.settings
            if self._lease is not None and not is_followed(self.platform, place, settings):
                with self._lease.writing() as connection:
                    follow_settings(self.platform, connection, place, settings)
            self._in_use = in_use(self.platform, place, settings, self._outside)
        return self._in_use

    @property
    def embedder(self) -> "Embedder":
        """The embedder of the generation that answers; its weights are loaded at its first use."""
        return self.in_use.main.embedder

    @property
    def lease(self) -> Lease:
        """The lease, taken at first use.

        Raises:
            TransientError: somebody else works on the partition, and went on for longer than ``wait_s``.
        """
        if self._lease is None:
            self._lease = acquire(
                self.platform.ledger, self.partition.key, holder=self.run_id, wait_s=self._wait_s,
                ttl_s=self.platform.lease_s,
            )  # fmt: skip
            with self._lease.writing() as connection:
                runs.begin_run(connection, self.run_id, self.partition.key, self._origin)
                place = self.platform.collections
                digest = place.digest_of(self.partition.tenant, self.partition.collection)
                record_settings(connection, self.partition.cid, digest, asdict(self.settings))
        return self._lease

    @property
    def works(self) -> Sequence[StageWork]:
        """Where the engine runs, for each index generation, the live one first."""
        if self._works is None:
            lease = self.lease
            self._in_use = None  # what was asked before the lease was taken may be outdated
            # Read once: what somebody corrects meanwhile is for the next run, which this one must not call done.
            self._outside = known_outside(self.platform, self.partition.tenant, self.partition.collection)
            self._begun_under = self._recipe_digest()
            ledger = self.platform.ledger
            again = {} if self._anew is None else enter(self._anew, ledger, lease, self.partition)
            place = to_look_at(self.platform.ledger, lease, self.partition, self._begun_under)
            self._works = [self._stage_work(lease, place, served, again) for served in self.in_use.served]
        return self._works

    @property
    def work(self) -> Work:
        """Where the engine runs for the generation that answers: lease, lake and recipe."""
        return self.works[0].work

    @property
    def targets(self) -> list[Target]:
        """Where finished documents are published to."""
        return [one.target for one in self.works]

    def _recipe_digest(self) -> str:
        return recipe_digest(self.in_use, self.settings)

    def _stage_work(
        self, lease: Lease, looked_at: Partition, served: Served, anew: Mapping[str, frozenset[str]]
    ) -> StageWork:
        place = self.platform
        recipe = self._recipe_of(served)
        tariff = tariff_of(served.embedder, served.settings)
        work = Work(place.ledger, place.lake, lease, looked_at, recipe, self.run_id, self._watch, tariff, anew)
        return StageWork(place, served, work, self._build_s if served.state == "building" else None)

    def parameters(self) -> Mapping[str, tuple[Stage, Parameters]]:
        """What each stage's result depends on beside its input, in order, in the generation that answers."""
        return self.in_use.main.parameters()

    def recipe(self) -> Recipe:
        """The producers of the generation that answers, by stage."""
        return self._recipe_of(self.in_use.main)

    def _recipe_of(self, served: Served) -> Recipe:
        ledger = self.platform.ledger
        recipe = {}
        for name, (stage, parameters) in served.parameters().items():
            producer = stage.producer(parameters)
            number = ledger.producer_id(name, producer, dict(parameters))
            recipe[name] = Step(name, number, stage.inputs, producer)
        return recipe

    def pending(self) -> Pending:
        """What a run would find to do beside new arrivals. It takes no lease and writes nothing."""
        return pending_work(self.platform, self.partition, self.in_use.served)

    def raw_documents(self, *, only_touched: bool = False, mode: UpdateMode | None = None) -> Intake:
        """List the collection, copy what is new or changed to the originals, end what is gone.

        As far as ``mode`` allows, or the update mode of the collection. With ``only_touched`` only the keys are
        looked at that a sensor entered for this partition: what it costs depends on them alone, whatever the
        size of the collection.
        """
        self._begin("raw_documents")
        started = time.monotonic()
        intake = take_arrivals(
            self.platform, self.partition, self.lease, self.settings, only_touched=only_touched, mode=mode
        )
        self._note("raw_documents", {**_plain(intake), "elapsed_s": round(time.monotonic() - started, 3)})
        return intake

    def pages(self) -> StageReport:
        """Parse what is not parsed."""
        return self._advance(PAGES)

    def chunks(self) -> StageReport:
        """Cut what is not cut."""
        return self._advance(CHUNKS)

    def embeddings(self) -> StageReport:
        """Embed texts that were never embedded in this tenant by this model."""
        return self._advance(EMBEDDINGS)

    def knowledge(self) -> StageReport:
        """Look up what the catalogue and people say that concerns each document."""
        return self._advance(KNOWLEDGE)

    def classifications(self) -> StageReport:
        """Say what documents are about where it was not said."""
        return self._advance(CLASSIFICATIONS)

    def mentions(self) -> StageReport:
        """Find entities where they were not looked for."""
        return self._advance(MENTIONS)

    def relations(self) -> StageReport:
        """Read who does what to whom where it was not read."""
        return self._advance(RELATIONS)

    @property
    def stages(self) -> Sequence[Callable[[], StageReport]]:
        """The step of every stage, in the order in which they are made."""
        return (
            self.pages, self.chunks, self.embeddings, self.knowledge, self.classifications, self.mentions,
            self.relations,
        )  # fmt: skip

    def _advance(self, stage: Stage) -> StageReport:
        """A stage of every generation; those that make the very same rows share them."""
        report, works = StageReport(stage.name), self.works
        if not (places := distinct([one.work.recipe for one in works], stage.name)):
            return report
        self._begin(stage.name)
        for place in places:
            try:
                report.add(works[place].advance(stage.name))
            except OverBudget as e:
                if works[place].served.state == "live":
                    raise
                self._over_budget = e  # what answers is published before the run says so
        self.left += report.left
        self._note(stage.name, report.as_json())
        return report

    def write_store(self, store: str) -> StoreReport:
        """Write what is due to ``vector``, ``keyword`` or ``graph``; it stays invisible until the commit."""
        self._begin(f"{store}_index")
        report = self.publisher.write(store)
        self._note(f"{store}_index", _plain(report))
        return report

    def published_documents(self) -> CommitReport:
        """Commit, then tidy: end what is unwanted, merge segments, collect what no search can read any more."""
        self._begin("published_documents")
        report = self.publisher.commit()
        report.notes += follow_moves(self.platform, self.lease, self.partition)
        report.notes += self.in_use.problems.values()
        report.promoted = self._promote(report.notes)
        tidy(self.works, self.publisher, report, grace_s=self.platform.search_time_limit_s)
        self._note("published_documents", _plain(report))
        if self._over_budget is not None:
            raise self._over_budget
        if not self.left:
            self._settle()
        return report

    @property
    def publisher(self) -> Publisher:
        """The publisher of this partition."""
        if self._publisher is None:
            self._publisher = Publisher(
                self.works[0].work, self.platform.stores, self.targets, time_limit_s=self.platform.search_time_limit_s
            )
        return self._publisher

    @property
    def begun(self) -> str | None:
        """The step that was begun last, whatever became of it."""
        return self._step

    def close(self, error: BaseException | None = None) -> None:
        """Enter how the run ended and let the partition go. Called twice, it does nothing more."""
        lease, self._lease, self._works, self._publisher, self._in_use = self._lease, None, None, None, None
        self._outside = None
        if lease is None:
            return
        try:
            with self.platform.ledger.writing() as connection:
                message = None if error is None else f"{type(error).__name__}: {error}"
                runs.end_run(
                    connection, self.run_id, self.partition.key, self.report, error=message, step=self._step,
                    others=lease.others(connection) > 0, was_canceled=isinstance(error, runs.RunCanceled),
                )  # fmt: skip
        finally:
            lease.release()

    def _promote(self, notes: list[str]) -> int | None:
        """Let what was built answer, if it is complete and passes; and let go of a generation that was kept long."""
        place, rules = self.partition, self.settings.generations
        ledger = self.platform.ledger
        promoted = None
        with ledger.reading() as connection:
            known = ledger_generations.generations(connection, place.cid)
        for one in self.works:
            generation = known.get(one.served.generation_id)
            if generation is not None and generation.state == "building":
                candidate = Candidate(generation, {step.producer_id for step in one.work.recipe.values()})
                promoted = consider(ledger, self.lease.writing, candidate, rules, self._ask, notes) or promoted
        if any(one.state == "previous" for one in known.values()):
            with self.lease.writing() as connection:
                retire_expired(connection, place.cid, rules)
        return promoted

    def _ask(self, live: int, other: int) -> Quality | None:
        """How both answer; nothing where the live one's model is gone, since it cannot be asked any more."""
        compare, place = self.platform.compare, self.partition
        if compare is None or live in self.in_use.problems:
            return None
        saved = saved_judgement(self.platform, place.tenant, place.collection)
        return compare(place.tenant, place.collection, live, other, saved)

    def _settle(self) -> None:
        looked_at, recipes = self.work.partition, [one.work.recipe for one in self.works]
        began, self._in_use = self._begun_under, None  # a promotion may have changed which generations there are
        settle(
            self.platform.ledger, self.lease, looked_at, recipes, begun_under=began, now_under=self._recipe_digest()
        )  # fmt: skip

    def _begin(self, step: str) -> None:
        """Fence every earlier attempt of the step, whichever process it is in."""
        self._step = step
        self.lease.begin_step(step)
        self._watch.begin(step)

    def _note(self, step: str, values: Mapping[str, Any]) -> None:
        # What a process does for the first time also loads what it takes: plans tell that apart.
        self.report[step] = {**values, "cold": step not in _BEGUN}
        if any(values.get(name) for name in ("rows_computed", "rows", "added", "changed", "published")):
            _BEGUN.add(step)


def all_steps(run: PartitionRun) -> dict[str, Any]:
    """Every step of a run, in order; what each one reported."""
    run.raw_documents()
    for step in run.stages:
        step()
    for store in ledger_publications.STORES:
        run.write_store(store)
    run.published_documents()
    return run.report


def _plain(report: Any) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__dataclass_fields__}

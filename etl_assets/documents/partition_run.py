"""One run of one partition: the steps that Dagster's assets, and tests without Dagster, call in order."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from etl_assets.documents.arrivals import Changes, Intake, hold_unusable, original_key, survey, take_in
from etl_assets.documents.chunking import chunk_pages
from etl_assets.documents.embedding import WindowedRows, embed_rows
from etl_assets.documents.mentions.find import find_mentions
from etl_assets.documents.model import CHUNKS, EMBEDDINGS, HOSTED_EMBEDDINGS, MENTIONS, PAGES, STAGES
from etl_assets.documents.pages import parse_documents
from etl_assets.documents.parameters import CollectionSettings
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication import CommitReport, Publisher, StoreReport
from etl_assets.documents.touched_arrivals import confirm_removals, survey_touched
from etl_assets.errors import ConfigError
from etl_assets.ledger import outputs, runs, touched
from etl_assets.ledger import publications as ledger_publications
from etl_assets.ledger.catalogue import Partition, partition
from etl_assets.ledger.database import digest_of
from etl_assets.ledger.leases import Lease, acquire
from etl_assets.ledger.outputs import Recipe, Step
from etl_assets.ledger.settings_history import record_settings
from etl_assets.protocols.embedder import HostedEmbedder, for_tenant, in_context
from etl_assets.stages import housekeeping
from etl_assets.stages.engine import Work, advance
from etl_assets.stages.report import StageReport, Watcher, ignore
from etl_assets.stages.spec import Computed, Parameters, Stage, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from etl_assets.protocols.embedder import Embedder, EmbeddingModel

TOUCHED_PER_RUN = 20_000
"""A run looks at so many of its touched keys, which bounds its memory; the rest is for the next one."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Work of a partition that the ledger knows of. ``unfinished`` is stage -> documents, at most."""

    unfinished: Mapping[str, int]
    unpublished: int
    removed: int
    unsettled: bool

    def __bool__(self) -> bool:
        return bool(any(self.unfinished.values()) or self.unpublished or self.removed or self.unsettled)


class PartitionRun:
    """Holds the partition's lease from the first step to ``close``; use it as a context manager.

    Steps may be called singly and in any subset; each computes only what is missing of it. ``wait_s`` is how long to
    wait for whoever has the partition.
    """

    def __init__(
        self, platform: Platform, key: str, *, run_id: str, watch: Watcher = ignore, wait_s: float = 0.0
    ) -> None:
        self.platform = platform
        self.partition: Partition = partition(platform.ledger, key)
        self.run_id = run_id
        self.report: dict[str, Any] = {}
        self._watch = watch
        self._wait_s = wait_s
        self._lease: Lease | None = None
        self._work: Work | None = None
        self._publisher: Publisher | None = None
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
    def embedder(self) -> "Embedder":
        """The collection's embedder; its weights are loaded at its first use."""
        return for_tenant(self.platform.embedder(self.settings.embedder), self.partition.tenant)

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
                runs.begin_run(connection, self.run_id, self.partition.key)
                place = self.platform.collections
                digest = place.digest_of(self.partition.tenant, self.partition.collection)
                record_settings(connection, self.partition.cid, digest, asdict(self.settings))
        return self._lease

    @property
    def work(self) -> Work:
        """Where the engine runs: lease, lake and recipe."""
        if self._work is None:
            place = self.platform
            self._work = Work(
                place.ledger, place.lake, self.lease, self.partition, self.recipe(), self.run_id, self._watch
            )
        return self._work

    def parameters(self) -> Mapping[str, tuple[Stage, Parameters]]:
        """What each wanted stage's result depends on beside its input, in order."""
        settings = self.settings
        wanted: dict[str, tuple[Stage, Parameters]] = {PAGES.name: (PAGES, {})}
        chunking = dict(settings.chunking.parameters())
        if settings.chunking.mode == "structure":
            chunking["tokenizer"] = self._fitting_model().digest
        wanted[CHUNKS.name] = (CHUNKS, chunking)
        if settings.publications.vector:
            model = self.embedder.model
            parameters: Parameters = {"model": model.name, "digest": model.digest, "dimension": model.dimension}
            wanted[EMBEDDINGS.name] = (EMBEDDINGS, parameters)
        wanted[MENTIONS.name] = (MENTIONS, {"catalogue": self.platform.catalogue().digest})
        return wanted

    def recipe(self) -> Recipe:
        """The producers wanted now, by stage."""
        ledger = self.platform.ledger
        return {
            name: Step(name, ledger.producer_id(name, stage.producer(parameters), dict(parameters)), stage.inputs)
            for name, (stage, parameters) in self.parameters().items()
        }

    def pending(self) -> Pending:
        """What a run would find to do beside new arrivals. It takes no lease and writes nothing."""
        ledger = self.platform.ledger
        recipe = {
            name: Step(name, ledger.known_producer_id(stage.producer(parameters)), stage.inputs)
            for name, (stage, parameters) in self.parameters().items()
        }
        switches = digest_of(self.settings.publications.parameters())
        with ledger.reading() as connection:
            generations = ledger_publications.generations(connection, self.partition.cid)
            wanted = str(self._vector_space()["embedding_digest"])
            target = [number for number, one in generations.items() if one.embedding_digest == wanted]
            return Pending(
                unfinished=outputs.unfinished(connection, self.partition, recipe),
                unpublished=len(
                    ledger_publications.due(
                        connection, self.partition, recipe, target[0] if target else -1, switches=switches
                    )
                ),
                removed=len(ledger_publications.removed(connection, self.partition)),
                unsettled=ledger_publications.is_unsettled(connection, self.partition),
            )

    def raw_documents(self, *, only_touched: bool = False) -> Intake:
        """List the collection, copy what is new or changed to the originals, end what is gone.

        With ``only_touched`` only the keys are looked at that a sensor entered for this partition: what it costs
        depends on them alone, whatever the size of the collection.
        """
        self._begin("raw_documents")
        place = self.platform
        started = time.monotonic()
        with place.ledger.reading() as connection:
            waiting = touched.waiting(connection, [self.partition.key]).get(self.partition.key)
            limit = TOUCHED_PER_RUN if only_touched and waiting else 0
            looked_at = touched.touched(connection, self.partition.key, limit=limit)
        if only_touched:
            changes, seen = survey_touched(place.ledger, place.arrivals, self.partition, looked_at), len(looked_at)
        else:
            changes, seen = self._listed()
        intake = Intake()
        if changes:
            intake = take_in(self.lease, place.arrivals, place.originals, changes, self.settings.parsing)
        if waiting and not intake.unsettled:
            with self.lease.writing() as connection:
                if only_touched:
                    touched.untouch(connection, looked_at)
                else:
                    touched.untouch_until(connection, self.partition.key, waiting.stamp)
        intake.listed = seen
        self._note("raw_documents", {**_plain(intake), "elapsed_s": round(time.monotonic() - started, 3)})
        return intake

    def _listed(self) -> tuple[Changes, int]:
        place, tenant, collection = self.platform, self.partition.tenant, self.partition.collection
        found = survey(place.ledger, place.arrivals, tenant, collection, shards=self.settings.shards)
        if self.partition.slot_low == 0:
            hold_unusable(place.ledger, tenant, collection, found.unusable)
        changes = found.changes[self.partition.key]
        confirm_removals(place.arrivals, changes)
        return changes, found.seen

    def pages(self) -> StageReport:
        """Parse what is not parsed."""
        return self._advance(PAGES, self._parse)

    def chunks(self) -> StageReport:
        """Cut what is not cut."""
        settings = self.settings

        def compute(tasks: "Sequence[Task]", *inputs: "pl.DataFrame") -> Computed:
            return chunk_pages(tasks, inputs[0], chunking=settings.chunking, tokenizer=self.embedder.tokenizer)

        return self._advance(CHUNKS, compute)

    def embeddings(self) -> StageReport:
        """Embed texts that were never embedded in this tenant by this model."""
        if not self.settings.publications.vector:
            return StageReport(EMBEDDINGS.name)
        self._begin(EMBEDDINGS.name)
        embedder = self.embedder
        contextual = in_context(embedder)
        if contextual is not None:
            rows = WindowedRows(contextual)
            report = advance(self.work, EMBEDDINGS, compute_rows=rows.embed, keyed=rows.keyed)
        else:
            stage = HOSTED_EMBEDDINGS if isinstance(embedder, HostedEmbedder) else EMBEDDINGS
            report = advance(self.work, stage, compute_rows=lambda rows: embed_rows(rows, embedder=embedder))
        self._note(EMBEDDINGS.name, report.as_json())
        return report

    def mentions(self) -> StageReport:
        """Find entities where they were not looked for."""

        def compute(tasks: "Sequence[Task]", *inputs: "pl.DataFrame") -> Computed:
            return find_mentions(tasks, inputs[0], inputs[1], catalogue=self.platform.catalogue())

        return self._advance(MENTIONS, compute)

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
        if housekeeping.is_dirty(self.work):
            self._tidy(report)
        self._note("published_documents", _plain(report))
        return report

    @property
    def publisher(self) -> Publisher:
        """The publisher of this partition."""
        if self._publisher is None:
            with self.lease.writing() as connection:
                generation = ledger_publications.generation_for(connection, self.partition, **self._vector_space())
            self._publisher = Publisher(
                self.work, self.platform.stores, generation, self.settings.publications,
                time_limit_s=self.platform.search_time_limit_s,
            )  # fmt: skip
        return self._publisher

    def close(self, error: BaseException | None = None) -> None:
        """Enter how the run ended and let the partition go. Called twice, it does nothing more."""
        lease, self._lease, self._work, self._publisher = self._lease, None, None, None
        if lease is None:
            return
        try:
            with self.platform.ledger.writing() as connection:
                message = None if error is None else f"{type(error).__name__}: {error}"
                runs.end_run(
                    connection, self.run_id, self.partition.key, self.report, error=message, step=self._step,
                    others=lease.others(connection) > 0,
                )  # fmt: skip
        finally:
            lease.release()

    def _fitting_model(self) -> "EmbeddingModel":
        """The embedding model, which reads whole what chunking makes."""
        model, chunking = self.embedder.model, self.settings.chunking
        if chunking.max_tokens > model.max_tokens:
            raise ConfigError(
                f"{self.partition.tenant}/{self.partition.collection}: chunking.max_tokens is {chunking.max_tokens}, "
                f"but {model.name} reads {model.max_tokens} tokens and would cut the rest; lower it in collections.yaml"
            )
        return model

    def _vector_space(self) -> dict[str, Any]:
        if not self.settings.publications.vector:
            return {"embedding_model": "none", "embedding_digest": "", "dimension": 0}
        model = self.embedder.model
        return {"embedding_model": model.name, "embedding_digest": model.digest, "dimension": model.dimension}

    def _parse(self, tasks: "Sequence[Task]", *_inputs: "pl.DataFrame") -> Computed:
        def local(task: Task) -> AbstractContextManager[Path]:
            return self.platform.originals.local(original_key(task.tenant, task.document_id, task.version))

        return parse_documents(tasks, local=local, pool=self.platform.parsers(), limits=self.settings.parsing)

    def _advance(self, stage: Stage, compute: Any) -> StageReport:
        self._begin(stage.name)
        report = advance(self.work, stage, compute=compute)
        self._note(stage.name, report.as_json())
        return report

    def _tidy(self, report: CommitReport) -> None:
        names = [stage.name for stage in STAGES]
        housekeeping.drop_unwanted(self.work, [self.work.recipe])
        housekeeping.compact(self.work, names)
        self.publisher.optimise()
        grace_s = self.platform.search_time_limit_s
        report.waited_s = max(
            self.publisher.seconds_to_wait(), housekeeping.seconds_to_wait(self.work, grace_s=grace_s)
        )
        time.sleep(report.waited_s)
        report.collected = self.publisher.collect()
        housekeeping.delete_dead_segments(self.work, grace_s=grace_s)
        housekeeping.delete_strays(self.work, names)
        housekeeping.mark_clean(self.work)

    def _begin(self, step: str) -> None:
        """Fence every earlier attempt of the step, whichever process it is in."""
        self._step = step
        self.lease.begin_step(step)

    def _note(self, step: str, values: Mapping[str, Any]) -> None:
        self.report[step] = dict(values)


def all_steps(run: PartitionRun) -> dict[str, Any]:
    """Every step of a run, in order; what each one reported."""
    run.raw_documents()
    for step in (run.pages, run.chunks, run.embeddings, run.mentions):
        step()
    for store in ledger_publications.STORES:
        run.write_store(store)
    run.published_documents()
    return run.report


def _plain(report: Any) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__dataclass_fields__}

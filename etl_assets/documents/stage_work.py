"""The stages of one partition under the recipe of one index generation: what each computes, and with which model."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl_assets.documents.chunking import chunk_pages
from etl_assets.documents.classification.serving import Served as LabelsServed
from etl_assets.documents.corrected import corrected_mentions
from etl_assets.documents.embedding import WindowedRows, embed_rows
from etl_assets.documents.generations.in_use import Served
from etl_assets.documents.importing.given_vectors import GivenRows, keyed_chunks, salted_pages
from etl_assets.documents.knowledge import known
from etl_assets.documents.labels import classify
from etl_assets.documents.model import (
    CHUNKS,
    CLASSIFICATIONS,
    EMBEDDINGS,
    HOSTED_EMBEDDINGS,
    KNOWLEDGE,
    MENTIONS,
    PAGES,
    RELATIONS,
)
from etl_assets.documents.original_keys import original_key
from etl_assets.documents.pages import parse_documents
from etl_assets.documents.planning.budget import keep_within, needs_asking, refuse_beyond
from etl_assets.documents.planning.label_spend import LabelTill, tokens_of
from etl_assets.documents.planning.prices import label_tariff
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.publisher import Target
from etl_assets.documents.relations.find import find_relations
from etl_assets.ledger.objects import objects_of
from etl_assets.protocols.embedder import HostedEmbedder, in_context
from etl_assets.stages.engine import ComputeRows, Work, advance, strike_out, unmade
from etl_assets.stages.lake import SegmentLost
from etl_assets.stages.report import StageReport
from etl_assets.stages.spec import Computed, Stage, Task

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class StageWork:
    """One generation at work in one partition. ``stop_after_s``: no batch is begun later than so long into a stage."""

    platform: Platform
    served: Served
    work: Work
    stop_after_s: float | None = None

    @property
    def target(self) -> Target:
        """Where its finished documents are published to."""
        return Target(self.served.generation_id, self.work.recipe, self.served.settings.publications)

    def advance(self, stage: str) -> StageReport:
        """Compute what is missing of a stage; a stage that this generation does not have is done."""
        if stage not in self.work.recipe:
            return StageReport(stage)
        steps = {
            PAGES.name: self._pages, CHUNKS.name: self._chunks, EMBEDDINGS.name: self._embeddings,
            KNOWLEDGE.name: self._knowledge, CLASSIFICATIONS.name: self._classifications,
            MENTIONS.name: self._mentions, RELATIONS.name: self._relations,
        }  # fmt: skip
        return steps[stage]()

    def _pages(self) -> StageReport:
        def local(task: Task) -> AbstractContextManager[Path]:
            return self.platform.originals.local(original_key(task.tenant, task.document_id, task.version))

        def parse(tasks: Sequence[Task], *_inputs: "pl.DataFrame") -> Computed:
            made = parse_documents(
                tasks, local=local, pool=self.platform.parsers(), limits=self.served.settings.parsing
            )  # fmt: skip
            return salted_pages(made, self._original)

        return self._advance(PAGES, compute=parse)

    def _chunks(self) -> StageReport:
        def cut(tasks: Sequence[Task], *inputs: "pl.DataFrame") -> Computed:
            served = self.served
            made = chunk_pages(
                tasks, inputs[0], chunking=served.settings.chunking, tokenizer=served.embedder.tokenizer
            )  # fmt: skip
            return keyed_chunks(made, inputs[0], self._original)

        return self._advance(CHUNKS, compute=cut)

    def _original(self, document: str) -> AbstractContextManager[Path]:
        """The bytes of a document's present version; while the partition is held, nothing replaces it."""
        with self.platform.ledger.reading() as connection:
            known = objects_of(connection, [document])
        if document not in known:
            raise FileNotFoundError(document)
        return self.platform.originals.local(
            original_key(self.work.partition.tenant, document, known[document].version)
        )  # fmt: skip

    def _embeddings(self) -> StageReport:
        choice, embedder = self.served.settings.embedder, self.served.embedder
        contextual = in_context(embedder)
        if contextual is not None:
            windows = WindowedRows(contextual)
            given = GivenRows(choice, embedder, self._original, windows.embed, windows.keyed)
            return self._paid(EMBEDDINGS, given.vectors, given.keyed)
        stage = HOSTED_EMBEDDINGS if isinstance(embedder, HostedEmbedder) else EMBEDDINGS
        given = GivenRows(choice, embedder, self._original, lambda rows: embed_rows(rows, embedder=embedder))
        return self._paid(stage, given.vectors, given.keyed)

    def _paid(self, stage: Stage, embed: ComputeRows, keyed: ComputeRows) -> StageReport:
        """Embed what is missing, if all of it is within the budget.

        Each batch is asked about again: other runs spend from the same budget meanwhile.
        """
        work, settings = self.work, self.served.settings
        if not needs_asking(settings, work.tariff):
            return self._advance(stage, compute_rows=embed, keyed=keyed)
        try:
            keep_within(work, stage, settings, keyed)
        except SegmentLost as lost:
            strike_out(work, lost.segment_id)
            raise

        def within(rows: "pl.DataFrame") -> "pl.DataFrame":
            refuse_beyond(work.ledger, work.partition, settings.budget, work.tariff, int(rows["token_count"].sum()))
            return embed(rows)

        return self._advance(stage, compute_rows=within, keyed=keyed)

    def _knowledge(self) -> StageReport:
        def look_up(tasks: Sequence[Task], *inputs: "pl.DataFrame") -> Computed:
            return known(tasks, inputs[0], outside=self.served.outside)

        return self._advance(KNOWLEDGE, compute=look_up)

    def _mentions(self) -> StageReport:
        def find(tasks: Sequence[Task], *inputs: "pl.DataFrame") -> Computed:
            return corrected_mentions(tasks, *inputs, catalogue=self.served.outside.catalogue)

        return self._advance(MENTIONS, compute=find)

    def _classifications(self) -> StageReport:
        served, by = self.served, self._labels_served()

        def label(tasks: Sequence[Task], *inputs: "pl.DataFrame") -> Computed:
            return classify(tasks, *inputs, settings=served.settings.classification, outside=served.outside, served=by)

        return self._advance(CLASSIFICATIONS, compute=label)

    def _labels_served(self) -> LabelsServed | None:
        """Another classifier for the labels; it is sent nothing where all that is due is beyond the budget."""
        work, settings, classifier = self.work, self.served.settings, self.served.classifier
        if classifier is None:
            return None
        tariff = label_tariff(classifier, settings)
        till = LabelTill(work.ledger, work.lease, work.partition, work.run_id, tariff, settings.budget)
        if needs_asking(settings, tariff):
            due = ((tasks, inputs[0]) for tasks, inputs in unmade(work, CLASSIFICATIONS))
            try:
                till.closed = bool(till.refusal(tokens_of(classifier, settings.classification, due)))
            except SegmentLost as lost:
                strike_out(work, lost.segment_id)
                raise
        return LabelsServed(classifier, till)

    def _relations(self) -> StageReport:
        return self._advance(RELATIONS, compute=find_relations)

    def _advance(self, stage: Stage, **how: Any) -> StageReport:
        return advance(self.work, stage, stop_after_s=self.stop_after_s, **how)

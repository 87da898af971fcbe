"""What the stages of a partition would do for some documents: computed in memory where that is cheap, never stored.

It follows the engine: what is finished, held back or known from an equal result is not computed. Vectors are only
counted. A stage that fails here would put its document into quarantine, and nothing later is counted for it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
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
    KNOWLEDGE,
    MENTIONS,
    PAGES,
    RELATIONS,
    STAGES,
)
from etl_assets.documents.original_keys import original_key
from etl_assets.documents.pages import parse_documents
from etl_assets.documents.planning.label_spend import NOT_ASKED, CountingTill
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.index_rows import RELATION_KEY
from etl_assets.documents.relations.find import find_relations
from etl_assets.ledger import outlook, outputs
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outlook import Candidate, Former, Input
from etl_assets.ledger.outputs import Recipe, Step, Twin
from etl_assets.ledger.segments import segment_files
from etl_assets.protocols.embedder import in_context
from etl_assets.stages.digests import EMPTY, output_digests, salted
from etl_assets.stages.memo import unknown_rows
from etl_assets.stages.spec import Computed, Stage, Task

if TYPE_CHECKING:
    import polars as pl

DOCUMENTS_AT_ONCE = 128
"""So many documents are in memory together, whatever the size of the partition."""

_STAGES: Mapping[str, Stage] = {stage.name: stage for stage in STAGES}


@dataclass(slots=True)
class StageOutlook:
    """Work of one stage. ``documents`` lack an output; ``reused`` of them copy an equal result.

    ``rows`` are written in all, ``rows_computed`` are computed, ``tokens`` of them are embedded; ``sent`` holds, for
    each document, its input rows and the tokens of each text that is embedded. Labels that another classifier has to
    be asked for take ``calls`` and ``tokens``, and their rows are counted as the packaged one gives them. ``why``
    counts reasons.
    """

    stage: str
    documents: int = 0
    reused: int = 0
    quarantined: int = 0
    rows: int = 0
    rows_computed: int = 0
    tokens: int = 0
    windows: int = 0
    calls: int = 0
    sent: list[tuple[int, list[int]]] = field(default_factory=list)
    why: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One document to look at: why it is, and where its bytes are if the originals have none of this version."""

    candidate: Candidate
    reason: str = ""
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A document all of whose stages would be done: digest of each stage's output ("" for unknown), rows and edges.

    ``is_new`` says that some of its outputs are not there yet, though they may be equal to those before.
    """

    digests: Mapping[str, str]
    rows: Mapping[str, int]
    edges: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one document at one stage: of a finished output, or (``known`` is ``None``) computed here.

    They are ``done`` when that output is the document's own.
    """

    digest: str
    count: int
    known: Twin | None = None
    done: bool = False


Seen = dict[tuple[str, str], set[str]]
"""Texts that a plan has counted already, by tenant and producer: the first run that meets one computes it."""


class StagesOutlook:
    """The stages of one partition under one generation. ``full`` takes nothing for done or known."""

    def __init__(
        self, platform: Platform, place: Partition, served: Served, recipe: Recipe, *, full: bool, seen: Seen
    ) -> None:
        self._platform, self._place, self._served, self._recipe, self._full = platform, place, served, recipe, full
        self.stages = {name: StageOutlook(name) for name in recipe}
        model = recipe[EMBEDDINGS.name].producer if EMBEDDINGS.name in recipe else ""
        self._seen = seen.setdefault((place.tenant, model), set())
        contextual = in_context(served.embedder)
        self._windows = WindowedRows(contextual) if contextual is not None else None
        self._till = CountingTill()
        self._labels = None if served.classifier is None else LabelsServed(served.classifier, self._till)
        self._wanted: Mapping[str, Wanted] = {}
        self._frames: dict[str, pl.DataFrame] = {}
        self._state: dict[str, dict[str, _Rows]] = {}

    def look(self, wanted: Sequence[Wanted]) -> dict[str, Outcome]:
        """Count what these documents need, and say of each that gets through what it would publish, by document id.

        Raises:
            SegmentLost: rows that are needed are gone; a sync makes them again.
            PermanentError, TransientError: the originals, or the parsers, fail.
        """
        self._frames, self._state = {}, {one.candidate.document_id: {} for one in wanted}
        self._wanted = {one.candidate.document_id: one for one in wanted}
        for name in self._recipe:
            self._stage(_STAGES[name], self._recipe[name], wanted)
        edges = self._edges()
        return {
            document: Outcome(
                {stage: rows.digest for stage, rows in state.items()},
                {stage: rows.count for stage, rows in state.items()}, edges.get(document, 0),
                not all(rows.done for rows in state.values()),
            )
            for document, state in self._state.items()
            if len(state) == len(self._recipe)
        }  # fmt: skip

    def _stage(self, stage: Stage, step: Step, wanted: Sequence[Wanted]) -> None:
        ready = [one for one in wanted if all(name in self._state[one.candidate.document_id] for name in step.inputs)]
        inputs = {one.candidate.document_id: self._input(one.candidate, step) for one in ready}
        if self._full or step.producer_id < 0:
            done: dict[Input, Twin] = {}
            held: set[Input] = set()
        else:
            with self._platform.ledger.reading() as connection:
                done = outlook.finished(connection, step.producer_id, list(inputs))
                held = outlook.held_inputs(connection, step.stage, step.producer_id, list(inputs))
        todo = []
        for one in ready:
            key = (one.candidate.document_id, one.candidate.version, inputs[one.candidate.document_id])
            if (known := done.get(key)) is not None:
                self._state[key[0]][stage.name] = _Rows(known.output_digest, known.row_count, known, True)
            elif key not in held:
                todo.append(one)
        if todo:
            self._count(stage, step, todo, inputs)

    def _count(self, stage: Stage, step: Step, todo: Sequence[Wanted], inputs: Mapping[str, str]) -> None:
        found = self.stages[stage.name]
        found.documents += len(todo)
        self._explain(step, todo, inputs)
        twins = self._twins(step, [inputs[one.candidate.document_id] for one in todo])
        fresh = []
        for one in todo:
            document = one.candidate.document_id
            if (twin := twins.get(inputs[document])) is None:
                fresh.append(one)
                continue
            found.reused += 1
            found.rows += twin.row_count
            self._state[document][stage.name] = _Rows(twin.output_digest, twin.row_count, twin)
        if fresh and stage.name == EMBEDDINGS.name:
            self._embed(fresh, step)
        elif fresh:
            self._compute(stage, step, fresh)

    def _compute(self, stage: Stage, step: Step, fresh: Sequence[Wanted]) -> None:
        found = self.stages[stage.name]
        made = self._made(stage, step, fresh)
        rows = made.rows.select("document_id", *stage.columns())
        digests = salted(output_digests(rows, stage.digest_columns), made.salts)
        counts = dict(rows.group_by("document_id").len().rows())
        for one in fresh:
            document = one.candidate.document_id
            if document in made.failures:
                found.quarantined += 1
                continue
            count = counts.get(document, 0)
            found.rows += count
            found.rows_computed += count
            is_open = made.facts.get(document, {}).get("standing_in") == NOT_ASKED
            self._state[document][stage.name] = _Rows("" if is_open else digests.get(document, EMPTY), count)
        self._frames[stage.name] = rows

    def _made(self, stage: Stage, step: Step, fresh: Sequence[Wanted]) -> Computed:
        tasks = [self._task(one) for one in fresh]
        inputs = [self._input_rows(name, fresh) for name in step.inputs]
        settings = self._served.settings
        if stage.name == PAGES.name:

            def local(task: Task) -> AbstractContextManager[Path]:
                return self._original(task.document_id)

            made = parse_documents(tasks, local=local, pool=self._platform.parsers(), limits=settings.parsing)
            return salted_pages(made, self._original)
        if stage.name == CHUNKS.name:
            tokenizer = self._served.embedder.tokenizer
            made = chunk_pages(tasks, inputs[0], chunking=settings.chunking, tokenizer=tokenizer)
            return keyed_chunks(made, inputs[0], self._original)
        if stage.name == KNOWLEDGE.name:
            return known(tasks, inputs[0], outside=self._served.outside)
        if stage.name == CLASSIFICATIONS.name:
            return self._classified(tasks, *inputs)
        if stage.name == RELATIONS.name:
            return find_relations(tasks, *inputs)
        return corrected_mentions(tasks, *inputs, catalogue=self._served.outside.catalogue)

    def _classified(self, tasks: Sequence[Task], *inputs: "pl.DataFrame") -> Computed:
        served, found = self._served, self.stages[CLASSIFICATIONS.name]
        made = classify(
            tasks, *inputs, settings=served.settings.classification, outside=served.outside, served=self._labels
        )  # fmt: skip
        found.tokens, found.calls = self._till.tokens, self._till.calls
        return made

    def _original(self, document: str) -> AbstractContextManager[Path]:
        one = self._wanted[document]
        if one.source is not None:
            return nullcontext(one.source)
        return self._platform.originals.local(original_key(self._place.tenant, document, one.candidate.version))

    def _embed(self, fresh: Sequence[Wanted], step: Step) -> None:
        found, producer = self.stages[step.stage], -1 if self._full else step.producer_id
        windows, embedder = self._windows, self._served.embedder
        given = GivenRows(
            self._served.settings.embedder, embedder, self._original, partial(embed_rows, embedder=embedder),
            windows.keyed if windows is not None else None,
        )  # fmt: skip
        rows = given.keyed(self._input_rows(CHUNKS.name, fresh))
        ledger, tenant = self._platform.ledger, self._place.tenant
        new = unknown_rows(ledger, tenant, EMBEDDINGS, producer, rows, self._seen)
        found.rows_computed += new.height
        new = new.filter([not given.is_given(key) for key in new["text_digest"].to_list()])
        found.windows += windows.windows_of(new["text_digest"].to_list()) if windows is not None else 0
        sent: dict[str, list[int]] = {one.candidate.document_id: [] for one in fresh}
        for document, tokens in new.select("document_id", "token_count").iter_rows():
            sent[document].append(tokens)
        rows_of = Counter(rows["document_id"].to_list())
        for document, counts in sent.items():
            found.rows += rows_of[document]
            found.tokens += sum(counts)
            found.sent.append((rows_of[document], counts))
            self._state[document][step.stage] = _Rows("", rows_of[document])

    def _input(self, candidate: Candidate, step: Step) -> str:
        if not step.inputs:
            return candidate.input_digest
        state = self._state[candidate.document_id]
        return "+".join(state[name].digest for name in step.inputs)

    def _task(self, one: Wanted) -> Task:
        found, place = one.candidate, self._place
        return Task(
            found.document_id, place.tenant, place.collection, found.path, found.version, found.size_bytes
        )  # fmt: skip

    def _twins(self, step: Step, digests: Sequence[str]) -> Mapping[str, Twin]:
        if self._full or step.producer_id < 0:
            return {}
        with self._platform.ledger.reading() as connection:
            return outputs.twins(connection, self._place.tenant, step.producer_id, sorted(set(digests)))

    def _input_rows(self, stage: str, fresh: Sequence[Wanted]) -> "pl.DataFrame":
        """Rows of these documents at a stage, from here and from the lake."""
        import polars as pl

        empty = pl.DataFrame(schema={"document_id": pl.String, **_STAGES[stage].columns()})
        documents = [one.candidate.document_id for one in fresh]
        here = [document for document in documents if self._state[document][stage].known is None]
        frame = self._frames.get(stage, empty).filter(pl.col("document_id").is_in(here))
        kept = self._kept_rows(stage, documents)
        return frame if kept is None else frame.vstack(kept.select(frame.columns))

    def _kept_rows(self, stage: str, documents: Sequence[str]) -> "pl.DataFrame | None":
        """Rows of finished or equal results, under the ids of these documents."""
        import polars as pl

        known = {document: self._state[document][stage].known for document in documents}
        pairs = [(one.output_id, document) for document, one in known.items() if one is not None and one.row_count]
        segments: dict[int, list[int]] = {}
        for one in known.values():
            if one is not None and one.segment_id is not None and one.row_count:
                segments.setdefault(one.segment_id, []).append(one.output_id)
        if not segments:
            return None
        with self._platform.ledger.reading() as connection:
            files = segment_files(connection, segments)
        source = self._platform.lake.read(files, segments).drop("document_id")
        owners = pl.DataFrame(pairs, schema={"output_id": pl.Int64, "document_id": pl.String}, orient="row")
        return owners.join(source, on="output_id", how="inner", maintain_order="left_right").drop("output_id")

    def _edges(self) -> dict[str, int]:
        """Edges that each document has in the graph: the entities that it mentions, and what it states of two."""
        edges = self._distinct(MENTIONS.name, ("entity_id",))
        for document, count in self._distinct(RELATIONS.name, RELATION_KEY).items():
            edges[document] = edges.get(document, 0) + count
        return edges

    def _distinct(self, stage: str, key: Sequence[str]) -> dict[str, int]:
        """How many different ``key`` each document has that got through to a stage."""
        import polars as pl

        documents = [document for document, state in self._state.items() if stage in state]
        frames = [
            frame.filter(pl.col("document_id").is_in(documents)).select("document_id", *key)
            for frame in (self._frames.get(stage), self._kept_rows(stage, documents))
            if frame is not None
        ]
        if not frames:
            return {}
        return dict(pl.concat(frames).unique().group_by("document_id").len().rows())

    def _explain(self, step: Step, todo: Sequence[Wanted], inputs: Mapping[str, str]) -> None:
        asked = {one.candidate.document_id: one.candidate.version for one in todo if not one.reason}
        with self._platform.ledger.reading() as connection:
            before = outlook.former_outputs(connection, step.stage, asked)
            retried = outlook.awaiting_retry(connection, list(asked))
        parameters = dict(self._served.parameters()[step.stage][1])
        why = self.stages[step.stage].why
        for one in todo:
            document = one.candidate.document_id
            reason = one.reason or ("retry of a quarantined document" if document in retried else "")
            reason = reason or self._reason(step, parameters, before.get(document), inputs[document])
            why[reason] = why.get(reason, 0) + 1

    def _reason(self, step: Step, parameters: Mapping[str, Any], before: Former | None, digest: str) -> str:
        if self._full:
            return "asked for in full"
        if before is None:
            return "never computed" if self._served.state != "building" else "another index is built"
        if before.producer == step.producer:
            same = before.input_digest == digest
            return "its rows were dropped or lost" if same else f"{' and '.join(step.inputs) or 'bytes'} changed"
        return changed_producer(before, step, parameters)


def changed_producer(before: Former, step: Step, parameters: Mapping[str, Any]) -> str:
    """What a producer differs in from the one that made the rows before, from what to what."""
    old, new = before.producer.split("/")[1:2], step.producer.split("/")[1:2]
    if old != new:
        return f"code version {'/'.join(old)} to {'/'.join(new)}"
    if step.stage == EMBEDDINGS.name:
        return f"model {before.parameters.get('model')} to {parameters.get('model')}"
    was = before.parameters
    names = [name for name in {**was, **parameters} if was.get(name) != parameters.get(name)]
    shown = [f"{name} {_short(was.get(name))} to {_short(parameters.get(name))}" for name in names]
    return ", ".join(shown) or "its producer changed"


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"

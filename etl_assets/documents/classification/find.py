"""The classifications stage: rows of pages in, rows of labels out, each with the sentences behind it."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from etl_assets.documents.classification import labelling, techniques
from etl_assets.documents.classification.advisories import ADVISORIES_SHA256
from etl_assets.documents.classification.calibration import Calibration
from etl_assets.documents.classification.evidence import Page, Span
from etl_assets.documents.classification.label_sets import VOCABULARY_SHA256, sectors, threats
from etl_assets.documents.classification.labelling import Scored, labels_of
from etl_assets.documents.classification.scoring import SCORES_SHA256
from etl_assets.documents.classification.serving import OWN, Answered, Served
from etl_assets.documents.classification.techniques import is_sentence, ranked
from etl_assets.documents.link_targets import without_targets
from etl_assets.documents.sentences import units
from etl_assets.protocols.classifier import LabelSet
from etl_assets.stages.spec import Computed, Json, Parameters, Task

if TYPE_CHECKING:
    import polars as pl

LEAST_SHOWN = 0.05
"""Scores below it are not kept: that a document has nothing to do with a label needs no row."""

SHORTEST = 12
"""Code points of the shortest sentence that is read for a technique."""


def classifications_columns() -> "pl.Schema":
    """One row per label of a document and, of kind ``technique``, per technique (top three) of a sentence.

    ``score`` is in [0, 1]; ``accepted`` says that it reached its set's threshold, and for a technique that it is the
    first of a sentence that states one. ``rank`` counts from 1 in a sentence, and is 1 for labels.
    ``evidence``: ``pages.text[start:end] == text`` on ``page``, in code points; ``contribution`` is its share.
    """
    import polars as pl

    behind = pl.Struct(
        {"page": pl.Int32(), "start": pl.Int32(), "end": pl.Int32(), "text": pl.String(), "contribution": pl.Float32()}
    )
    return pl.Schema(
        {
            "kind": pl.String(), "label": pl.String(), "rank": pl.Int8(), "score": pl.Float32(),
            "accepted": pl.Boolean(), "evidence": pl.List(behind), "classifier": pl.String(),
        }
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Classifying:
    """What is decided about a collection's documents: the label sets, and what a technique must reach.

    ``technique_threshold`` is the score (0 to 1) of a sentence's likeliest technique; ``None`` asks for none.
    ``calibrations`` are of the packaged classifier, by set, learned from corrections.
    """

    label_sets: tuple[LabelSet, ...] = ()
    technique_threshold: float | None = techniques.THRESHOLD
    calibrations: Mapping[str, Calibration] = field(default_factory=lambda: MappingProxyType({}))

    def parameters(self) -> Parameters:
        """What decides the rows beside the pages, the packaged models and their versions included."""
        return {
            "classifiers": [labelling.VERSION, techniques.VERSION],
            "models": [techniques.TECHNIQUES_SHA256, ADVISORIES_SHA256, VOCABULARY_SHA256, SCORES_SHA256],
            "label_sets": [asdict(one) for one in self.label_sets], "technique_threshold": self.technique_threshold,
            "calibrations": {name: one.parameters() for name, one in sorted(self.calibrations.items())},
        }  # fmt: skip


def default_classifying() -> Classifying:
    """Threats at 0.7, sectors at 0.6, and techniques."""
    return Classifying((threats(), sectors()))


def classify_documents(
    tasks: Sequence[Task], pages: "pl.DataFrame", *, classifying: Classifying, served: Served | None = None
) -> Computed:
    """Rows of ``classifications_columns`` for every task: labels by set, then techniques by sentence.

    ``served`` scores the label sets by another classifier than the packaged one (sentences behind a label are the
    packaged one's all the same); the facts of a document are then its ``classifiers``, by set, and why the packaged
    one is ``standing_in`` for another, if it is. Nothing here fails for a document: any text is valid input.

    Raises:
        ConfigError: a packaged model is damaged; and as ``Served.answers``.
    """
    import polars as pl

    read = _pages_of(pages)
    entered_before = 0.0 if served is None else served.entered_s
    answered = [{}] * len(tasks) if served is None else _answers(tasks, read, classifying, served)
    rows: list[tuple[object, ...]] = []
    seconds: dict[str, float] = {}
    for task, answers in zip(tasks, answered, strict=True):
        begun = time.perf_counter()
        of_task = read.get(task.document_id, [])
        rows.extend((task.document_id, *row) for row in classified(of_task, classifying, answers))
        seconds[task.document_id] = time.perf_counter() - begun
    schema = pl.Schema([("document_id", pl.String()), *classifications_columns().items()])
    facts = {} if served is None else {
        task.document_id: _who_answered(answers) for task, answers in zip(tasks, answered, strict=True)
    }  # fmt: skip
    entered_s = 0.0 if served is None else served.entered_s - entered_before
    return Computed(pl.DataFrame(rows, schema=schema, orient="row"), facts=facts, seconds=seconds, entered_s=entered_s)


def _answers(
    tasks: Sequence[Task], read: Mapping[str, list[Page]], classifying: Classifying, served: Served
) -> list[dict[str, Answered]]:  # fmt: skip
    """For each task what its label sets were answered, by set: all documents of a set in one go."""
    texts = _texts(tasks, read)
    found: list[dict[str, Answered]] = [{} for _ in tasks]
    for labels in classifying.label_sets:
        for answers, answered in zip(found, served.answers(texts, labels), strict=True):
            answers[labels.name] = answered
    return found


def asked_texts(tasks: Sequence[Task], pages: "pl.DataFrame") -> list[str]:
    """What another classifier is given of each task."""
    return _texts(tasks, _pages_of(pages))


def _texts(tasks: Sequence[Task], read: Mapping[str, list[Page]]) -> list[str]:
    return ["\n".join(page.text for page in read.get(task.document_id, ())) for task in tasks]


def _who_answered(answers: Mapping[str, Answered]) -> dict[str, Json]:
    who: dict[str, Json] = {"classifiers": {name: one.classifier for name, one in answers.items()}}
    whys = sorted({one.why for one in answers.values()} - {""})
    return {**who, "standing_in": ", ".join(whys)} if whys else who


def classified(
    pages: Sequence[Page], classifying: Classifying, answers: Mapping[str, Answered] = MappingProxyType({})
) -> Iterator[tuple[object, ...]]:
    """The rows of one document, without its id. ``answers`` are those of another classifier, by label set."""
    texts = {page.page: page.text for page in pages}
    for labels in classifying.label_sets:
        answered = answers.get(labels.name, OWN)
        for one in answered.rescored(_calibrated(labels_of(pages, labels), labels, classifying)):
            if one.score >= LEAST_SHOWN:
                yield _label_row(labels, one, texts, answered.classifier)
    if classifying.technique_threshold is not None:
        yield from _technique_rows(pages, classifying.technique_threshold)


def _calibrated(scored: list[Scored], labels: LabelSet, classifying: Classifying) -> list[Scored]:
    known = classifying.calibrations.get(labels.name)
    if known is None:
        return scored
    return [replace(one, score=known.of(one.label, one.score, labels.threshold)) for one in scored]


def _label_row(labels: LabelSet, one: Scored, texts: dict[int, str], classifier: str) -> tuple[object, ...]:
    behind = [_evidence(sentence.span, texts, sentence.contribution) for sentence in one.behind]
    return labels.name, one.label, 1, one.score, one.score >= labels.threshold, behind, classifier


def _technique_rows(pages: Iterable[Page], threshold: float) -> Iterator[tuple[object, ...]]:
    for page in pages:
        read = without_targets(page.text)
        spans = [one for one in units(page.text, page.headings) if len(read[one.start : one.end].strip()) >= SHORTEST]
        sentences = [read[one.start : one.end] for one in spans]
        for span, sentence, found in zip(spans, sentences, ranked(sentences), strict=True):
            # A page of one phrase is a question about that phrase; beside other lines it is a heading or a banner.
            if found.scores[0][1] < threshold or not (len(spans) == 1 or is_sentence(sentence)):
                continue
            behind = [_evidence(Span(page.page, span.start, span.end), {page.page: page.text}, 1.0)]
            for rank, (technique, score) in enumerate(found.scores, 1):
                yield "technique", technique, rank, score, rank == 1, behind, techniques.VERSION


def _evidence(span: Span, texts: dict[int, str], contribution: float) -> dict[str, object]:
    text = texts[span.page][span.start : span.end]
    return {"page": span.page, "start": span.start, "end": span.end, "text": text, "contribution": contribution}


def _pages_of(pages: "pl.DataFrame") -> dict[str, list[Page]]:
    """Pages of every document, in order."""
    found: dict[str, list[Page]] = {}
    ordered = pages.select("document_id", "page", "text", "headings").sort("document_id", "page")
    for document, number, text, headings in ordered.iter_rows():
        spans = tuple((one["start"], one["end"]) for one in headings or ())
        found.setdefault(document, []).append(Page(number, text, spans))
    return found

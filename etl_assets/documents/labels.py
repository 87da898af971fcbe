"""The stage ``classifications`` as a collection wants it: its label sets, what was calibrated and corrected."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from etl_assets.documents.classification import techniques
from etl_assets.documents.classification.calibration import PlattLine
from etl_assets.documents.classification.corrections import Correction, corrected
from etl_assets.documents.classification.find import Classifying, classify_documents
from etl_assets.documents.classification.label_sets import sectors, threats
from etl_assets.documents.classification.serving import Served
from etl_assets.documents.knowledge import Outside, corrections_in
from etl_assets.documents.parameters import Classification
from etl_assets.ledger.corrections import Correction as Entered
from etl_assets.protocols.classifier import Label, LabelSet
from etl_assets.protocols.hosted_models import jina_classifier_name
from etl_assets.stages.spec import Computed, Parameters, Task

if TYPE_CHECKING:
    import polars as pl

TECHNIQUE = "technique"
"""The kind of rows about sentences; all other kinds are label sets."""


def classifying(settings: Classification) -> Classifying:
    """What is asked of a collection's documents. Scores are those of the sets' own thresholds, whatever is decided."""
    return Classifying(
        (threats(), sectors(), *_own_sets(settings)),
        techniques.THRESHOLD if settings.techniques else None,
    )


def _own_sets(settings: Classification) -> list[LabelSet]:
    """Label sets of the collection's own, in the order in which they are first named."""
    found: dict[str, list[Label]] = {}
    for line in settings.labels:
        name, _, keywords = line.partition(":")
        kind, _, label = name.strip().partition("/")
        words = tuple(word.strip() for word in keywords.split(",") if word.strip())
        found.setdefault(kind, []).append(Label(label, keywords=words))
    return [LabelSet(kind, tuple(labels)) for kind, labels in found.items()]


def other_classifier(settings: Classification) -> str:
    """The name of the classifier that scores the labels in place of the packaged one; "" where that does."""
    return jina_classifier_name(settings.model) if settings.classifier == "jina" else ""


def classification_parameters(settings: Classification, outside: Outside) -> Parameters:
    """What the stage's result depends on beside its input: the label sets, the models, and what was calibrated."""
    other = other_classifier(settings)
    lines = {
        calibrated_subject(*key): [line.slope, line.level]
        for key, line in calibration(outside).items()
        if key[2] in ("", other)
    }
    decided = {"threat": settings.threats, "sector": settings.sectors, "": settings.own}
    asked = {**classifying(settings).parameters(), "thresholds": decided, "calibration": lines}
    return {**asked, "classifier": other} if other else asked


def calibration(outside: Outside) -> dict[tuple[str, str, str], PlattLine]:
    """The line of each set, label and classifier ("" for the packaged one) that was learned from what people decided.

    Classifiers err in different ways, so each has lines of its own.
    """
    found = {
        one.subject: PlattLine(float(one.value["slope"]), float(one.value["level"]))
        for one in outside.corrections
        if one.kind == "calibration"
    }
    return {_calibrated(subject): found[subject] for subject in sorted(found)}


def calibrated_subject(kind: str, label: str, classifier: str) -> str:
    """What a calibration is about, as it is kept: ``set:label``, and ``@classifier`` of another than the packaged."""
    return f"{kind}:{label}@{classifier}" if classifier else f"{kind}:{label}"


def _calibrated(subject: str) -> tuple[str, str, str]:
    named, _, classifier = subject.partition("@")
    return (*_parted(named), classifier)


def classify(
    tasks: Sequence[Task], pages: "pl.DataFrame", knowledge: "pl.DataFrame", *, settings: Classification,
    outside: Outside, served: Served | None = None,
) -> Computed:  # fmt: skip
    """Rows of ``model.CLASSIFICATIONS`` for every task, as people corrected them.

    The facts of a document are its ``labels``: set -> accepted label -> score; and, where another classifier is
    ``served``, who scored them: see ``classify_documents``.
    """
    asked = classifying(settings)
    made = classify_documents(tasks, pages, classifying=asked, served=served)
    rows = _decided(made.rows, calibration(outside), settings)
    rows = corrected(rows, corrections_of(corrections_in(knowledge)))
    order = {task.document_id: place for place, task in enumerate(tasks)}
    made.rows = _ordered(rows, order)
    found = accepted_labels(made.rows)
    made.facts = {
        task.document_id: {"labels": found.get(task.document_id, {}), **made.facts.get(task.document_id, {})}
        for task in tasks
    }
    return made


def corrections_of(told: Mapping[str, Iterable[tuple[str, str, Mapping[str, object]]]]) -> list[Correction]:
    """What people said of the labels of documents, from rows of ``model.KNOWLEDGE``."""
    return [
        Correction(document, *_parted(subject), bool(value["accepted"]))
        for document, rows in told.items()
        for kind, subject, value in rows
        if kind == "label"
    ]


def entered_corrections(rows: Iterable[Entered]) -> list[Correction]:
    """The same, from rows of the ledger."""
    return [
        Correction(one.document_id, *_parted(one.subject), bool(one.value["accepted"]))
        for one in rows
        if one.kind == "label"
    ]


def accepted_labels(rows: "pl.DataFrame") -> dict[str, dict[str, dict[str, float]]]:
    """By document, each set's accepted labels with their scores, sets and labels in order."""
    import polars as pl

    found: dict[str, dict[str, dict[str, float]]] = {}
    mine = rows.filter(pl.col("accepted") & (pl.col("kind") != TECHNIQUE)).sort("document_id", "kind", "label")
    for document, kind, label, score in mine.select("document_id", "kind", "label", "score").iter_rows():
        found.setdefault(document, {}).setdefault(kind, {})[label] = round(score, 4)
    return found


def _decided(
    rows: "pl.DataFrame", lines: Mapping[tuple[str, str, str], PlattLine], settings: Classification
) -> "pl.DataFrame":
    """Scores as they were calibrated, and accepted as the collection's thresholds have it."""
    import polars as pl

    thresholds = {"threat": settings.threats, "sector": settings.sectors}
    scores: list[float] = []
    accepted: list[bool] = []
    other = other_classifier(settings)
    columns = ("kind", "label", "score", "accepted", "classifier")
    for kind, label, score, was, classifier in rows.select(columns).iter_rows():
        line = lines.get((kind, label, other if classifier == other else ""))
        scores.append(score if line is None else line.of(score))
        accepted.append(was if kind == TECHNIQUE else scores[-1] >= thresholds.get(kind, settings.own))
    return rows.with_columns(
        pl.Series("score", scores, dtype=pl.Float32), pl.Series("accepted", accepted, dtype=pl.Boolean)
    )


def _ordered(rows: "pl.DataFrame", order: Mapping[str, int]) -> "pl.DataFrame":
    """Documents in the order of their tasks; inside one the rows stay as they are."""
    import polars as pl

    place = pl.col("document_id").replace_strict(order, default=0, return_dtype=pl.Int64)
    return rows.sort(place, maintain_order=True)


def _parted(subject: str) -> tuple[str, str]:
    kind, _, label = subject.partition(":")
    return kind, label

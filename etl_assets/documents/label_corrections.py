"""What people say of labels and names in one document: made sense of, entered, and used for the next calibration."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_assets.documents.classification.calibration import LEAST_CORRECTIONS, Calibration, recalibrated
from etl_assets.documents.classification.corrections import Correction as LabelCorrection
from etl_assets.documents.classification.corrections import judged
from etl_assets.documents.classification.find import Classifying, classify_documents
from etl_assets.documents.classification.labelling import VERSION
from etl_assets.documents.classification.serving import Served
from etl_assets.documents.labels import (
    TECHNIQUE,
    calibrated_subject,
    classifying,
    entered_corrections,
    other_classifier,
)
from etl_assets.documents.parameters import Classification
from etl_assets.errors import ConfigError
from etl_assets.ledger import corrections as ledger_corrections
from etl_assets.ledger.corrections import Correction, Place
from etl_assets.ledger.database import Ledger
from etl_assets.protocols.classifier import LabelSet
from etl_assets.stages.spec import Computed, Task

if TYPE_CHECKING:
    import polars as pl


Judgement = tuple[str, float, bool]
"""A label, its score, and whether people say that it holds."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A line that was learned: scores of ``subject`` (see ``calibrated_subject``) are moved by it.

    ``judgements`` taught it.
    """

    subject: str
    slope: float
    level: float
    judgements: int


def label_subject(text: str, settings: Classification) -> str:
    """``set:label`` of what a person calls a label: with its set, or by a name that one set alone has.

    Raises:
        ConfigError: no set of the collection has it, or several have.
    """
    sets: Mapping[str, list[str]] = {
        one.name: [label.name for label in one.labels] for one in classifying(settings).label_sets
    }
    kind, colon, name = (part.strip().lower() for part in text.partition(":"))
    if colon and kind == TECHNIQUE and name:
        return f"{TECHNIQUE}:{name.upper()}"
    wanted, label = ([kind], name) if colon else (list(sets), kind)
    found = [f"{one}:{label}" for one in wanted if label in sets.get(one, ())]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"label {text!r}: several sets have it; say which: {', '.join(found)}")
    known = "; ".join(f"{one}: {', '.join(labels)}" for one, labels in sets.items())
    raise ConfigError(f"label {text!r}: the collection has none of this name. There are {known}")


def corrected_documents(ledger: Ledger, tenant: str, collection: str) -> list[Correction]:
    """The corrections of labels that are in force in a collection."""
    with ledger.reading() as connection:
        found = ledger_corrections.in_force(connection, tenant, collection)
    return [one for one in found if one.kind == "label" and not one.subject.startswith(f"{TECHNIQUE}:")]


def learned(
    corrections: Iterable[Correction], pages: "pl.DataFrame", settings: Classification, served: Served | None = None
) -> list[Calibrated]:  # fmt: skip
    """A line for each label on which people said enough; ``pages`` are those of the corrected documents.

    Documents that are gone teach nothing. The scores are those of before any calibration and correction, and each
    classifier learns from its own: those of ``served``, where that has the scores of a document, else the packaged one.
    """
    present = set(pages["document_id"].to_list())
    said = [one for one in entered_corrections(corrections) if one.document_id in present]
    asked = classifying(settings)
    tasks = [Task(document, "", "", "", "", 0) for document in sorted(present)]
    made = classify_documents(tasks, pages, classifying=Classifying(asked.label_sets, None), served=served)
    found: list[Calibrated] = []
    for one in asked.label_sets:
        mine = [correction for correction in said if correction.kind == one.name]
        for classifier in dict.fromkeys(("", other_classifier(settings))):
            theirs = [word for word in mine if _answered_by(made, word, classifier)]
            found += _lines(one, classifier, judged(made.rows, theirs, Calibration()), threshold_of(one, settings))
    return found


def _answered_by(made: Computed, word: LabelCorrection, classifier: str) -> bool:
    """Whether the scores of a corrected document are those of a classifier, "" for the packaged one."""
    who = made.facts.get(word.document_id, {}).get("classifiers", {})
    name = who.get(word.kind, "") if isinstance(who, Mapping) else ""
    return name == classifier if classifier else not name or str(name).startswith(VERSION)


def _lines(labels: LabelSet, classifier: str, told: list[Judgement], threshold: float) -> list[Calibrated]:
    counts = Counter(label for label, _, _ in told)
    return [
        Calibrated(calibrated_subject(labels.name, label, classifier), line.slope, line.level, counts[label])
        for label, line in recalibrated(told, threshold=threshold).items()
    ]


def threshold_of(labels: LabelSet, settings: Classification) -> float:
    """What a collection decided for a set."""
    return {"threat": settings.threats, "sector": settings.sectors}.get(labels.name, settings.own)


def keep_calibration(ledger: Ledger, tenant: str, collection: str, lines: Iterable[Calibrated], *, by: str) -> None:
    """Put lines into use from the next run on; those of other labels stay."""
    with ledger.writing() as connection:
        for one in lines:
            value = {"slope": one.slope, "level": one.level, "judgements": one.judgements}
            ledger_corrections.correct(
                connection, Place(tenant, collection), "calibration", one.subject, value, by=by
            )  # fmt: skip


ENOUGH = LEAST_CORRECTIONS
"""So many corrections of one label, of both kinds, teach a line."""

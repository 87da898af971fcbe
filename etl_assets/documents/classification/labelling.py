"""The labels of one document with their scores, and the sentences behind each."""

from collections.abc import Sequence
from dataclasses import dataclass

from etl_assets.documents.classification.advisories import sector_scores, telling
from etl_assets.documents.classification.evidence import Page, Span, said_in
from etl_assets.documents.classification.label_sets import sectors
from etl_assets.documents.classification.scoring import at_threshold, figures, line_of
from etl_assets.protocols.classifier import LabelSet

VERSION = "local-1"
SHOWN = 5
"""Sentences that are kept for a label: those that say most, in reading order."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A sentence that speaks for a label. ``contribution`` is its share, in (0, 1], of all that speaks for it."""

    span: Span
    contribution: float


@dataclass(frozen=True, slots=True)
class Scored:
    """One label of a document: its score in [0, 1], and up to ``SHOWN`` sentences behind it."""

    label: str
    score: float
    behind: tuple[Behind, ...]


def labels_of(pages: Sequence[Page], labels: LabelSet) -> list[Scored]:
    """Every label of the set, in its order, scored such that ``labels.threshold`` is the sensible cut.

    The result depends on the pages and the set alone. A document without text scores 0 throughout.
    """
    said = said_in(pages, labels)
    line = line_of(labels.name)
    chances = [line.chance(row) if one.sentences else 0.0 for row, one in zip(figures(said, pages), said, strict=True)]
    scores = [at_threshold(chance, line.cut, labels.threshold) if chance else 0.0 for chance in chances]
    if labels.name == "sector":
        scores = _with_advisories(pages, labels, scores)
    found = []
    for label, score, one in zip(labels.labels, scores, said, strict=True):
        heard = one.sentences
        if score >= labels.threshold and not heard:  # only the model of advisories says a label without a word of it
            heard = telling(pages, label.name)
        found.append(Scored(label.name, score, _behind(heard)))
    return found


def _with_advisories(pages: Sequence[Page], labels: LabelSet, scores: list[float]) -> list[float]:
    """The scores of an advisory, whose model knows the built-in sectors: labels that a set adds keep theirs."""
    known = said_in(pages, sectors())
    learned = sector_scores(pages, known, labels.threshold)
    return [learned.get(label.name, score) for label, score in zip(labels.labels, scores, strict=True)]


def _behind(sentences: Sequence[tuple[Span, float]]) -> tuple[Behind, ...]:
    """The sentences that say most, the earlier of equals, in reading order."""
    loudest = sorted(sentences, key=lambda one: (-one[1], one[0].page, one[0].start))[:SHOWN]
    whole = sum(heard for _, heard in sentences)
    return tuple(
        Behind(span, heard / whole) for span, heard in sorted(loudest, key=lambda one: (one[0].page, one[0].start))
    )

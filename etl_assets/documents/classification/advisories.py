"""Advisories on products of industry, which seldom say whom they concern: what their makers and products tell of it.

An advisory that names its sectors is believed. Of the others a linear model, trained on CISA's, knows the products.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from etl_assets.documents.classification.evidence import Page, Said, Span
from etl_assets.documents.classification.linear import LinearModel, load
from etl_assets.documents.classification.scoring import at_threshold, sigmoid
from etl_assets.documents.sentences import units

ADVISORIES_SHA256 = "f43e0c4f482d19a65c41517ad4cfbb6e80c4bae386be4d6284e3f9242d3fbd4e"
HEAD_PAGES = 20
HEAD = 20_000
"""Pages and code points of an advisory that are read: past them come long lists of products and hashes."""

SENTENCES = 400
"""Sentences of an advisory that are asked which of them tells a sector."""

STATED = 0.98
"""The score of a sector that the advisory itself states."""

_MARKS = re.compile(
    r"successful exploitation of (?:this|these) vulnerabilit|cvss (?:v[234]|vector)|has been assigned to this|"
    r"known public exploit|affected product|ics advisory|\bicsa-\d|\bics-cert\b|exploitable remotely|"
    r"remotely exploitable|low (?:skill level|attack complexity)"
)
_STATED = re.compile(r"critical infrastructure sectors?\b(?:[ \t:*_|-]|\n(?=[ \t]*[A-Z]))*([A-Z][^\n.;]{2,300})", re.I)
_NOTED = re.compile(r"\.text:([^\n]{2,300})\n[^\n]*\.title: critical infrastructure sectors", re.I)
_NAMES: Mapping[str, str] = {
    "critical manufacturing": "manufacturing", "energy": "energy", "oil & gas": "energy", "nuclear": "energy",
    "transportation": "transportation", "water and wastewater": "water-utilities", "dams": "water-utilities",
    "financial services": "financial", "healthcare": "healthcare", "government": "government",
    "information technology": "technology", "communications": "technology",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AdvisoryLine:
    """From a label's margin and evidence to its chance; ``priors`` and ``cuts`` are of the model's labels."""

    weights: tuple[float, ...]
    level: float
    priors: tuple[float, ...]
    cuts: tuple[float, ...]


@cache
def sectors_model() -> LinearModel:
    """The packaged model, checked once in a process; raises ConfigError as ``linear.load``."""
    return load("advisories.npz", ADVISORIES_SHA256)


def sector_scores(
    pages: Sequence[Page], said: Sequence[Said], threshold: float, model: LinearModel | None = None
) -> dict[str, float]:
    """Score of each sector for an advisory, {} for other texts. ``said`` is what it says for the model's labels.

    ``model`` stands in for the packaged one, where that is measured on what it was not trained on.
    """
    text = "\n".join(page.text for page in pages[:HEAD_PAGES])
    if not is_advisory(text.lower()):
        return {}
    model = model or sectors_model()
    line = _line(model)
    margins = model.margins([read_by_model(text)])[0]
    found = {}
    for place, label in enumerate(model.labels):
        row = signs(float(margins[place]), line.priors[place], said[place], said)
        chance = sigmoid(line.level + sum(w * x for w, x in zip(line.weights, row, strict=True)))
        found[label] = at_threshold(chance, line.cuts[place], threshold)
    stated = stated_sectors(pages)
    return {label: max(score, STATED) if label in stated else score for label, score in found.items()}


def telling(pages: Sequence[Page], label: str) -> list[tuple[Span, float]]:
    """The sentences of an advisory that speak for a sector by the model alone, and how loudly each does."""
    model = sectors_model()
    place = model.labels.index(label)
    spans = [
        Span(page.page, one.start, one.end) for page in pages[:HEAD_PAGES] for one in units(page.text, page.headings)
    ]
    texts = {page.page: page.text for page in pages}
    spans = spans[:SENTENCES]
    margins = model.margins([read_by_model(texts[one.page][one.start : one.end]) for one in spans])[:, place]
    heard = margins - model.bias[place]
    return [(span, float(said)) for span, said in zip(spans, heard, strict=True) if said > 0]


def signs(margin: float, prior: float, said: Said, of_all: Sequence[Said]) -> tuple[float, ...]:
    """What the chance of one sector of an advisory is read from; ``prior`` is the log of its share of advisories."""
    loudest = max(one.strength for one in of_all)
    share = said.strength / loudest if loudest else 0.0
    return margin, prior, math.log1p(said.strength), share, math.log1p(len(said.terms))


def _line(model: LinearModel) -> AdvisoryLine:
    weights, priors, cuts = (tuple(map(float, model.extra[name])) for name in ("line", "priors", "cuts"))
    return AdvisoryLine(weights[:-1], weights[-1], priors, cuts)


def is_advisory(low: str) -> bool:
    """Whether a text in lower case has at least two different marks of an advisory on a product."""
    return len({mark.group() for mark in _MARKS.finditer(low[:HEAD])}) > 1


def stated_sectors(pages: Sequence[Page]) -> frozenset[str]:
    """The sectors that a line "Critical infrastructure sectors: ..." names, or a note of a CSAF file."""
    found: set[str] = set()
    for page in pages:
        if "infrastructure sector" not in page.text.lower():
            continue
        for match in (*_NOTED.finditer(page.text), *_STATED.finditer(page.text)):
            words = match.group(1).lower()
            found.update(label for name, label in _NAMES.items() if name in words)
    return frozenset(found)


def read_by_model(text: str) -> str:
    """What of an advisory the model reads: advice that stands in all of them is left out."""
    return _ADVICE.sub("", text[:HEAD])


_ADVICE = re.compile(
    r"(?:Organizations observing|CISA (?:recommends|reminds|also)|Additional mitigation|No known public|ICS-CERT "
    r"reminds|Do not click|Recognizing|Avoiding Social|Locate control|Minimize network|When remote)[^\n]*"
)

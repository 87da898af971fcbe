"""What a document says for a label, as a score: a few figures of its evidence and a line through them, learned.

The line is one for all labels of a set, so it serves labels that nothing was ever trained on as well.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from etl_assets.documents.classification.evidence import Page, Said
from etl_assets.documents.classification.linear import packaged

FIGURES = ("strength", "density", "lead", "heading", "victims", "variety", "share")
SCORES_SHA256 = "a3207eb3cd70357803795229e5d91a63803c294620b9467a000c04d40d350637"


@dataclass(frozen=True, slots=True)
class Line:
    """``weights`` of ``FIGURES`` and a ``level``: the logit of the chance that a reader would give the label.

    ``cut`` is the chance (0 to 1) above which a yes is right most often, by F1 on the train part.
    """

    weights: tuple[float, ...]
    level: float
    cut: float

    def chance(self, figures: Sequence[float]) -> float:
        """In (0, 1)."""
        return sigmoid(self.level + sum(w * x for w, x in zip(self.weights, figures, strict=True)))


def figures(said: Sequence[Said], pages: Sequence[Page]) -> list[tuple[float, ...]]:
    """``FIGURES`` of each label."""
    length = max(sum(len(page.text) for page in pages), 1)
    thousands = max(length / 1000, 0.3)
    loudest = max((one.strength for one in said), default=0.0)
    return [
        (
            math.log1p(one.strength), math.log1p(4 * one.strength / thousands), math.log1p(one.lead),
            one.heading, math.log1p(one.as_victim), math.log1p(len(one.terms)),
            one.strength / loudest if loudest else 0.0,
        )
        for one in said
    ]  # fmt: skip


def line_of(kind: str) -> Line:
    """The learned line of ``threat`` and ``sector``; other sets have that of sectors, which reads keywords alike."""
    return _lines().get(kind, _lines()["sector"])


@cache
def _lines() -> dict[str, Line]:
    stored = json.loads(packaged("scores.json", SCORES_SHA256))
    return {kind: Line(tuple(one["weights"]), one["level"], one["cut"]) for kind, one in stored.items()}


def at_threshold(chance: float, cut: float, threshold: float) -> float:
    """``chance`` moved, in logits, so that ``cut`` comes to stand at ``threshold``; the order stays."""
    return sigmoid(logit(chance) - logit(cut) + logit(threshold))


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def logit(p: float) -> float:
    """The inverse of ``sigmoid``; 0 and 1 are taken as 1e-6 from their ends."""
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))

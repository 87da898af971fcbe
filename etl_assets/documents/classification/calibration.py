"""Scores made to mean what they say: a line in logits for each label (Platt), learned from what people confirmed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from etl_assets.documents.classification.scoring import at_threshold, logit, sigmoid
from etl_assets.stages.spec import Parameters

LEAST_CORRECTIONS = 10
"""Fewer judged scores than this, or none of one kind, teach nothing: the line stays what it was."""

HELD = 4.0
"""How many judgements of the line as it is the new ones must outweigh."""


@dataclass(frozen=True, slots=True)
class PlattLine:
    """``slope`` > 0 and ``level`` in logits: calibrated = sigmoid(slope * logit(score) + level)."""

    slope: float = 1.0
    level: float = 0.0

    def of(self, score: float) -> float:
        """The calibrated score, in [0, 1]; the order of scores stays."""
        return sigmoid(self.slope * logit(score) + self.level)

    def undone(self, calibrated: float) -> float:
        """The score that ``calibrated`` was made of."""
        return sigmoid((logit(calibrated) - self.level) / self.slope)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A line for each label that has one. ``cut`` is the raw score that comes to stand at a set's threshold."""

    lines: Mapping[str, PlattLine] = field(default_factory=lambda: MappingProxyType({}))
    cut: float | None = None

    def of(self, label: str, score: float, threshold: float) -> float:
        """The calibrated score of a label."""
        if label in self.lines:
            return self.lines[label].of(score)
        return score if self.cut is None else at_threshold(score, self.cut, threshold)

    def parameters(self) -> Parameters:
        """Plain values, for the stage's parameters."""
        lines = {label: [line.slope, line.level] for label, line in sorted(self.lines.items())}
        return {"lines": lines, "cut": self.cut}


def recalibrated(judged: Iterable[tuple[str, float, bool]], *, threshold: float) -> dict[str, PlattLine]:
    """A line for each label from (label, score, whether people say yes), such that ``threshold`` parts yes from no.

    The order of the judgements does not matter. Labels with under ``LEAST_CORRECTIONS`` judgements, or judgements of
    one kind only, are left out. Where people confirm the scores the line stays close to no change at all.
    """
    by_label: dict[str, list[tuple[float, bool]]] = {}
    for label, score, is_right in judged:
        by_label.setdefault(label, []).append((score, is_right))
    return {
        label: _fitted(sorted(rows), threshold)
        for label, rows in sorted(by_label.items())
        if len(rows) >= LEAST_CORRECTIONS and len({is_right for _, is_right in rows}) == 2
    }


def _fitted(rows: Sequence[tuple[float, bool]], threshold: float) -> PlattLine:
    """Newton's steps on the log loss of a level, after the slope of one: few corrections cannot settle two numbers.

    The chance is moved so that an even chance stands at ``threshold``; ``HELD`` keeps the level near none.
    """
    middle = logit(threshold)
    level = 0.0
    for _ in range(50):
        chances = [sigmoid(logit(score) - middle + level) for score, _ in rows]
        slope = sum(is_right - chance for (_, is_right), chance in zip(rows, chances, strict=True)) - level / HELD
        curve = sum(chance * (1 - chance) for chance in chances) + 1 / HELD
        step = max(-1.0, min(1.0, slope / curve))
        level += step
        if math.isclose(step, 0, abs_tol=1e-9):
            break
    return PlattLine(1.0, level)

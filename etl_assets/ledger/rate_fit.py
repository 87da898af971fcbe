"""From what was measured to what a unit of work takes, and what a process takes to begin with it. Figures only."""

from collections.abc import Sequence
from dataclasses import dataclass

ONE_RUN_ERROR = 0.5
ASSUMED_ERROR = 0.75
LEAST_ERROR = 0.2
"""Shares of an estimate by which it may be off: after one run, with none at all, and at best."""

_TIED = 0.005
"""How much it costs, in squared shares of one measurement, that start and unit differ from what is assumed of both by
unlike factors: it decides where the measurements do not, since a single one cannot tell a start from a unit."""

_LEAST_S = 1e-4
"""What a measurement took at least: clocks tell no less."""

_ROUNDS = 6
_USUAL = 0.25
"""Measurements further off than this share count less, the more the further: a machine is busy at times."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``each_s`` for every unit and ``start_s`` where a process begins; not ``measured`` where both are assumed.

    ``error`` is the share by which an estimate may be off either way. ``begins`` is the share of runs that were the
    first of their process: that many of the further runs of a plan begin anew; 0 where processes live on.
    """

    each_s: float
    start_s: float = 0.0
    measured: bool = True
    error: float = LEAST_ERROR
    begins: float = 1.0

    def seconds(self, units: float, *, further: bool = False) -> float:
        """How long so many units take; nothing for none. ``further`` is of runs after the first one of a plan."""
        return self.begin_s(further=further) + self.each_s * units if units else 0.0

    def begin_s(self, *, further: bool = False) -> float:
        """What the beginning takes of it."""
        return self.start_s * (self.begins if further else float(self.begins > 0))


@dataclass(frozen=True, slots=True)
class Measured:
    """Units of work and the seconds that they took; ``is_start`` says that a process began with them.

    ``run_id`` tells how many runs there are.
    """

    units: float
    seconds: float
    is_start: bool
    run_id: str


def fitted(points: Sequence[Measured], assumed: Rate, *, begins: float = 1.0) -> Rate | None:
    """The rate of what was measured; ``None`` when no unit was.

    Start and unit are what is ``assumed`` of them, times a factor each: those with which the shares by which single
    measurements are off are least, few that are far off left out of account. Where one run is on record both factors
    are one: it says how fast the machine is, and not which part of it was the start.
    """
    rows = [
        (assumed.start_s * one.is_start / took, assumed.each_s * one.units / took)
        for one in points
        if one.units > 0 and (took := max(one.seconds, _LEAST_S))
    ]
    if not rows:
        return None
    weights = [1.0] * len(rows)
    start, each = 1.0, 1.0
    for _ in range(_ROUNDS):
        start, each = _solved(rows, weights)
        off = [abs(1 - start * a - each * b) for a, b in rows]
        weights = [min(1.0, _USUAL / one) if one else 1.0 for one in off]
    runs = {one.run_id for one in points if one.units > 0}
    error = ONE_RUN_ERROR if len(runs) == 1 else max(LEAST_ERROR, 2 * sum(off) / len(off))
    return Rate(each * assumed.each_s, start * assumed.start_s, True, error, begins)


def _solved(rows: Sequence[tuple[float, float]], weights: Sequence[float]) -> tuple[float, float]:
    """The factors, neither below 0, with the least weighted squares of 1 - start * a - each * b, tied to each other."""
    aa = sum(w * a * a for w, (a, _) in zip(weights, rows, strict=True))
    ab = sum(w * a * b for w, (a, b) in zip(weights, rows, strict=True))
    bb = sum(w * b * b for w, (_, b) in zip(weights, rows, strict=True))
    at = sum(w * a for w, (a, _) in zip(weights, rows, strict=True))
    bt = sum(w * b for w, (_, b) in zip(weights, rows, strict=True))
    same = (at + bt) / (aa + 2 * ab + bb)
    tied = _TIED / (same * same)
    aa, ab, bb = aa + tied, ab - tied, bb + tied
    size = aa * bb - ab * ab
    start, each = (at * bb - bt * ab) / size, (bt * aa - at * ab) / size
    if start < 0:
        return 0.0, bt / (bb - tied)
    return (start, each) if each > 0 else (at / aa, 0.05 * same)

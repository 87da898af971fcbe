"""What one stage of one run did, in numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class StageReport:
    """``wanted`` documents lacked an output; ``computed`` were computed, ``reused`` copied from an equal result.

    ``rows`` were written in all, of which ``rows_computed`` by the stage's function (others were known); ``seconds``
    is wall time inside that function, ``elapsed_s`` wall time of the stage. ``left`` documents are for the next run.
    """

    stage: str
    wanted: int = 0
    computed: int = 0
    reused: int = 0
    quarantined: int = 0
    rows: int = 0
    rows_computed: int = 0
    tokens: int = 0
    seconds: float = 0.0
    elapsed_s: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)
    left: int = 0

    def add(self, other: "StageReport") -> None:
        """Count in what the same stage did under another recipe."""
        for name in ("wanted", "computed", "reused", "quarantined", "rows", "rows_computed", "tokens", "left"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.seconds += other.seconds
        self.elapsed_s += other.elapsed_s
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.computed or self.reused or self.quarantined)

    def as_json(self) -> dict[str, Any]:
        """Plain values for the ledger, the CLI and Dagster's metadata."""
        return {
            "stage": self.stage, "wanted": self.wanted, "computed": self.computed, "reused": self.reused,
            "quarantined": self.quarantined, "rows": self.rows, "rows_computed": self.rows_computed,
            "tokens": self.tokens, "seconds": round(self.seconds, 3), "elapsed_s": round(self.elapsed_s, 3),
            "reasons": dict(self.reasons), "left": self.left,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage of a partition is. ``done`` and ``total`` count documents, ``rows`` what was written so far."""

    partition: str
    stage: str
    done: int
    total: int
    rows: int
    elapsed_s: float

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the rate so far; ``None`` before the first batch."""
        return self.elapsed_s / self.done * (self.total - self.done) if self.done else None


Watcher = Callable[[Progress], None]


def ignore(_progress: Progress) -> None:
    """A watcher that does nothing."""

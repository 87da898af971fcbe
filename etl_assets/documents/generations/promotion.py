"""Letting another index generation answer: whether it may, by what it shows and how well it answers, and the swap."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from etl_assets.documents.parameters import GenerationRules
from etl_assets.ledger import generations as ledger_generations
from etl_assets.ledger.database import Ledger, clock, digest_of
from etl_assets.ledger.generations import BY_COMMAND, Generation, Unequal
from etl_assets.ledger.publications import lock_collection
from etl_assets.protocols.comparison import Quality

SHOWN = 20
"""How many paths of each kind a verdict names."""

Writing = Callable[[], AbstractContextManager[Any]]
"""Begins a writing transaction of the ledger, under a lease or not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a generation may answer. ``reasons`` are why not; ``promoted_at`` is the sequence of the swap."""

    generation_id: int
    live: int
    reasons: tuple[str, ...]
    unequal: Unequal
    quality: Quality | None = None
    promoted_at: int | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Plain values; of the paths of each kind the first ``SHOWN``."""
        unequal = asdict(self.unequal)
        counts = {kind: len(unequal[kind]) for kind in ("lacking", "held", "newer", "added")}
        return {
            "generation": self.generation_id, "live": self.live, "passed": self.passed, "reasons": list(self.reasons),
            "documents": self.unequal.documents, **counts,
            "paths": {kind: unequal[kind][:SHOWN] for kind in counts if unequal[kind]},
            "quality": None if self.quality is None else self.quality.as_json(), "promoted_at": self.promoted_at,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """A generation that may take the live one's place, and the producers of its recipe."""

    generation: Generation
    producers: Collection[int]


def objections(
    unequal: Unequal, quality: Quality | None, rules: GenerationRules, *, accept_missing: bool = False
) -> list[str]:
    """Why a generation must not answer yet, in words that say what to do; none, if it may."""
    found = []
    if unequal.lacking:
        found.append(
            f"it still lacks {len(unequal.lacking):,} documents, {unequal.lacking[0]} is the first; "
            "`etl-assets generation build` computes them"
        )
    if unequal.missing_share > rules.missing_share and not accept_missing:
        found.append(
            f"{len(unequal.held):,} of {unequal.documents:,} documents are in quarantine under its settings, "
            f"{unequal.held[0]} is the first, and generations.missing_share allows {rules.missing_share:.1%}; "
            "mend them, or promote it with --accept-missing"
        )
    return found if quality is None else [*found, *_worse(quality, rules)]


def _worse(quality: Quality, rules: GenerationRules) -> Iterable[str]:
    drops = (
        (f"recall@{quality.k}", quality.live_recall, quality.recall, rules.recall_drop, "recall_drop"),
        (
            f"recall@{quality.k} of vectors alone", quality.live_vector_recall, quality.vector_recall,
            rules.recall_drop, "recall_drop",
        ),
        ("nDCG@10", quality.live_ndcg, quality.ndcg, rules.ndcg_drop, "ndcg_drop"),
    )  # fmt: skip
    for name, before, after, allowed, setting in drops:
        if before is not None and after is not None and before - after > allowed + 1e-9:
            yield (
                f"{name} falls from {before:.3f} to {after:.3f}, and generations.{setting} allows a fall of {allowed}"
            )
    if quality.overlap is not None and quality.overlap < rules.least_overlap - 1e-9:
        yield (
            f"only {quality.overlap:.1%} of the first {quality.k} documents are the same, and "
            f"generations.least_overlap asks for {rules.least_overlap:.1%}"
        )


def swap(
    writing: Writing, candidate: Candidate, rules: GenerationRules, quality: Quality | None, *,
    accept_missing: bool = False, keep: bool | None = None,
) -> Verdict:  # fmt: skip
    """Let a generation answer in place of the live one in one transaction, unless something speaks against it.

    Under the lock of the collection: what both show is compared again, since it may have changed meanwhile. The
    verdict is noted with the generation.

    Raises:
        ConfigError: the generation is in another state by now.
    """
    one = candidate.generation
    with writing() as connection:
        lock_collection(connection, one.cid)
        ledger_generations.one_of(connection, one.cid, one.state, one.generation_id)
        live = ledger_generations.live_generation(connection, one.cid)
        assert live is not None  # the first generation of a collection is live from its first row on
        unequal = ledger_generations.compare_visible(connection, live, one.generation_id, candidate.producers)
        reasons = objections(unequal, quality, rules, accept_missing=accept_missing)
        at = None
        if not reasons:
            kept = rules.keep_previous_days > 0 if keep is None else keep
            at = ledger_generations.promote(connection, one.cid, one.generation_id, keep=kept)
            ledger_generations.note_verdict(connection, live, {"superseded_at": clock(connection)})
        verdict = Verdict(one.generation_id, live, tuple(reasons), unequal, quality, at)
        noted = {**verdict.as_json(), "at": clock(connection), "basis": _basis(connection, live, one, rules)}
        if "superseded_at" in (one.verdict or {}):
            noted["superseded_at"] = (one.verdict or {})["superseded_at"]
        ledger_generations.note_verdict(connection, one.generation_id, noted)
        return verdict


def consider(
    ledger: Ledger, writing: Writing, candidate: Candidate, rules: GenerationRules,
    ask: Callable[[int, int], Quality | None], notes: list[str],
) -> int | None:  # fmt: skip
    """Promote a generation that is complete and passes, if the settings leave that to the runs; its number.

    What it lacks, or why it may not answer, goes to ``notes``. ``ask`` compares the answers of (live, other); nobody
    is asked again while nothing has changed.
    """
    one = candidate.generation
    name = f"index generation {one.generation_id}"
    with ledger.reading() as connection:
        live = ledger_generations.live_generation(connection, one.cid)
        if live is None:
            return None
        unequal = ledger_generations.compare_visible(connection, live, one.generation_id, candidate.producers)
    if unequal.lacking:
        notes.append(f"{name} still lacks {len(unequal.lacking)} documents; {live} goes on answering")
        return None
    if rules.promote == "manual" or one.origin == BY_COMMAND:
        notes.append(f"{name} is complete and waits for `etl-assets generation promote`; {live} goes on answering")
        return None
    known = known_verdict(ledger, one, rules)
    if known is not None and not known["passed"]:
        notes.append(f"{name} is not promoted: {'; '.join(known['reasons'])}")
        return None
    may_not = objections(unequal, None, rules)
    verdict = swap(writing, candidate, rules, None if may_not else ask(live, one.generation_id))
    if verdict.passed:
        return one.generation_id
    notes.append(f"{name} is not promoted: {'; '.join(verdict.reasons)}")
    return None


def known_verdict(ledger: Ledger, one: Generation, rules: GenerationRules) -> Mapping[str, Any] | None:
    """The verdict noted with a generation, if nothing it rests on has changed since."""
    if not one.verdict or "basis" not in one.verdict:
        return None
    with ledger.reading() as connection:
        live = ledger_generations.live_generation(connection, one.cid)
        return (
            one.verdict if live is not None and one.verdict["basis"] == _basis(connection, live, one, rules) else None
        )


def retire_expired(connection: Any, cid: int, rules: GenerationRules) -> list[int]:
    """Retire the previous generation once it was kept for as long as the settings say; which ones."""
    lock_collection(connection, cid)
    at, gone = clock(connection), []
    for one in ledger_generations.generations(connection, cid).values():
        since = (one.verdict or {}).get("superseded_at")
        if one.state == "previous" and since is not None and at - since >= rules.keep_previous_days * 86_400:
            ledger_generations.retire(connection, one)
            gone.append(one.generation_id)
    return gone


def _basis(connection: Any, live: int, one: Generation, rules: GenerationRules) -> str:
    """Digest of what a verdict rests on: the rules, and everything that both generations show."""
    return digest_of([asdict(rules), live, ledger_generations.shown_until(connection, (live, one.generation_id))])

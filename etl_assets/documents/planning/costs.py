"""From counted work to seconds, calls, bytes and money."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from etl_assets.documents.generations.in_use import Served
from etl_assets.documents.model import CLASSIFICATIONS, EMBEDDINGS, HOSTED_EMBEDDINGS, STAGES
from etl_assets.documents.parameters import CollectionSettings
from etl_assets.documents.planning.budget import OverBudget, refuse_beyond
from etl_assets.documents.planning.outlook import StageOutlook
from etl_assets.documents.planning.prices import label_tariff, tariff_of
from etl_assets.errors import ConfigError
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.publications import STORES
from etl_assets.ledger.rate_fit import Rate
from etl_assets.ledger.rates import row_bytes, run_rates, stage_rate
from etl_assets.ledger.spend import FREE, Tariff
from etl_assets.protocols.embedder import CountsRequests

RAW = "raw_documents"
COMMIT = "published_documents"
_ORDER = (RAW, *(stage.name for stage in STAGES), *STORES, COMMIT)


@dataclass(slots=True)
class StagePlan:
    """Work of one step. ``rows`` are written, ``rows_computed`` of them computed; ``tokens`` are embedded, or sent
    to a classifier, in ``calls``.

    ``size_bytes`` are stored. ``measured`` is false where ``seconds`` rest on an assumption; they may be off by
    ``error_s`` either way. ``why`` is reason -> documents. ``currency`` is "" where nothing is paid, "?" where
    nobody gave a price.
    """

    stage: str
    documents: int = 0
    reused: int = 0
    quarantined: int = 0
    rows: int = 0
    rows_computed: int = 0
    tokens: int = 0
    calls: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    error_s: float = 0.0
    money: float = 0.0
    currency: str = ""
    measured: bool = True
    why: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"seconds": round(self.seconds, 3), "error_s": round(self.error_s, 3)}

    def take(self, seconds: float, rate: Rate) -> None:
        """Add time; by an assumption, if the rate is one."""
        self.seconds += seconds
        self.error_s += seconds * rate.error
        self.measured = self.measured and (rate.measured or not seconds)


class Costs:
    """Adds up the steps of a collection's runs."""

    def __init__(self, ledger: Ledger, settings: CollectionSettings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._steps: dict[str, StagePlan] = {}
        self._begun: set[str] = set()
        self._rates: dict[str, Rate] | None = None
        self._tariffs: dict[str, Tariff] = {}

    def stages(self) -> list[StagePlan]:
        """Every step with work, in the order of a run."""
        return [self._steps[name] for name in _ORDER if name in self._steps]

    def add_arrival(self, place: Partition, size_bytes: int) -> None:
        """A document to take in, and so many bytes to copy."""
        step = self._step(RAW)
        rate = self._run_rates(place)[RAW]
        step.documents += 1
        step.size_bytes += size_bytes
        step.take(rate.each_s, rate)

    def add_stage(self, place: Partition, served: Served, found: StageOutlook) -> None:
        """A stage of one partition under one generation."""
        if not found.documents:
            return
        step = self._step(found.stage)
        for name in ("documents", "reused", "quarantined", "rows", "rows_computed", "tokens"):
            setattr(step, name, getattr(step, name) + getattr(found, name))
        for reason, count in found.why.items():
            step.why[reason] = step.why.get(reason, 0) + count
        tariff = _tariff(found.stage, served)
        with self._ledger.reading() as connection:
            step.size_bytes += round(found.rows * row_bytes(connection, place, found.stage))
            if found.stage != EMBEDDINGS.name:
                rate = stage_rate(connection, place, found.stage, "")
                step.take(rate.seconds(found.rows_computed, further=self._is_further(found.stage)), rate)
            if tariff.model:
                rate = stage_rate(connection, place, found.stage, tariff.model)
                further = self._is_further(f"{found.stage} {tariff.model}")
                step.take(rate.seconds(found.tokens, further=further), rate)
        if tariff.is_paid:
            self._tariffs[found.stage] = tariff
            step.calls += _calls(found, served)
            step.money += found.tokens * tariff.money / 1e6
            step.currency = tariff.currency

    def add_store(self, place: Partition, store: str, rows: int, why: str) -> None:
        """A document to write to a store."""
        step = self._step(store)
        rate = self._run_rates(place)[store]
        step.documents += 1
        step.rows += rows
        step.why[why] = step.why.get(why, 0) + 1
        step.take(rate.each_s * rows, rate)

    def add_run(self, place: Partition) -> None:
        """A run of a partition: what it takes beside its steps, to begin, to commit and to tidy."""
        rates = self._run_rates(place)
        for name in (RAW, *STORES):
            if name in self._steps:
                self._steps[name].take(rates[name].begin_s(further=self._is_further(name)), rates[name])
        step = self._step(COMMIT)
        step.take(rates["commit"].start_s, rates["commit"])

    def over_budget(self, place: Partition) -> str:
        """Why the run would stop before it embeds the first text; "" if it would not."""
        return self._lacking(place, (EMBEDDINGS.name,))

    def labels_over_budget(self, place: Partition) -> str:
        """Why the packaged classifier would serve in place of one that is paid for, which is then planned; else ""."""
        why = "" if CLASSIFICATIONS.name not in self._tariffs else self._lacking(place, tuple(self._tariffs))
        if why:
            step = self._steps[CLASSIFICATIONS.name]
            step.tokens, step.calls, step.money, step.currency = 0, 0, 0.0, ""
        return why

    def _lacking(self, place: Partition, stages: Sequence[str]) -> str:
        """What the budget lacks for the tokens of these stages together."""
        budget, paid = self._settings.budget, [name for name in stages if name in self._tariffs]
        tokens = sum(self._steps[name].tokens for name in paid)
        if not (tokens and budget.is_limited):
            return ""
        last = self._tariffs[paid[-1]]
        money = sum(self._steps[name].money for name in paid) * 1e6 / tokens
        try:
            refuse_beyond(self._ledger, place, budget, replace(last, money=money), tokens)
        except (OverBudget, ConfigError) as e:
            return str(e)
        return ""

    def _is_further(self, name: str) -> bool:
        """Whether the plan had such work before: the process that has begun with it does the rest as well."""
        was = name in self._begun
        self._begun.add(name)
        return was

    def _step(self, name: str) -> StagePlan:
        return self._steps.setdefault(name, StagePlan(name))

    def _run_rates(self, place: Partition) -> dict[str, Rate]:
        if self._rates is None:
            with self._ledger.reading() as connection:
                self._rates = run_rates(connection, place)
        return self._rates


def _tariff(stage: str, served: Served) -> Tariff:
    """By which model a stage computes, and what that costs."""
    if stage == CLASSIFICATIONS.name:
        return label_tariff(served.classifier, served.settings)
    return tariff_of(served.embedder, served.settings) if stage == EMBEDDINGS.name else FREE


def _calls(found: StageOutlook, served: Served) -> int:
    """Requests to the vendor: one for each window that is read in its context, else as the embedder packs texts."""
    if found.windows or found.calls:
        return found.windows or found.calls
    embedder = served.embedder
    if not isinstance(embedder, CountsRequests):
        return 0
    counts = [tokens for _, sent in found.sent for tokens in sent]
    return sum(embedder.requests_for(part) for part in batches(counts, HOSTED_EMBEDDINGS.batch_rows))

"""From counted work to seconds, calls, bytes and money."""

from dataclasses import dataclass, field
from typing import Any

from etl_assets.documents.budget import OverBudget, refuse_beyond
from etl_assets.documents.generations import Served
from etl_assets.documents.model import EMBEDDINGS, HOSTED_EMBEDDINGS, STAGES
from etl_assets.documents.parameters import CollectionSettings
from etl_assets.documents.prices import tariff_of
from etl_assets.documents.stage_outlook import StageOutlook
from etl_assets.errors import ConfigError
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.publications import STORES
from etl_assets.ledger.rates import Rate, row_bytes, run_rates, stage_rate
from etl_assets.ledger.spend import FREE, Tariff
from etl_assets.protocols.embedder import CountsRequests

RAW = "raw_documents"
COMMIT = "published_documents"
_ORDER = (RAW, *(stage.name for stage in STAGES), *STORES, COMMIT)


@dataclass(slots=True)
class StagePlan:
    """Work of one step. ``rows`` are written, ``rows_computed`` of them computed; ``tokens`` are embedded in ``calls``.

    ``size_bytes`` are stored. ``measured`` is false where ``seconds`` rest on an assumption. ``why`` is reason ->
    documents. ``currency`` is "" where nothing is paid, "?" where nobody gave a price.
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
    money: float = 0.0
    currency: str = ""
    measured: bool = True
    why: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"seconds": round(self.seconds, 3)}

    def take(self, seconds: float, rate: Rate) -> None:
        """Add time; by an assumption, if the rate is one."""
        self.seconds += seconds
        self.measured = self.measured and (rate.measured or not seconds)


class Costs:
    """Adds up the steps of a collection's runs."""

    def __init__(self, ledger: Ledger, settings: CollectionSettings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._steps: dict[str, StagePlan] = {}
        self._rates: dict[str, Rate] | None = None
        self._tariff: Tariff = FREE

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
        tariff = tariff_of(served.embedder, served.settings) if found.stage == EMBEDDINGS.name else FREE
        with self._ledger.reading() as connection:
            rate = stage_rate(connection, place, found.stage, tariff.model)
            step.size_bytes += round(found.rows * row_bytes(connection, place, found.stage))
        units = found.tokens if found.stage == EMBEDDINGS.name else found.rows_computed
        step.take(rate.seconds(units), rate)
        if tariff.is_paid:
            self._tariff = tariff
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
                self._steps[name].take(rates[name].start_s, rates[name])
        step = self._step(COMMIT)
        step.take(rates["commit"].start_s, rates["commit"])

    def over_budget(self, place: Partition) -> str:
        """Why the paid stage would stop before its first call; "" if it would not."""
        budget = self._settings.budget
        if not (self._tariff.is_paid and budget.is_limited):
            return ""
        tokens = self._steps[EMBEDDINGS.name].tokens
        try:
            refuse_beyond(self._ledger, place, budget, self._tariff, tokens)
        except (OverBudget, ConfigError) as e:
            return str(e)
        return ""

    def _step(self, name: str) -> StagePlan:
        return self._steps.setdefault(name, StagePlan(name))

    def _run_rates(self, place: Partition) -> dict[str, Rate]:
        if self._rates is None:
            with self._ledger.reading() as connection:
                self._rates = run_rates(connection, place)
        return self._rates


def _calls(found: StageOutlook, served: Served) -> int:
    """Requests to the vendor: one for each window that is read in its context, else as the embedder packs texts."""
    if found.windows:
        return found.windows
    embedder = served.embedder
    if not isinstance(embedder, CountsRequests):
        return 0
    counts = [tokens for _, sent in found.sent for tokens in sent]
    return sum(embedder.requests_for(part) for part in batches(counts, HOSTED_EMBEDDINGS.batch_rows))

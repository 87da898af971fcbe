"""What labels cost where another classifier than the packaged one scores them: asked for, and entered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_assets.documents.classification.find import asked_texts
from etl_assets.documents.classification.serving import Served
from etl_assets.documents.labels import classifying
from etl_assets.documents.model import CLASSIFICATIONS
from etl_assets.documents.parameters import Budget, Classification
from etl_assets.documents.planning.budget import OverBudget, refuse_beyond
from etl_assets.documents.platform import Platform
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import Lease
from etl_assets.ledger.spend import Tariff, Used, record_spend
from etl_assets.protocols.classifier import HostedClassifier
from etl_assets.stages.spec import Task

if TYPE_CHECKING:
    import polars as pl

OVER_BUDGET = "over budget"
NOT_ASKED = "not asked yet"


@dataclass(slots=True)
class LabelTill:
    """The budget of a collection, and the spend of one run of a partition. ``closed`` lets nothing be sent."""

    ledger: Ledger
    lease: Lease
    partition: Partition
    run_id: str
    tariff: Tariff
    budget: Budget
    closed: bool = False

    def refusal(self, tokens: int) -> str:
        """ "" if so many tokens may be sent. Asked before every request: other runs spend from the same budget.

        Raises:
            ConfigError: the budget is in money and nothing tells what the classifier costs in that currency.
        """
        if not (self.tariff.is_paid and self.budget.is_limited):
            return ""
        try:
            refuse_beyond(self.ledger, self.partition, self.budget, self.tariff, tokens)
        except OverBudget:
            return OVER_BUDGET
        return OVER_BUDGET if self.closed else ""

    def enter(self, texts: int, tokens: int, seconds: float) -> None:
        """Enter an answer as it comes, so that a kill loses what one request cost at most."""
        with self.lease.writing() as connection:
            used = Used(texts, tokens, seconds)
            record_spend(connection, self.partition, CLASSIFICATIONS.name, self.tariff, self.run_id, used)


@dataclass(slots=True)
class CountingTill:
    """Counts what would be sent, for a plan, and lets nothing be sent."""

    tokens: int = 0
    calls: int = 0

    def refusal(self, tokens: int) -> str:
        """Never ""."""
        self.tokens += tokens
        self.calls += 1
        return NOT_ASKED

    def enter(self, texts: int, tokens: int, seconds: float) -> None:
        """Nothing is sent, so nothing is entered."""
        raise AssertionError("a plan sends nothing")


def tokens_of(
    classifier: HostedClassifier, settings: Classification, batches: Iterable[tuple[Sequence[Task], "pl.DataFrame"]]
) -> int:  # fmt: skip
    """Tokens that labels of these documents (tasks and pages, batch by batch) would cost beside what is known."""
    till = CountingTill()
    served = Served(classifier, till)
    for tasks, pages in batches:
        texts = asked_texts(tasks, pages)
        for labels in classifying(settings).label_sets:
            served.answers(texts, labels)
    return till.tokens


def kept_answers(platform: Platform, tenant: str, settings: Classification) -> Served | None:
    """The chosen classifier as far as its answers are kept; ``None`` where the packaged one was chosen."""
    opened = platform.classifier(settings)
    return None if opened is None else Served(opened.for_scope(tenant), CountingTill())

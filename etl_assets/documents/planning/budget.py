"""Whether what a stage is about to send to a hosted model is still within the budget of the tenant or collection."""

from etl_assets.documents.parameters import Budget, CollectionSettings
from etl_assets.documents.planning.prices import UNPRICED
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.spend import Spent, Tariff, spent
from etl_assets.stages.engine import ComputeRows, Work, uncomputed
from etl_assets.stages.spec import Stage


class OverBudget(PermanentError):
    """Nothing was sent: it would cost more than is left. The documents wait, and what was published answers on."""


def needs_asking(settings: CollectionSettings, tariff: Tariff) -> bool:
    """Whether there is a budget that what a model takes counts towards."""
    return tariff.is_paid and settings.budget.is_limited


def keep_within(work: Work, stage: Stage, settings: CollectionSettings, keyed: ComputeRows | None = None) -> None:
    """Return if all that a stage has to send is within the budget, by what is computed already and what is not.

    Raises:
        OverBudget: it is not; the message says whose budget it is, what is left of it and what is needed.
        ConfigError: the budget is in money and nothing tells what the model costs in that currency.
        SegmentLost: as ``uncomputed``.
    """
    tokens = sum(int(rows["token_count"].sum()) for rows in uncomputed(work, stage, keyed))
    refuse_beyond(work.ledger, work.partition, settings.budget, work.tariff, tokens)


def refuse_beyond(ledger: Ledger, place: Partition, budget: Budget, tariff: Tariff, tokens: int) -> None:
    """Return if so many more tokens are within the budget; raises as ``keep_within``."""
    if not tokens:
        return
    _refuse_other_currency(place, budget, tariff)
    whose = None if budget.scope == "tenant" else place.collection
    with ledger.reading() as connection:
        before = spent(connection, place.tenant, whose, per=budget.per, currency=budget.currency)
    money = tokens * tariff.money / 1e6
    lacking = _lacking(budget, before, tokens, money)
    if lacking:
        name = f"tenant {place.tenant}" if whose is None else f"collection {place.tenant}/{place.collection}"
        raise OverBudget(
            f"partition {place.key}: what is due for {tariff.model} needs {' and '.join(lacking)} of the budget of "
            f"{name} for this {budget.per}; nothing was sent and the documents wait. Raise budget.money or "
            f"budget.tokens in collections.yaml, or wait for the next {budget.per} (UTC)"
        )


def amount(money: float) -> str:
    """Money as people write it, to a hundredth of a millionth: prices of a text are that small."""
    return f"{money:,.8f}".rstrip("0").rstrip(".")


def _lacking(budget: Budget, before: Spent, tokens: int, money: float) -> list[str]:
    found = []
    if budget.tokens is not None and before.tokens + tokens > budget.tokens:
        found.append(f"{tokens:,} tokens, and {max(budget.tokens - before.tokens, 0):,} of {budget.tokens:,} are left")
    if budget.money is not None and before.money + money > budget.money:
        left = max(budget.money - before.money, 0.0)
        found.append(f"{amount(money)} {budget.currency}, and {amount(left)} of {amount(budget.money)} are left")
    return found


def _refuse_other_currency(place: Partition, budget: Budget, tariff: Tariff) -> None:
    if budget.money is None or tariff.currency == budget.currency:
        return
    known = "nobody gave a price" if tariff.currency == UNPRICED else f"the price is in {tariff.currency}"
    raise ConfigError(
        f"{place.tenant}/{place.collection}: budget.money is in {budget.currency}, and for {tariff.model} {known}; "
        "set budget.price_per_million_tokens in collections.yaml"
    )

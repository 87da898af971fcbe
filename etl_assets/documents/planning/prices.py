"""What hosted models cost: the vendors' list prices, which a collection's own price replaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from etl_assets.documents.parameters import CollectionSettings
from etl_assets.ledger.spend import FREE, Tariff
from etl_assets.protocols.classifier import HostedClassifier
from etl_assets.protocols.embedder import HostedEmbedder

if TYPE_CHECKING:
    from etl_assets.protocols.embedder import Embedder

UNPRICED = "?"
"""Currency of a model that is paid for and whose price nobody gave."""


@dataclass(frozen=True, slots=True)
class Price:
    """``money`` is for a million tokens, in ``currency``, as ``source`` said on ``seen`` (YYYY-MM-DD)."""

    money: float
    currency: str
    source: str
    seen: str


def _openai(money: float) -> Price:
    return Price(money, "USD", "developers.openai.com/api/docs/models", "2026-11-21")


PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "openai/text-embedding-3-small": _openai(0.02),
        "openai/text-embedding-3-large": _openai(0.13),
    }
)
"""List prices by vendor and model, without taxes and discounts: what is paid stands in a contract.

Jina AI tells its prices to accounts only, so its models have none here.
"""


def tariff_of(embedder: "Embedder", settings: CollectionSettings) -> Tariff:
    """What a collection pays for its vectors: its own price, else the list price; nothing for a model of this machine.

    The currency is ``UNPRICED`` where neither is known.
    """
    name = embedder.model.name
    if not isinstance(embedder, HostedEmbedder):
        return Tariff(name)
    return _tariff(name, settings.budget.price_per_million_tokens, settings)


def label_tariff(classifier: HostedClassifier | None, settings: CollectionSettings) -> Tariff:
    """What a collection pays for the scores of its labels; nothing where the packaged classifier gives them."""
    if classifier is None:
        return FREE
    own = settings.budget.classifier_price_per_million_tokens
    return _tariff(classifier.name, settings.budget.price_per_million_tokens if own is None else own, settings)


def _tariff(name: str, own: float | None, settings: CollectionSettings) -> Tariff:
    if own is not None:
        return Tariff(name, own, settings.budget.currency)
    listed = PRICES.get(name.partition("+")[0].partition("@")[0])
    return Tariff(name, listed.money, listed.currency) if listed is not None else Tariff(name, 0.0, UNPRICED)

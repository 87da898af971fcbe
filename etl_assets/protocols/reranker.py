"""Putting the best hits of a search in a better order by reading them beside the query."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


class Reranker(Protocol):
    """Every method may raise TransientError."""

    @property
    def name(self) -> str:
        """Which model it is, as answers name it among their sources."""
        ...

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One score for each text, in the order given; higher is better."""
        ...


@runtime_checkable
class TenantReranker(Reranker, Protocol):
    """A reranker that keeps its answers, tenant by tenant."""

    def for_scope(self, scope: str) -> Reranker:
        """The same reranker for another tenant."""
        ...


def for_tenant(reranker: Reranker, tenant: str) -> Reranker:
    """The reranker to use for a tenant's texts and questions."""
    return reranker.for_scope(tenant) if isinstance(reranker, TenantReranker) else reranker

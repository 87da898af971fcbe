"""The candidates of one question: what the vector and the keyword index find in every collection, confirmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from etl_assets.errors import EtlAssetsError, PermanentError, TransientError
from etl_assets.ledger.snapshots import CollectionView
from etl_assets.protocols.indexes import Filters, IndexHit
from etl_assets.protocols.visibility import Visibility
from etl_assets.search.deadline import Deadline, Outcome, run_all
from etl_assets.search.fusion import Fused, reciprocal_rank_fusion
from etl_assets.search.model import Degraded, PoolHit, Ranking, Request, SearchPlaces
from etl_assets.search.opening import Opened, space_of
from etl_assets.search.sources import Confirmed, confirmed_hits, resolved

VECTOR, KEYWORD, GRAPH = "vector", "keyword", "graph"

Key = tuple[str, str, str, str]


@dataclass(slots=True)
class Pools:
    """Hits by list, best first, and how it went. One list for each source, and for each embedding model."""

    lists: dict[str, list[PoolHit]] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    degraded: list[Degraded] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    full: bool = False
    """Whether some collection gave as many hits as it was asked for, so that there may be more."""

    @property
    def by_key(self) -> dict[Key, PoolHit]:
        """Every hit once."""
        return {hit.key: hit for hits in self.lists.values() for hit in hits}

    def fused(self, ranking: Ranking, *, depth: int | None = None) -> list[Fused[Key]]:
        """All lists, cut at ``depth``, as one."""
        keys = {name: [hit.key for hit in hits[:depth]] for name, hits in self.lists.items()}
        weights = {name: ranking.weights.get(name.split()[0], 1.0) for name in keys}
        return reciprocal_rank_fusion(keys, k=ranking.k, weights=weights)


def allowed_publications(
    places: SearchPlaces, confirmed: Confirmed, request: Request, deadline: Deadline
) -> tuple[Mapping[tuple[str, str], tuple[int, ...]], list[Degraded]]:
    """What the entity filter leaves of each collection, and which names no visible document mentions.

    Raises:
        TransientError: the graph did not answer: without it the filter would let everything through.
    """
    call = {GRAPH: lambda: resolved(confirmed, places.graph, request.entities)}
    try:
        allowed, unknown = run_all(call, deadline)[GRAPH].result()
    except EtlAssetsError as e:
        names = ", ".join(request.entities)
        raise TransientError(f"search: filtering by {names} needs the graph, which did not answer: {e}") from e
    said = [Degraded("entities", f"no document that may be searched mentions {name!r}") for name in unknown]
    return allowed, said


def gather(
    places: SearchPlaces,
    request: Request,
    at: Opened,
    confirmed: Confirmed,
    k: int,
    allowed: Mapping[tuple[str, str], tuple[int, ...]] | None,
    deadline: Deadline,
) -> Pools:
    """At most ``k`` confirmed hits of each list.

    Raises:
        TransientError, PermanentError: no source answered at all.
    """
    pools = Pools()
    calls: dict[tuple[str, int], Callable[[], tuple[list[PoolHit], bool]]] = {}
    lost: dict[tuple[str, str], list[str]] = {}
    errors: list[EtlAssetsError] = []
    models = {view.embedding_digest for view in at.views if view.dimension}
    for index, view in enumerate(at.views):
        filters = Filters(request.document_types, request.since, request.until, labels=request.labels)
        if allowed is not None:
            filters = replace(filters, publications=allowed[view.tenant, view.collection])
            if not filters.publications:
                continue
        calls[KEYWORD, index] = partial(_keyword, places, confirmed, view, request.query, filters, k)
        if view.dimension and view.embedding_digest in at.vectors:
            name = VECTOR if len(models) == 1 else f"{VECTOR} {view.embedding_model} {view.embedding_digest[:8]}"
            calls[name, index] = partial(_vector, places, confirmed, view, at, filters, k)
        elif view.dimension:
            error = at.unavailable[view.embedding_digest]
            errors.append(error)
            lost.setdefault((VECTOR, str(error)), []).append(_named(view))
    outcomes = run_all(calls, deadline)
    errors += _sorted_in(pools, outcomes, at.views, k, lost)
    if errors and not pools.answered:
        kind = TransientError if any(isinstance(error, TransientError) for error in errors) else PermanentError
        raise kind("search: no source answered: " + "; ".join(f"{name}: {why}" for name, why in lost)) from errors[0]
    pools.degraded += [Degraded(name, f"{why} ({_few(where)})") for (name, why), where in lost.items()]
    return pools


def _sorted_in(
    pools: Pools,
    outcomes: Mapping[tuple[str, int], Outcome[tuple[list[PoolHit], bool]]],
    views: Sequence[CollectionView],
    k: int,
    lost: dict[tuple[str, str], list[str]],
) -> list[EtlAssetsError]:
    """Enter each outcome where it belongs; the errors met."""
    errors = []
    for (name, index), outcome in outcomes.items():
        source = name.split()[0]
        pools.seconds[source] = max(pools.seconds.get(source, 0.0), outcome.seconds)
        if outcome.error is not None:
            errors.append(outcome.error)
            lost.setdefault((source, str(outcome.error)), []).append(_named(views[index]))
            continue
        hits, short = outcome.result()
        pools.answered.add(source)
        pools.lists.setdefault(name, []).extend(hits)
        pools.full = pools.full or len(hits) >= k
        if short:
            hidden = "showed too much that is superseded; some hits may be missing"
            lost.setdefault((source, hidden), []).append(_named(views[index]))
    for hits in pools.lists.values():
        hits.sort(key=lambda hit: (-hit.score, hit.key))
        del hits[k:]
    return errors


def _keyword(
    places: SearchPlaces, confirmed: Confirmed, view: CollectionView, query: str, filters: Filters, k: int
) -> tuple[list[PoolHit], bool]:
    def ask(wanted: int, visible: Visibility) -> list[IndexHit]:
        return places.keyword.query(space_of(view), query, k=wanted, visible=visible, filters=filters)

    return confirmed_hits(confirmed, view, k, ask)


def _vector(
    places: SearchPlaces, confirmed: Confirmed, view: CollectionView, at: Opened, filters: Filters, k: int
) -> tuple[list[PoolHit], bool]:
    vector = at.vectors[view.embedding_digest]

    def ask(wanted: int, visible: Visibility) -> list[IndexHit]:
        return places.vector.query(space_of(view), vector, k=wanted, visible=visible, filters=filters)

    return confirmed_hits(confirmed, view, k, ask)


def _named(view: CollectionView) -> str:
    return f"{view.tenant}/{view.collection}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

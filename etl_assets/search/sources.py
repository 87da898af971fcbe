"""Asking the indexes and the graph at one ledger sequence, and confirming by the ledger whatever they answer.

A store may still hold what is superseded, or hold already what is not committed: it is told what to leave out, and
each row it gives is checked all the same. When that leaves too few, it is asked again at the same sequence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from etl_assets.ledger import imports
from etl_assets.ledger import places as ledger_places
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.snapshots import CollectionView, VisibleDocument, visible_documents
from etl_assets.protocols.declared_models import GivenModel
from etl_assets.protocols.graph import KnowledgeGraph, Neighbour, RelationEdge, Scope
from etl_assets.protocols.indexes import IndexHit
from etl_assets.protocols.visibility import Visibility
from etl_assets.search.model import Degraded, PoolHit, SearchPlaces

ROUNDS = 4
"""How often a source is asked at most. Each time it is told what it must not show again."""

Ask = Callable[[int, Visibility], list[IndexHit]]
"""(how many, what may be seen) -> hits, best first."""


class Confirmed:
    """Which publications stand for a document at the views' sequence. Each is read once, so an answer is of one piece.

    (Asked twice, the ledger could name a newer version of the bytes for a publication whose contents are the same.)
    """

    def __init__(self, ledger: Ledger, views: Sequence[CollectionView]) -> None:
        self._ledger = ledger
        self._views = {(view.tenant, view.collection): view for view in views}
        self._known: dict[tuple[int, int], VisibleDocument | None] = {}
        self._lock = threading.Lock()
        self.seconds = 0.0

    @property
    def views(self) -> list[CollectionView]:
        """Every collection searched."""
        return list(self._views.values())

    def documents(self, view: CollectionView, publications: Iterable[int]) -> dict[int, VisibleDocument]:
        """The documents that these publications stand for; those that are not visible in ``view`` are absent."""
        wanted = set(publications)
        started = time.monotonic()
        new = [number for number in wanted if (view.generation_id, number) not in self._known]
        if new:
            found = visible_documents(self._ledger, view.generation_id, new, view.visible.sequence)
            with self._lock:
                for number in new:
                    document = found.get(number)
                    mine = document if document is not None and document.cid == view.cid else None
                    self._known.setdefault((view.generation_id, number), mine)
                self.seconds += time.monotonic() - started
        shown = ((number, self._known[view.generation_id, number]) for number in wanted)
        return {number: document for number, document in shown if document is not None}

    def locate(
        self, tenant: str, pairs: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], tuple[CollectionView, VisibleDocument]]:
        """Those of (document id, publication) that are visible in any collection of a tenant."""
        wanted = set(pairs)
        found: dict[tuple[str, int], tuple[CollectionView, VisibleDocument]] = {}
        for view in self.views:
            if view.tenant == tenant:
                left = wanted - found.keys()
                documents = self.documents(view, (number for _, number in left))
                for pair in left:
                    document = documents.get(pair[1])
                    if document is not None and document.document_id == pair[0]:
                        found[pair] = (view, document)
        return found


def confirmed_hits(confirmed: Confirmed, view: CollectionView, k: int, ask: Ask) -> tuple[list[PoolHit], bool]:
    """The best ``k`` visible hits of one source in one collection, and whether there may be more that it hid."""
    visible, wanted = view.visible, k
    good: list[PoolHit] = []
    for _ in range(ROUNDS):
        raw = ask(wanted, visible)
        documents = confirmed.documents(view, {hit.publication for hit in raw})
        good = [
            PoolHit(view, documents[hit.publication], hit.chunk_id, hit.score)
            for hit in raw
            if hit.publication in documents and documents[hit.publication].document_id == hit.document_id
        ]
        if len(good) >= k or len(raw) < wanted:
            return good[:k], False
        visible = hiding(visible, {hit.publication for hit in raw} - documents.keys())
        wanted *= 2  # for a store that shows it all the same
    return good[:k], True


def hiding(visible: Visibility, publications: Iterable[int]) -> Visibility:
    """``visible`` without these publications too."""
    ranges = sorted([*visible.hidden, *((number, number) for number in publications)])
    merged: list[tuple[int, int]] = []
    for low, high in ranges:
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return replace(visible, hidden=tuple(merged))


def scope_of(views: Iterable[CollectionView], tenant: str) -> Scope:
    """What of a tenant's graph may be walked."""
    return Scope(tenant, {view.collection: view.visible for view in views if view.tenant == tenant})


def confirmed_walk(
    confirmed: Confirmed, tenant: str, walk: Callable[[Scope], list[Neighbour]]
) -> tuple[list[Neighbour], bool]:
    """What a walk reaches through visible documents only, and whether it had to be cut.

    A walk that went through a document which the ledger does not show is walked again without it, since what it
    reached on later hops may hang on that document alone.
    """
    scope = scope_of(confirmed.views, tenant)
    reached: list[Neighbour] = []
    for _ in range(ROUNDS):
        reached = walk(scope)
        used = {pair for neighbour in reached for pair in neighbour.documents}
        wrong = used - confirmed.locate(tenant, used).keys()
        if not wrong:
            return reached, False
        numbers = {number for _, number in wrong}
        scope = replace(scope, visible={name: hiding(seen, numbers) for name, seen in scope.visible.items()})
    shown = confirmed.locate(tenant, used).keys()
    kept = [replace(one, documents=tuple(pair for pair in one.documents if pair in shown)) for one in reached]
    return [replace(one, weight=len(one.documents)) for one in kept if one.documents], True


def confirmed_relations(
    confirmed: Confirmed, tenant: str, ask: Callable[[Scope], list[RelationEdge]]
) -> list[RelationEdge]:
    """What visible documents state. One that the ledger does not show is asked for no more, so that others come up."""
    scope = scope_of(confirmed.views, tenant)
    found: list[RelationEdge] = []
    for _ in range(ROUNDS):
        found = ask(scope)
        used = {(one.document_id, one.publication) for one in found}
        shown = confirmed.locate(tenant, used).keys()
        if used == shown:
            return found
        numbers = {number for _, number in used - shown}
        scope = replace(scope, visible={name: hiding(seen, numbers) for name, seen in scope.visible.items()})
    return [one for one in found if (one.document_id, one.publication) in shown]


def elsewhere(places: SearchPlaces, views: Sequence[CollectionView]) -> list[Degraded]:
    """Stores that the settings name elsewhere than where these collections were published to."""
    if not places.at or not views:
        return []
    with places.ledger.reading() as connection:
        found = ledger_places.elsewhere(connection, places.at, [view.cid for view in views])
    return [
        Degraded(store, f"it is set to {places.at[store]}, and was published to {place}: run sync to publish it there")
        for store, by_place in sorted(found.items())
        for place in sorted(by_place)
    ]


def unsearched_vectors(places: SearchPlaces, views: Sequence[CollectionView]) -> list[Degraded]:
    """Collections with imported documents whose vectors another model made than the one that answers there."""
    if not views:
        return []
    with places.ledger.reading() as connection:
        models = imports.models_of(connection, [view.cid for view in views])
    found = []
    for view in views:
        for one in models.get(view.cid, ()):
            model = GivenModel(one["kind"], one["name"], one["dimension"])
            embedder = (view.settings or {}).get("embedder", {})
            if view.dimension and not one.get("embed") and not model.is_chosen(embedder, view.dimension):
                found.append(
                    f"{view.tenant}/{view.collection} has documents that were imported with vectors of {model}; they "
                    f"are found by keywords only until collections.yaml has {model.settings} for it and sync was run"
                )
    return [Degraded("vector", reason) for reason in found]


def resolved(
    confirmed: Confirmed, graph: KnowledgeGraph, names: Sequence[str]
) -> tuple[Mapping[tuple[str, str], tuple[int, ...]], list[str]]:
    """Publications, by (tenant, collection), of documents that mention every named entity; and names that none does."""
    allowed: dict[tuple[str, str], tuple[int, ...]] = {(view.tenant, view.collection): () for view in confirmed.views}
    unknown = set(names)
    for tenant in sorted({tenant for tenant, _ in allowed}):
        scope = scope_of(confirmed.views, tenant)
        common: set[tuple[str, int]] | None = None
        for name in names:
            found = graph.find(scope, name.strip(), limit=1000)
            mentioning = set(graph.mentioning(scope, [entity.entity_id for entity in found])) if found else set()
            if mentioning:
                unknown.discard(name)
            common = mentioning if common is None else common & mentioning
        for collection, publication in sorted(common or ()):
            if (tenant, collection) in allowed:
                allowed[tenant, collection] += (publication,)
    return allowed, [name for name in names if name in unknown]

"""What a search needs before its clock starts: the query's vectors, the libraries loaded, then one ledger snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from etl_assets.errors import EtlAssetsError, PermanentError, TransientError
from etl_assets.ledger.snapshots import CollectionView, snapshot
from etl_assets.protocols.indexes import IndexSpace
from etl_assets.search.deadline import Deadline, run_all
from etl_assets.search.model import SearchPlaces

PREPARATION_LIMIT_S = 30.0
"""How long loading a model and embedding a query may take. No snapshot is held meanwhile, so nothing waits for it."""

_SNAPSHOTS = 3


@dataclass(frozen=True, slots=True)
class Opened:
    """A reader's point in time. ``vectors`` are by digest of the embedding model, and so are the reasons for none.

    ``deadline`` counts from just before the snapshot: later than that, what it shows may be collected.
    """

    views: Sequence[CollectionView]
    vectors: Mapping[str, NDArray[np.float32]]
    unavailable: Mapping[str, EtlAssetsError]
    deadline: Deadline
    embed_s: float
    snapshot_s: float

    @property
    def sequence(self) -> int:
        """The ledger sequence that is read; 0 when nothing is published."""
        return max((view.visible.sequence for view in self.views), default=0)


def space_of(view: CollectionView) -> IndexSpace:
    """Where a view's rows are in the indexes."""
    return IndexSpace(view.tenant, view.collection, view.generation_id)


def opened(
    places: SearchPlaces, query: str, *, tenant: str | None, collection: str | None, time_limit_s: float,
    generation_id: int | None = None,
) -> Opened:  # fmt: skip
    """Embed the query with every model that the collections' live generations hold, then take the snapshot.

    ``generation_id`` stands in for the live one of its collection.

    Which models these are is seen in a first snapshot, which is thrown away: embedding may take long.
    """
    vectors: dict[str, NDArray[np.float32]] = {}
    unavailable: dict[str, EtlAssetsError] = {}
    embed_s = 0.0
    for attempt in range(_SNAPSHOTS):
        deadline = Deadline(time_limit_s)
        views = snapshot(places.ledger, tenant=tenant, collection=collection, generation_id=generation_id)
        snapshot_s = time_limit_s - deadline.left_s
        known = vectors.keys() | unavailable.keys()
        new = [view for view in views if view.dimension and view.embedding_digest not in known]
        if (not new and (places.warmth.done or not views)) or attempt == _SNAPSHOTS - 1:
            break
        started = time.monotonic()
        _prepare(places, query, views, new, vectors, unavailable)
        embed_s += time.monotonic() - started
    changed = TransientError("the collection changed its embedding model just now; ask again")
    unavailable.update({view.embedding_digest: changed for view in new})
    return Opened(views, vectors, unavailable, deadline, embed_s, snapshot_s)


def _prepare(
    places: SearchPlaces,
    query: str,
    views: Sequence[CollectionView],
    new: Sequence[CollectionView],
    vectors: dict[str, NDArray[np.float32]],
    unavailable: dict[str, EtlAssetsError],
) -> None:
    by_digest: dict[str, list[CollectionView]] = {}
    for view in new:
        by_digest.setdefault(view.embedding_digest, []).append(view)
    calls: dict[str, Callable[[], NDArray[np.float32] | None]] = {
        digest: partial(_embedded, places, of_digest, query) for digest, of_digest in by_digest.items()
    }
    if not places.warmth.done:
        # A store that cannot be warmed says why when it is asked, so the outcome does not matter here.
        calls[""] = partial(_warm, places, views[0])
    for digest, outcome in run_all(calls, Deadline(PREPARATION_LIMIT_S)).items():
        if digest and outcome.value is not None:
            vectors[digest] = outcome.value
        elif digest and outcome.error is not None:
            unavailable[digest] = outcome.error


def _embedded(places: SearchPlaces, views: Sequence[CollectionView], query: str) -> NDArray[np.float32]:
    """The query's vector, by the first embedder that is the very model these collections hold."""
    reasons = []
    for view in views:
        embedder = places.embedder_for(view)
        if embedder is not None and embedder.model.digest == view.embedding_digest:
            vector = embedder.embed_query(query)
            if vector.shape != (view.dimension,) or not bool(np.isfinite(vector).all()):
                raise PermanentError(f"{embedder.model.name} gave no vector of {view.dimension} finite components")
            return vector
        now = "none is configured" if embedder is None else f"{embedder.model.name} is configured, a different one"
        reasons.append(f"{view.tenant}/{view.collection} holds vectors of {view.embedding_model}, and {now}")
    raise PermanentError("; ".join(reasons) + ": run sync to build its index anew, or configure that model again")


def _warm(places: SearchPlaces, view: CollectionView) -> None:
    """Load what a first query would load: LanceDB and polars take 2.4 s to import, longer than a search may run."""
    import polars  # noqa: F401

    places.warmth.done = True
    places.keyword.counts(space_of(view), [])
    places.vector.counts(space_of(view), [])

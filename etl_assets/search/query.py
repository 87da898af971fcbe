"""One question, one cited answer: what the command line, the HTTP service and the web page all call.

A search reads at one ledger sequence and is over before anything it may read is collected, so an answer holds the
old version of a document or the new one, never both and never none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from etl_assets.errors import TransientError
from etl_assets.protocols.reranker import Reranker, for_tenant
from etl_assets.search.citations import ChunkRow, best_cited
from etl_assets.search.deadline import Deadline, run_all
from etl_assets.search.evaluation import judged_id
from etl_assets.search.facets import document_facets, entity_facets, related_entities
from etl_assets.search.fusion import Fused, best_by_document
from etl_assets.search.grouping import with_repeats_named
from etl_assets.search.model import Answer, Degraded, Facets, Hit, PoolHit, RelatedEntity, Request, SearchPlaces
from etl_assets.search.opening import Opened, opened
from etl_assets.search.pools import GRAPH, Key, Pools, allowed_publications, gather
from etl_assets.search.sources import Confirmed, elsewhere, unsearched_vectors

SOURCES_SHARE = 0.6
"""Of the time limit: what the indexes may take of it, so that there is time left to read what they found."""

EVALUATION_LIMIT_S = 60.0

ALL_TENANTS = "*"
"""In whose name a search over all tenants is reranked; no tenant can have this name."""

MOST_CHUNKS = 5000

_PARTS = ("embed", "snapshot", "vector", "keyword", "verify", "fuse", "cite", "rerank", "facets", "graph", "total")


def search(
    places: SearchPlaces,
    query: str,
    *,
    tenant: str | None = None,
    collection: str | None = None,
    document_types: Iterable[str] = (),
    since: date | None = None,
    until: date | None = None,
    entities: Iterable[str] = (),
    labels: Iterable[str] = (),
    limit: int = 20,
    neighbours: int = 50,
    hops: int = 2,
    time_limit_s: float | None = None,
) -> Answer:
    """The ``limit`` chunks that answer ``query`` best, cited, with facets and related entities.

    What could not answer in time, or failed, is named in ``degraded``, and the others answer. ``time_limit_s`` may
    only shorten the places' own limit; it counts from the ledger snapshot, for which the query is embedded before.
    Filters are those of ``Request``.

    Raises:
        ConfigError: the query is blank, or a number or a filter is out of its bounds.
        TransientError: nothing answered, the lake could not be read in time, or an entity filter met no graph.
        PermanentError: nothing answered, and nothing will.
    """
    request = Request(
        _whole(query), tenant, collection, tuple(kind.strip().casefold() for kind in document_types), since, until,
        tuple(entities), tuple(label.strip().casefold() for label in labels), limit, neighbours, hops,
    )  # fmt: skip
    return _Search(places, request, min(places.time_limit_s, time_limit_s or places.time_limit_s)).answer()


def search_documents(
    places: SearchPlaces, query: str, *, tenant: str | None = None, collection: str | None = None, depth: int = 100,
    generation_id: int | None = None,
) -> dict[str, list[tuple[str, float]]]:  # fmt: skip
    """Ranked documents by source: ``keyword``, ``vector`` where there are vectors, and ``hybrid``, best first.

    With a reranker ``reranked`` too. A document is named by its path without the extension and stands where its best
    chunk does. At least ``depth`` documents of each source, if it finds so many. The head of ``hybrid``, or of
    ``reranked`` where it is, is in the order in which ``search`` answers. ``generation_id`` stands in for the live
    index generation of its collection.

    Raises:
        TransientError, PermanentError: a source, the lake or the reranker did not answer: figures without it would
            mean something else.
    """
    request = Request(_whole(query), tenant, collection)
    at = opened(
        places, request.query, tenant=tenant, collection=collection, time_limit_s=EVALUATION_LIMIT_S,
        generation_id=generation_id,
    )  # fmt: skip
    confirmed = Confirmed(places.ledger, at.views)
    k = max(places.ranking.pool, 3 * depth)
    while True:
        pools = gather(places, request, at, confirmed, k, None, at.deadline)
        if pools.degraded:
            lost = "; ".join(f"{one.source}: {one.reason}" for one in pools.degraded)
            raise TransientError(f"search: not every source answered: {lost}")
        ranked = {name: _documents((hit, hit.score) for hit in hits) for name, hits in sorted(pools.lists.items())}
        if not pools.full or k >= MOST_CHUNKS or all(len(documents) >= depth for documents in ranked.values()):
            ranked["hybrid"] = _hybrid(places, pools)
            if places.reranker is not None:
                ranked["reranked"] = _reranked(places, places.reranker, request, pools, at.deadline, ranked["hybrid"])
            return ranked
        k *= 2


def _hybrid(places: SearchPlaces, pools: Pools) -> list[tuple[str, float]]:
    """Documents in the order of an answer's hits, then those that only a deeper pool holds."""
    by_key = pools.by_key
    head = _documents((by_key[one.key], one.score) for one in pools.fused(places.ranking, depth=places.ranking.pool))
    shown = {document for document, _ in head}
    least = head[-1][1] if head else 0.0
    deep = _documents((by_key[one.key], one.score) for one in pools.fused(places.ranking))
    return head + [(document, min(score, least)) for document, score in deep if document not in shown]


def _reranked(
    places: SearchPlaces,
    reranker: Reranker,
    request: Request,
    pools: Pools,
    deadline: Deadline,
    hybrid: Sequence[tuple[str, float]],
) -> list[tuple[str, float]]:
    """Documents whose chunks were reranked, in the order of an answer's hits, then the others as in ``hybrid``."""
    order = [pools.by_key[one.key] for one in pools.fused(places.ranking, depth=places.ranking.pool)]
    cited, problems = best_cited(places, order, places.ranking.rerank_pool, deadline)
    if problems:
        raise TransientError(f"search: not every hit could be read: {'; '.join(problems)}; run: etl-assets check")
    if not cited:
        return list(hybrid)
    used = for_tenant(reranker, request.tenant or ALL_TENANTS)
    scores = used.scores(request.query, [row.text for _, row in cited])
    if len(scores) != len(cited):
        raise TransientError(f"search: {used.name} gave {len(scores)} scores for {len(cited)} texts; try later")
    head = _documents((hit, score) for (hit, _), score in zip(cited, scores, strict=True))
    shown, least = {document for document, _ in head}, head[-1][1]
    # A fused score is below 1, so these fall on from the least of the others.
    return head + [(document, least - 1.0 + score) for document, score in hybrid if document not in shown]


def _documents(hits: Iterable[tuple[PoolHit, float]]) -> list[tuple[str, float]]:
    return best_by_document((judged_id(hit.document.path), score) for hit, score in hits)


def _whole(query: str) -> str:
    """The query as text that every model can read: lone surrogates, from undecodable arguments, become "?"."""
    return query.encode("utf-8", "replace").decode()


class _Search:
    """One search on its way to its answer."""

    def __init__(self, places: SearchPlaces, request: Request, time_limit_s: float) -> None:
        self._places = places
        self._request = request
        self._time_limit_s = time_limit_s
        self._seconds: dict[str, float] = {}
        self._degraded: list[Degraded] = []
        self._sources: set[str] = set()

    def answer(self) -> Answer:
        started = time.monotonic()
        request = self._request
        at = opened(
            self._places, request.query, tenant=request.tenant, collection=request.collection,
            time_limit_s=self._time_limit_s,
        )  # fmt: skip
        confirmed = Confirmed(self._places.ledger, at.views)
        pools = self._pools(at, confirmed)
        began = time.monotonic()
        order = pools.fused(self._places.ranking)
        self._seconds["fuse"] = time.monotonic() - began
        hits, facets = self._cited_and_counted(pools, order, confirmed, at.deadline)
        related = self._related(pools, hits, confirmed, at.deadline)
        self._seconds |= {"verify": confirmed.seconds, "total": time.monotonic() - started}
        return Answer(
            request.query, hits, related, facets, self._timings(), tuple(sorted(self._sources)),
            tuple(self._degraded), at.sequence,
        )  # fmt: skip

    def _pools(self, at: Opened, confirmed: Confirmed) -> Pools:
        request, places = self._request, self._places
        self._seconds |= {"embed": at.embed_s, "snapshot": at.snapshot_s}
        deadline = at.deadline.earlier(SOURCES_SHARE)
        allowed = None
        if not at.views:
            where = "/".join((request.tenant or "*", request.collection or "*"))
            self._degraded.append(Degraded("ledger", f"nothing is published in {where}"))
        elif request.entities:
            began = time.monotonic()
            allowed, unknown = allowed_publications(places, confirmed, request, deadline)
            self._seconds[GRAPH] = time.monotonic() - began
            self._degraded += unknown
            self._sources.add(GRAPH)
        self._degraded += elsewhere(places, at.views) + unsearched_vectors(places, at.views)
        k = max(places.ranking.pool, request.limit)
        pools = gather(places, request, at, confirmed, k, allowed, deadline)
        self._seconds |= pools.seconds
        self._degraded += pools.degraded
        self._sources |= pools.answered
        return pools

    def _cited_and_counted(
        self, pools: Pools, order: Sequence[Fused[Key]], confirmed: Confirmed, deadline: Deadline
    ) -> tuple[tuple[Hit, ...], Facets]:
        """The hits, which an answer cannot do without, and the facets, whose entities it can."""
        by_key = pools.by_key
        documents = [by_key[one.key] for one in order]
        if not documents:
            return (), Facets()
        calls = {
            "cite": lambda: self._hits(order, by_key, deadline),
            "facets": lambda: entity_facets(confirmed, self._places.graph, documents),
        }
        outcomes = run_all(calls, deadline)
        self._seconds |= {name: outcome.seconds for name, outcome in outcomes.items()}
        self._seconds["cite"] -= self._seconds.get("rerank", 0.0)
        hits = outcomes["cite"].result()
        entities = outcomes["facets"]
        if entities.error is not None:
            self._degraded.append(Degraded(GRAPH, f"entity facets: {entities.error}"))
        else:
            self._sources.add(GRAPH)
        return hits, document_facets(documents, entities.value or {})  # type: ignore[return-value, arg-type]

    def _hits(self, order: Sequence[Fused[Key]], by_key: dict[Key, PoolHit], deadline: Deadline) -> tuple[Hit, ...]:
        """The best hits that the lake confirms: one that it does not is named, and the next takes its place."""
        reranker = self._places.reranker
        limit = self._request.limit if reranker is None else max(self._places.ranking.rerank_pool, self._request.limit)
        kept, problems = best_cited(self._places, [by_key[one.key] for one in order], limit, deadline)
        self._degraded += [Degraded("lake", problem) for problem in problems]
        fused = {one.key: one for one in order}
        hits = [_hit(found, row, fused[found.key]) for found, row in kept]
        return tuple(with_repeats_named(self._reranked(hits, deadline)[: self._request.limit]))

    def _reranked(self, hits: list[Hit], deadline: Deadline) -> list[Hit]:
        """In the reranker's order; in the fused one, and that said, when it does not answer."""
        if self._places.reranker is None or not hits:
            return hits
        reranker = for_tenant(self._places.reranker, self._request.tenant or ALL_TENANTS)
        # What is deeper than the pool keeps its place behind it: the price of a search does not grow with its limit.
        head, tail = hits[: self._places.ranking.rerank_pool], hits[self._places.ranking.rerank_pool :]
        call = {"rerank": lambda: reranker.scores(self._request.query, [hit.quote for hit in head])}
        outcome = run_all(call, deadline.earlier(0.8))["rerank"]
        self._seconds["rerank"] = outcome.seconds
        if outcome.value is None or len(outcome.value) != len(head):
            why = outcome.error or f"{len(outcome.value or ())} scores for {len(head)} texts"
            self._degraded.append(Degraded("reranker", f"{reranker.name}: {why}; hits are in the fused order"))
            return hits
        self._sources.add(reranker.name)
        scored = sorted(zip(outcome.value, range(len(head)), strict=True), key=lambda pair: (-pair[0], pair[1]))
        best = [replace(head[index], score=float(score)) for score, index in scored]
        # A fused score is below 1, so these fall on from the least of the others.
        return best + [replace(hit, score=best[-1].score - 1.0 + hit.score) for hit in tail]

    def _related(
        self, pools: Pools, hits: Sequence[Hit], confirmed: Confirmed, deadline: Deadline
    ) -> tuple[RelatedEntity, ...]:
        request = self._request
        if not hits or not request.neighbours or not request.hops:
            return ()
        shown = {hit.publication for hit in hits}
        found = [hit for hit in pools.by_key.values() if hit.document.publication in shown]
        call = {
            GRAPH: lambda: related_entities(
                confirmed, self._places.graph, found, hops=request.hops, limit=request.neighbours
            )
        }
        outcome = run_all(call, deadline)[GRAPH]
        self._seconds[GRAPH] = self._seconds.get(GRAPH, 0.0) + outcome.seconds
        if outcome.value is None:
            self._degraded.append(Degraded(GRAPH, f"related entities: {outcome.error}"))
            return ()
        related, cut = outcome.value
        if cut:
            self._degraded.append(Degraded(GRAPH, "showed too much that is superseded; some entities may be missing"))
        return related

    def _timings(self) -> dict[str, float]:
        unused = {"rerank"} - self._seconds.keys()
        return {part: round(self._seconds.get(part, 0.0) * 1000, 3) for part in _PARTS if part not in unused}


def _hit(found: PoolHit, row: ChunkRow, fused: Fused[Key]) -> Hit:
    document, record = found.document, found.document.record
    return Hit(
        document_id=document.document_id, tenant=found.view.tenant, collection=found.view.collection,
        path=document.path, version=document.version, chunk_id=found.chunk_id, page=row.page, start=row.start,
        end=row.end, quote=row.text, score=fused.score, title=str(record.get("title") or document.path),
        document_type=record.get("document_type"), date=record.get("date"), heading=row.heading,
        publication=document.publication, ranks=dict(fused.ranks),
    )  # fmt: skip

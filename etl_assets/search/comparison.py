"""How an index generation that is being built answers beside the live one: the same questions asked of both."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from etl_assets.ledger.snapshots import snapshot, visible_documents_named
from etl_assets.protocols.comparison import Judgement, Quality, rank_biased_overlap
from etl_assets.search.checks import own_words
from etl_assets.search.evaluation import evaluate, judged_id
from etl_assets.search.model import SearchPlaces
from etl_assets.search.query import search_documents

PROBES = 40
"""Documents of the collection whose own words are asked for."""

K = 10
"""So many first documents count."""

JUDGED_DEPTH = 100


@dataclass(frozen=True, slots=True)
class _Answers:
    """The first documents of both generations to one question. ``truth`` is the document it was taken from."""

    live: Mapping[str, Sequence[str]]
    other: Mapping[str, Sequence[str]]
    truth: str | None = None


def compare_generations(
    places: SearchPlaces, tenant: str, collection: str, live: int, other: int, judgement: Judgement, *,
    probes: int = PROBES, seed: int = 0,
) -> Quality:  # fmt: skip
    """Ask both for the own words of some documents that both show, and for what people asked; see ``Quality``.

    Nothing is written, and searches go on: both are read as any search reads.

    Raises:
        TransientError, PermanentError: a source of one of them did not answer.
    """
    ask = partial(_asked, places, tenant, collection, live, other)
    sampled = _probes(places, tenant, collection, live, other, probes, random.Random(seed))
    probed = [ask(query, truth) for query, truth in sampled]
    asked = [ask(query, None) for query in judgement.queries.values()]
    everything = [*probed, *asked]
    judged = sorted(judgement.queries.keys() & judgement.grades.keys())
    vectors = bool(probed) and all("vector" in one.live and "vector" in one.other for one in probed)
    return Quality(
        K, len(asked), len(probed), len(judged),
        live_recall=_mean(one.truth in one.live["answers"] for one in probed),
        recall=_mean(one.truth in one.other["answers"] for one in probed),
        live_vector_recall=_mean(one.truth in one.live["vector"] for one in probed) if vectors else None,
        vector_recall=_mean(one.truth in one.other["vector"] for one in probed) if vectors else None,
        overlap=_mean(_shared(one.live["answers"], one.other["answers"]) for one in everything),
        agreement=_mean(rank_biased_overlap(one.live["answers"], one.other["answers"]) for one in everything),
        live_ndcg=_ndcg(places, tenant, collection, live, judgement) if judged else None,
        ndcg=_ndcg(places, tenant, collection, other, judgement) if judged else None,
    )  # fmt: skip


def _probes(
    places: SearchPlaces, tenant: str, collection: str, live: int, other: int, probes: int, draw: random.Random
) -> list[tuple[str, str]]:
    """(own words, document) of documents that both generations show: what one lacks is counted elsewhere."""
    views = snapshot(places.ledger, tenant=tenant, collection=collection, generation_id=live)
    words = own_words(places, views, probes, draw)
    documents = [document.document_id for _, document, _ in words]
    common = visible_documents_named(places.ledger, other, documents)
    return [(query, judged_id(document.path)) for _, document, query in words if document.document_id in common]


def _asked(
    places: SearchPlaces, tenant: str, collection: str, live: int, other: int, query: str, truth: str | None
) -> _Answers:
    first = [_first(places, tenant, collection, generation, query) for generation in (live, other)]
    return _Answers(first[0], first[1], truth)


def _first(
    places: SearchPlaces, tenant: str, collection: str, generation: int, query: str
) -> Mapping[str, Sequence[str]]:
    ranked = search_documents(
        places, query, tenant=tenant, collection=collection, depth=K, generation_id=generation
    )  # fmt: skip
    first = {name: [document for document, _ in documents[:K]] for name, documents in ranked.items()}
    return {**first, "answers": first.get("reranked", first["hybrid"])}


def _ndcg(places: SearchPlaces, tenant: str, collection: str, generation: int, judgement: Judgement) -> float:
    outcome = evaluate(
        judgement.queries, judgement.grades,
        lambda query: search_documents(
            places, query, tenant=tenant, collection=collection, depth=JUDGED_DEPTH, generation_id=generation
        ),
    )  # fmt: skip
    metrics = outcome.metrics.get("reranked") or outcome.metrics["hybrid"]
    return metrics["nDCG@10"]


def _shared(first: Sequence[str], second: Sequence[str]) -> float:
    longest = max(len(first), len(second))
    return len(set(first) & set(second)) / longest if longest else 1.0


def _mean(values: Iterable[float | bool]) -> float | None:
    numbers = [float(value) for value in values]
    return sum(numbers) / len(numbers) if numbers else None

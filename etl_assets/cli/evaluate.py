"""``etl-assets evaluate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import json_line, say, table, warn
from etl_assets.cli.session import as_json, chosen_partitions, opened

if TYPE_CHECKING:
    from etl_assets.search.evaluation import Evaluation

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("queries", type=_FILE, metavar="QUERIES.jsonl")
@click.argument("qrels", type=_FILE, metavar="QRELS.tsv")
@click.option("--tenant", required=True, metavar="NAME", help="Whose collection is measured.")
@click.option("--collection", required=True, metavar="NAME", help="The collection that holds the judged documents.")
@click.option(
    "--run",
    "run_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the ranking as a TREC run.",
)
@click.option(
    "--source",
    type=click.Choice(["hybrid", "reranked", "vector", "keyword"]),
    default="hybrid",
    show_default=True,
    help="Whose ranking --run writes.",
)
@as_json
def evaluate(
    queries: Path, qrels: Path, tenant: str, collection: str, run_file: Path | None, source: str, as_json: bool
) -> None:  # fmt: skip
    """Measure search against judged queries: nDCG@10, recall@10, recall@100 and MRR by source.

    Where a reranker is set, hybrid is the order before it and reranked the one after it; its answers are paid for.
    QUERIES has one JSON object a line with _id and text; QRELS has query, document and grade between tabs. A judged
    document is called by its path in the collection without the extension.
    """
    from etl_assets.bindings import search_places
    from etl_assets.cli.progress import counted
    from etl_assets.errors import ConfigError
    from etl_assets.search.evaluation import evaluate as measure
    from etl_assets.search.evaluation import read_qrels, read_queries
    from etl_assets.search.query import search_documents

    texts, grades = read_queries(queries), read_qrels(qrels)
    with opened() as platform:
        chosen_partitions(platform, tenant, collection)
        # A search gives up on the reranker within its own time; figures may wait for its turn.
        places = replace(search_places(platform), reranker=platform.patient_reranker())
        judged = _judged_documents(platform, tenant, collection)
        with counted("queries") as progress:
            outcome = measure(
                texts, grades, lambda query: search_documents(places, query, tenant=tenant, collection=collection),
                documents=judged, progress=progress,
            )  # fmt: skip
    if run_file is not None:
        if source not in outcome.runs:
            why = "no reranker is set" if source == "reranked" else "this collection is not published there"
            raise ConfigError(f"--source {source}: {why}")
        _write_run(run_file, outcome, source)
    if as_json:
        json_line(_record(outcome, tenant, collection, None if places.reranker is None else places.reranker.name))
        return
    titles = list(next(iter(outcome.metrics.values())))
    table(
        ("source", *titles),
        [(name, *(f"{values[title]:.4f}" for title in titles)) for name, values in outcome.metrics.items()],
        numeric=titles,
    )
    say(f"{outcome.query_count:,} queries, {outcome.judgement_count:,} judgements")
    _tell_what_is_left_out(outcome)


def _judged_documents(platform: Any, tenant: str, collection: str) -> set[str]:
    from etl_assets.documents.listing import listed_documents
    from etl_assets.search.evaluation import judged_id

    found = listed_documents(platform, tenant=tenant, collection=collection)
    return {judged_id(one.path) for one in found if one.publication is not None}


def _write_run(file: Path, outcome: Evaluation, source: str) -> None:
    from etl_assets.errors import PermanentError
    from etl_assets.search.evaluation import trec_run

    try:
        with open(file, "w", encoding="utf-8") as lines:
            lines.writelines(trec_run(outcome.runs[source], tag=f"etl-assets-{source}"))
    except OSError as e:
        raise PermanentError(f"{file}: cannot be written: {e.strerror}") from e


def _record(outcome: Evaluation, tenant: str, collection: str, reranker: str | None) -> dict[str, Any]:
    hybrid, reranked = outcome.metrics.get("hybrid", {}), outcome.metrics.get("reranked", {})
    return {
        "tenant": tenant, "collection": collection,
        "queries": outcome.query_count, "judgements": outcome.judgement_count,
        "metrics": {source: dict(values) for source, values in outcome.metrics.items()},
        "reranker": reranker,
        "reranking_gain": {title: reranked[title] - hybrid[title] for title in reranked},
        "unjudged_queries": list(outcome.unjudged_queries), "unknown_queries": list(outcome.unknown_queries),
        "missing_documents": list(outcome.missing_documents),
        "empty_queries": {source: list(ids) for source, ids in outcome.empty_queries.items()},
    }  # fmt: skip


def _tell_what_is_left_out(outcome: Evaluation) -> None:
    left = {
        "queries without a judgement were not run": outcome.unjudged_queries,
        "judged queries have no text": outcome.unknown_queries,
        "documents judged relevant are not published here, and count as never found": outcome.missing_documents,
    }
    for what, names in left.items():
        if names:
            warn(f"etl-assets: {len(names):,} {what}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}")

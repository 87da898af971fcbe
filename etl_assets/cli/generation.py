"""``etl-assets generation``: another embedder or chunking beside the one that answers, compared, promoted, undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import json_line, printable, say, table
from etl_assets.cli.session import as_json, opened, read_settings

if TYPE_CHECKING:
    from etl_assets.documents.generations.promotion import Verdict
    from etl_assets.documents.generations.work import Comparison
    from etl_assets.protocols.comparison import Judgement

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_place = click.argument("place", metavar="TENANT/COLLECTION")
_number = click.option("--generation", "number", type=int, metavar="N", help="Which one, where there are several.")
_queries = click.option(
    "--queries", type=_FILE, metavar="FILE", help="Questions to ask both: one JSON object a line, with _id and text."
)
_qrels = click.option("--qrels", type=_FILE, metavar="FILE", help="Their judgements, as `evaluate` reads them.")
_accept = click.option(
    "--accept-missing", is_flag=True, help="Let documents go that are in quarantine under the other settings."
)


@click.command()
@_place
@click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE",
    help="A setting that differs from collections.yaml, for example embedder.kind=static; repeatable.",
)  # fmt: skip
def build(place: str, overrides: tuple[str, ...]) -> int:
    """Build the index that other settings need beside the live one, which goes on answering.

    Without --set the settings of collections.yaml are built, as sync does. What --set names is kept with the index;
    it answers only when `generation promote` lets it.
    """
    from etl_assets.cli.ingest import run_and_report
    from etl_assets.documents.generations.work import begin
    from etl_assets.ledger.catalogue import partitions

    tenant, collection = _named(place)
    settings = read_settings()
    with opened(settings) as platform:
        number = begin(platform, tenant, collection, _values(overrides))
        keys = [one.key for one in partitions(platform.ledger, tenant=tenant, collection=collection)]
    say(f"index generation {number} of {tenant}/{collection}")
    return run_and_report(settings, keys)


@click.command(name="list")
@_place
@as_json
def list_generations(place: str, as_json: bool) -> None:
    """Show the index generations in use: what each is made by, what it shows, and why one does not answer yet."""
    from etl_assets.documents.generations.work import generation_facts

    with opened() as platform:
        facts = [one.as_json() for one in generation_facts(platform, *_named(place))]
    if as_json:
        for one in facts:
            json_line(one)
        return
    table(
        ("generation", "state", "model", "chunking", "documents", "quarantined", "MB", "seconds"),
        [
            (one["generation"], one["state"], one["model"], _chunking(one["settings"]), one["documents"],
             one["quarantined"], one["size_bytes"] / 1e6, one["seconds"])
            for one in facts
        ],
        numeric=("generation", "documents", "quarantined", "MB", "seconds"),
    )  # fmt: skip
    for one in facts:
        for problem in filter(None, [one["problem"], *(one["reasons"] if one["state"] != "live" else ())]):
            say(f"index generation {one['generation']}: {printable(problem)}")


@click.command()
@_place
@_queries
@_qrels
@_number
@as_json
def compare(place: str, queries: Path | None, qrels: Path | None, number: int | None, as_json: bool) -> None:
    """Put what is being built beside what answers: figures, documents that differ, and how both answer.

    Both are asked for the own words of some documents, which should find them, and for the questions of --queries.
    """
    from etl_assets.documents.generations.work import compare as compared

    with opened() as platform:
        found = compared(platform, *_named(place), _judgement(queries, qrels), number=number)
    if as_json:
        json_line(found.as_json())
    else:
        _show(found)


@click.command()
@_place
@_queries
@_qrels
@_number
@_accept
@as_json
def promote(
    place: str, queries: Path | None, qrels: Path | None, number: int | None, accept_missing: bool, as_json: bool
) -> int:
    """Compare, and let what was built answer from now on; refused, with the reason, if it is worse than allowed."""
    from etl_assets.documents.generations.work import promote as promoted

    with opened() as platform:
        verdict = promoted(
            platform, *_named(place), _judgement(queries, qrels), number=number, accept_missing=accept_missing
        )
    return _told(verdict, as_json)


@click.command()
@_place
@_accept
@as_json
def rollback(place: str, accept_missing: bool, as_json: bool) -> int:
    """Let the index answer again that was replaced last. It was kept up to date, so this takes an instant."""
    from etl_assets.documents.generations.work import roll_back

    with opened() as platform:
        verdict = roll_back(platform, *_named(place), accept_missing=accept_missing)
    return _told(verdict, as_json)


@click.command()
@_place
@_number
@as_json
def collect(place: str, number: int | None, as_json: bool) -> int:
    """Give up the index that was replaced, or the one named, and remove it from every store."""
    from etl_assets.cli.ingest import run_and_report
    from etl_assets.documents.generations.work import retire
    from etl_assets.ledger.catalogue import partitions

    tenant, collection = _named(place)
    settings = read_settings()
    with opened(settings) as platform:
        gone, documents = retire(platform, tenant, collection, number=number)
        keys = [one.key for one in partitions(platform.ledger, tenant=tenant, collection=collection)]
    if as_json:
        json_line({"generation": gone, "documents": documents, "partitions": keys})
        from etl_assets.launching import run_partitions

        return 1 if any(one.error for one in run_partitions(settings, keys)) else 0
    say(f"index generation {gone} is given up; its {documents:,} documents are removed from the stores")
    return run_and_report(settings, keys)


def _named(place: str) -> tuple[str, str]:
    tenant, slash, collection = place.partition("/")
    if not (tenant and slash and collection) or "/" in collection:
        raise click.UsageError(f"{printable(place)}: name the collection as TENANT/COLLECTION")
    return tenant, collection


def _values(overrides: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for one in overrides:
        name, equals, value = one.partition("=")
        if not equals or not value.strip():
            raise click.UsageError(f"--set {printable(one)}: write NAME=VALUE, for example embedder.kind=static")
        found[name.strip()] = value.strip()
    return found


def _judgement(queries: Path | None, qrels: Path | None) -> Judgement:
    from etl_assets.protocols.comparison import Judgement
    from etl_assets.search.evaluation import read_qrels, read_queries

    if qrels is not None and queries is None:
        raise click.UsageError("--qrels needs --queries, which have the texts of what was judged")
    return Judgement(
        read_queries(queries) if queries is not None else {}, read_qrels(qrels) if qrels is not None else {}
    )  # fmt: skip


def _told(verdict: Verdict, as_json: bool) -> int:
    if as_json:
        json_line(verdict.as_json())
    elif verdict.passed:
        say(f"index generation {verdict.generation_id} answers now, in place of {verdict.live}")
    else:
        say(f"index generation {verdict.generation_id} was not promoted; {verdict.live} goes on answering")
        for reason in verdict.reasons:
            say(f"  {printable(reason)}")
    return 0 if verdict.passed else 1


def _show(found: Comparison) -> None:
    sides = [found.live.as_json(), found.other.as_json()]
    rows: list[tuple[object, ...]] = [("generation", *(one["generation"] for one in sides))]
    rows += [(name, *(one[name] for one in sides)) for name in ("model", "documents", "quarantined")]
    rows += [(f"{store} rows", *(one["rows"].get(store) for one in sides)) for store in ("vector", "keyword", "graph")]
    rows += [(name.replace("_", " "), *(one[name] for one in sides)) for name in ("size_bytes", "seconds", "tokens")]
    if any(one["currency"] for one in sides):
        rows.append(("cost of vectors", *(f"{one['money']:.4f} {one['currency']}" for one in sides)))
    quality = found.verdict.quality
    if quality is not None:
        rows += [
            (f"recall@{quality.k}", _figure(quality.live_recall), _figure(quality.recall)),
            (f"recall@{quality.k}, vectors", _figure(quality.live_vector_recall), _figure(quality.vector_recall)),
            ("nDCG@10", _figure(quality.live_ndcg), _figure(quality.ndcg)),
        ]
    table(("", "live", found.other.generation.state), rows)
    if quality is not None:
        say(
            f"the same of the first {quality.k} documents: {_figure(quality.overlap)}, agreement of the order (RBO): "
            f"{_figure(quality.agreement)}, over {quality.probes:,} own sentences and {quality.queries:,} queries"
        )
    unequal = found.verdict.unequal
    for word, paths in (("lacks", unequal.lacking), ("in quarantine", unequal.held), ("newer", unequal.newer),
                        ("only here", unequal.added)):  # fmt: skip
        if paths:
            say(f"{word}: {len(paths):,} documents, {', '.join(printable(path) for path in paths[:5])}")
    for reason in found.verdict.reasons:
        say(f"not to be promoted: {printable(reason)}")


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _chunking(settings: Mapping[str, Any]) -> str:
    chunking = settings.get("chunking")
    if chunking is None:
        return "-"
    if chunking["mode"] == "fixed":
        return f"fixed {chunking['size']}/{chunking['overlap']}"
    return f"structure {chunking['max_tokens']}/{chunking['overlap_tokens']}"

"""``etl-assets search``."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, printable, say, shortened, warn
from etl_assets.cli.session import as_json, opened, scoped

if TYPE_CHECKING:
    from etl_assets.search.model import Answer, Facets

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("query")
@scoped
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only pdf, docx, html, markdown, ...; repeatable.")
@click.option("--since", type=_DAY, metavar="YYYY-MM-DD", help="Only documents dated this day or later.")
@click.option("--until", type=_DAY, metavar="YYYY-MM-DD", help="Only documents dated this day or earlier.")
@click.option(
    "--entity",
    "entities",
    multiple=True,
    metavar="NAME|ID",
    help="Only documents that mention it, such as APT28 or group:G0007; repeatable.",
)
@click.option("--threat", "threats", multiple=True, metavar="LABEL", help="Only about it: ransomware, ...; repeatable.")
@click.option("--sector", "sectors", multiple=True, metavar="LABEL", help="Only about it: energy, ...; repeatable.")
@click.option(
    "--label", "labels", multiple=True, metavar="SET:LABEL", help="Only with this label of your own; repeatable."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many hits.")
@click.option("--save", "name", metavar="NAME", help="Keep the search and what it found under this name.")
@as_json
def search(
    query: str,
    tenant: str | None,
    collection: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    entities: tuple[str, ...],
    threats: tuple[str, ...],
    sectors: tuple[str, ...],
    labels: tuple[str, ...],
    limit: int,
    name: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Find the passages that answer QUERY, by meaning and by words, each with document, page and characters."""
    from etl_assets.bindings import search_places
    from etl_assets.search.query import search as find
    from etl_assets.search.saved import save

    wanted = (*(f"threat:{one}" for one in threats), *(f"sector:{one}" for one in sectors), *labels)
    with opened() as platform:
        answer = find(
            search_places(platform), query, tenant=tenant, collection=collection, document_types=types,
            since=_day(since), until=_day(until), entities=entities, labels=wanted, limit=limit,
        )  # fmt: skip
        if name is not None:
            filters = {
                "collection": collection, "document_types": list(types), "entities": list(entities),
                "labels": list(wanted), "limit": limit,
                "since": str(_day(since)) if since else None, "until": str(_day(until)) if until else None,
            }  # fmt: skip
            save(platform.ledger, name, answer, tenant=tenant, filters=filters)
    if as_json:
        json_line(answer.as_json())
    else:
        show_answer(answer)


def show_answer(answer: Answer, *, hits: int | None = None, brief: bool = False) -> None:
    """An answer as people read it; ``hits`` cuts it, ``brief`` leaves out what stands beside the hits."""
    repeated = Counter(one.near_duplicate_of for one in answer.hits)
    leading = [one for one in answer.hits if one.near_duplicate_of is None]
    for number, hit in enumerate(leading[:hits], start=1):
        place = f"{printable(hit.tenant)}/{printable(hit.collection)}/{printable(hit.path)}"
        say(f"{number:2}. {shortened(hit.title, 90)}")
        say(f"    {place}, page {hit.page}, characters {hit.start} to {hit.end}, score {hit.score:.4f}")
        say(f"    “{shortened(hit.quote, 300)}”")
        if count := repeated[hit.place]:
            say(f"    and {count} near-duplicate{'s' if count > 1 else ''}; --json has them")
    if not answer.hits:
        say("nothing found")
    if not brief:
        if answer.entities:
            say(
                "",
                "near: " + ", ".join(f"{shortened(one.name, 40)} ({one.entity_type})" for one in answer.entities[:15]),
            )
        for line in _facet_lines(answer.facets):
            say(line)
        total = answer.timings_ms.get("total", 0.0)
        parts = ", ".join(f"{name} {ms:.0f}" for name, ms in answer.timings_ms.items() if name != "total" and ms >= 0.5)
        say("", f"{len(answer.hits)} hits in {total:.0f} ms ({parts}) from {', '.join(answer.sources) or 'no source'}")
    for one in answer.degraded:
        warn(f"etl-assets: without {printable(one.source)}: {printable(one.reason)}")


def _facet_lines(facets: Facets) -> list[str]:
    about = {f"about {name}": values for name, values in facets.labels.items()}
    named = {"type": facets.document_type, "collection": facets.collection, "year": facets.year, **about}
    named |= facets.entities
    return [
        f"{name}: " + ", ".join(f"{shortened(one.label, 40)} {one.count}" for one in values[:8])
        for name, values in named.items()
        if values
    ]


def _day(at: datetime | None) -> date | None:
    return None if at is None else at.date()

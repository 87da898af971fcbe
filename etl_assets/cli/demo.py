"""``etl-assets demo``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import printable, say, shortened, table
from etl_assets.cli.session import opened, read_settings

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.search.model import SearchPlaces

_NEIGHBOURS = 12


@click.command()
def demo() -> int:
    """Copy bundled documents into $ETL_HOME, take them through every stage, and answer two questions with citations.

    A second run computes nothing and answers the same.
    """
    from etl_assets.bindings import search_places
    from etl_assets.cli.ingest import plan, run_and_report
    from etl_assets.demo import QUESTIONS, TENANT, documents

    started = time.monotonic()
    settings = read_settings()
    with opened(settings) as platform:
        placed = _place(platform)
        say(f"{len(documents()):,} bundled documents below {settings.home.objects / TENANT}, {placed:,} of them new")
        plans = plan(platform, TENANT, None, dry=False)
    failed = 0
    if plans.partitions:
        failed = run_and_report(settings, plans.partitions)
    else:
        say("nothing changed since the last run: nothing was computed")
    with opened(settings) as platform:
        _show_counts(platform)
        places = search_places(platform)
        for question in QUESTIONS:
            _answer(places, question)
        _show_entity(places)
    _show_next(time.monotonic() - started)
    return failed


def _place(platform: Platform) -> int:
    """Put the bundled documents that the store does not have; how many they were."""
    from etl_assets.demo import TENANT, documents
    from etl_assets.protocols.objects import ObjectInfo

    bundled = documents()
    names = {key.split("/")[1] for key in bundled}
    there = {
        entry.key: entry.size_bytes
        for collection in names
        for entry in platform.arrivals.list(TENANT, collection)
        if isinstance(entry, ObjectInfo)
    }
    missing = [key for key, file in bundled.items() if there.get(key) != file.stat().st_size]
    for key in missing:
        platform.arrivals.put(key, bundled[key])
    return len(missing)


def _show_counts(platform: Platform) -> None:
    """What there is of each stage now."""
    from etl_assets.demo import TENANT
    from etl_assets.documents.listing import listed_documents, row_counts
    from etl_assets.ledger.catalogue import partitions

    totals: dict[str, tuple[int, int]] = {}
    for place in partitions(platform.ledger, tenant=TENANT):
        for stage, (documents, rows) in row_counts(platform, place).items():
            before = totals.get(stage, (0, 0))
            totals[stage] = (before[0] + documents, before[1] + rows)
    current = sum(1 for _ in listed_documents(platform, tenant=TENANT, state="current"))
    say("")
    table(
        ("stage", "documents", "rows"),
        [*((stage, *counts) for stage, counts in totals.items()), ("published_documents", current, current)],
        numeric=("documents", "rows"),
    )


def _answer(places: SearchPlaces, question: str) -> None:
    from etl_assets.demo import TENANT
    from etl_assets.search.query import search

    say("", f"? {question}")
    for hit in search(places, question, tenant=TENANT, limit=2, hops=0).hits:
        say(f"  {printable(hit.title)}")
        place = f"{printable(hit.collection)}/{printable(hit.path)}"
        say(f"    {place}, page {hit.page}, characters {hit.start} to {hit.end}")
        say(f"    “{shortened(hit.quote, 400)}”")


def _show_entity(places: SearchPlaces) -> None:
    from etl_assets.demo import ENTITY, TENANT
    from etl_assets.search.graph_questions import GraphQuestions

    questions = GraphQuestions(places, tenant=TENANT)
    for tenant, entity in questions.candidates(ENTITY):
        say("", f"* {entity.name} ({entity.entity_id}) is mentioned in")
        for one in questions.show(tenant, entity, limit=5).documents:
            say(f"    {one.collection}/{printable(one.path)}")
        say("  and stands beside")
        for near in questions.neighbours(tenant, entity, limit=_NEIGHBOURS).near:
            say(f"    {shortened(near.entity.name, 60)} ({near.entity.entity_type})")


def _show_next(seconds: float) -> None:
    from etl_assets.cli.ui import address
    from etl_assets.demo import TENANT

    say(
        "",
        f"done in {seconds:.0f} s. Next:",
        f'  1. ask your own: etl-assets search "phishing by text message" --tenant {TENANT}',
        "  2. add your own: etl-assets document add ~/reports --tenant acme --collection reports && etl-assets sync",
        '  3. take data out: etl-assets sql "select name, count(*) n from mentions group by 1 order by 2 desc limit 9"',
        f"`make ui` shows the asset graph, with every partition, at {address()}",
    )

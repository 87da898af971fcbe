"""``etl-assets lineage`` and ``etl-assets impact``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import json_line, printable, say, shortened, warn
from etl_assets.cli.session import as_json, opened, scoped

if TYPE_CHECKING:
    from etl_assets.documents.lineage.impact import Impact
    from etl_assets.documents.origin import Origin
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.dependents import Rests


@click.command()
@click.argument("name", metavar="HIT|CHUNK|ENTITY|DOCUMENT|PARTITION")
@click.option(
    "--as", "kind", type=click.Choice(["hit", "chunk", "entity", "document", "partition"]),
    help="What NAME is, where several things may be meant.",
)  # fmt: skip
@scoped
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "mermaid", "openlineage"]), default="text",
    show_default=True, help="A tree, JSON, a drawing, or OpenLineage's run events, one a line.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="How many documents of an entity or a partition; else all.")
@as_json
def lineage(
    name: str, kind: Any, tenant: str | None, collection: str | None, limit: int | None, form: str, as_json: bool
) -> int:
    """Tell what something came from: stages, producers, runs, pages and characters, down to the original bytes.

    NAME is a hit of `search --json` (its JSON, or DOCUMENT/CHUNK), a chunk id, an entity's id or name, a document's id,
    TENANT/COLLECTION/PATH or file name, or a partition key. The exit code is 1 when stored bytes do not confirm
    what is told.
    """
    from etl_assets.documents.lineage.formats import mermaid, run_events
    from etl_assets.documents.lineage.subject import subject_of
    from etl_assets.documents.lineage.upstream import lineage as trace

    with opened() as platform:
        subject = subject_of(platform, name, kind=kind, tenant=tenant, collection=collection)
        found = trace(platform, subject, limit=limit)
    if as_json or form == "json":
        json_line(found.as_json())
    elif form == "mermaid":
        say(mermaid(found).rstrip())
    elif form == "openlineage":
        for event in run_events(found):
            json_line(event)
    else:
        show_origin(found)
    for problem in found.problems:
        warn(f"etl-assets: {printable(problem)}")
    return 1 if found.problems else 0


@click.command()
@click.argument("name", metavar="DOCUMENT|STAGE|PRODUCER|BACKEND|ASSET")
@click.option(
    "--as", "kind", type=click.Choice(["document", "stage", "producer", "backend", "asset"]),
    help="What NAME is, where several things may be meant.",
)  # fmt: skip
@scoped
@click.option("--entities", is_flag=True, help="Tell entities however many documents there are.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "mermaid"]), default="text", show_default=True,
    help="Lines, JSON, or a drawing.",
)  # fmt: skip
@click.option("--run", "is_run", is_flag=True, help="Ask every saved search again before.")
@as_json
def impact(
    name: str,
    kind: Any,
    tenant: str | None,
    collection: str | None,
    entities: bool,
    is_run: bool,
    form: str,
    as_json: bool,
) -> None:
    """Tell what rests on something: partitions, documents, rows, index entries, entities and saved searches.

    NAME is a document's id or TENANT/COLLECTION/PATH, a stage, a producer as `document show` prints it, a backend by
    its role or name, or an asset.
    """
    from etl_assets.documents.lineage.formats import mermaid_impact
    from etl_assets.documents.lineage.impact import impact as follow

    with opened() as platform:
        if is_run:
            _run_saved(platform, tenant)
        found = follow(platform, name, kind=kind, tenant=tenant, collection=collection, entities=entities)
    if as_json or form == "json":
        json_line(found.as_json())
    elif form == "mermaid":
        say(mermaid_impact(found).rstrip())
    else:
        show_impact(found)


def _run_saved(platform: Platform, tenant: str | None) -> None:
    from etl_assets.bindings import search_places
    from etl_assets.ledger.saved_searches import saved_searches
    from etl_assets.search.saved import run_again

    with platform.ledger.reading() as connection:
        saved = [one for one in saved_searches(connection) if tenant is None or one.tenant in ("", tenant)]
    places = search_places(platform)
    for one in saved:
        for lack in run_again(places, one).answer.degraded:
            warn(f"etl-assets: {printable(one.name)}: without {lack.source}: {printable(lack.reason)}")


def show_origin(top: Origin) -> None:
    """A tree as people read it: each thing on a line, what it was made of below it."""
    _show(top, "", "", set())


def _show(one: Origin, first: str, rest: str, shown: set[str]) -> None:
    say(first + _line(one))
    for detail in _details(one.kind, one.facts):
        say(f"{rest}    {detail}")
    key = f"{one.kind} {one.name}"
    if one.sources and key in shown:
        say(f"{rest}    (from what is told above)")
        return
    shown.add(key)
    for number, source in enumerate(one.sources, start=1):
        is_last = number == len(one.sources)
        _show(source, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "), shown)


def _line(one: Origin) -> str:
    facts = one.facts
    if one.kind == "output":
        return printable(f"{facts['stage']}: {facts['rows']:,} rows by {facts['producer']}")
    if one.kind == "entity":
        return printable(f"entity {one.name}: {facts['label']}, {facts['mentions']} mentions in {facts['documents']} "
                         "documents")  # fmt: skip
    if one.kind in {"original", "object"}:
        return printable(f"{one.kind} {one.name}")
    place = facts.get("object_key") or facts.get("path") or ""
    return printable(f"{one.kind} {one.name} {place}".rstrip())


def _details(kind: str, facts: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    if kind in {"hit", "chunk"}:
        lines += [
            f"page {facts['page']}, characters {facts['start']} to {facts['end']}"
            + (", verified" if facts["verified"] else ", NOT verified"),
            f"“{shortened(facts['quote'], 300)}”",
        ]
    if facts.get("publication") and kind != "partition" and "generation_id" in facts:
        lines.append(
            f"version {facts['version'][:16]}, publication {facts['publication']}, index generation "
            f"{facts['generation_id']} ({facts['generation_state']}), partition {facts['partition']}"
        )
    for place in facts.get("mentions", []) if kind == "document" else []:
        lines.append(
            f"page {place['page']}, characters {place['start']} to {place['end']}: “{shortened(place['text'], 80)}”"
        )
    if kind == "output":
        lines.append(f"run {facts['run_id']} at {facts['computed_at']}, segment {facts['segment'] or '-'}")
        lines.append(f"parameters {shortened(str(facts['parameters']), 200)}")
    if kind == "original":
        lines.append(f"SHA-256 {facts['sha256']}, {facts['size_bytes'] or 0:,} bytes")
    if kind == "object" and facts.get("arrived_at"):
        lines.append(f"arrived {facts['arrived_at']}")
    if kind == "object" and "imported_from" in facts:
        brought = facts["imported_from"]
        lines.append(f"imported from {brought['kind']} {brought['source']}, import {brought['import_id']}")
    if kind == "partition":
        lines.append(f"{facts['documents']:,} documents, {facts['published']:,} published")
        lines += [
            f"{made['stage']}: {made['documents']:,} documents, {made['rows']:,} rows by {made['producer']}"
            for made in facts["stages"]
        ]
    return [printable(line) for line in lines]


def show_impact(found: Impact) -> None:
    """What rests on something, as people read it."""
    say(f"{found.kind} {printable(found.name)}: {_told(found.total())}", f"  assets: {', '.join(found.assets)}")
    for name in found.producers:
        say(f"  producer: {printable(name)}")
    for key, one in sorted(found.partitions.items()):
        say(f"  partition {key}: {_told(one)}")
    if found.entities_only is None or found.entities_shared is None:
        say("  entities: not counted for so many documents; add --entities")
    else:
        say(f"  entities: {len(found.entities_only):,} through these alone, {len(found.entities_shared):,} shared")
        if found.entities_only:
            say("    only here: " + shortened(", ".join(found.entities_only), 400))
    for search in found.searches:
        say(f"  saved search {printable(search.name)}: {shortened(search.query, 100)}")


def _told(one: Rests) -> str:
    parts = [f"{one.documents:,} documents", f"{one.published:,} publications"]
    parts += [f"{stage} {one.rows[stage]:,} rows" for stage in one.outputs]
    parts += [f"{store} index {count:,} entries" for store, count in one.entries.items()]
    return ", ".join(parts)

"""``etl-assets document diff`` and ``document republish``."""

from __future__ import annotations

from dataclasses import asdict

import click

from etl_assets.cli.output import json_line, printable, say
from etl_assets.cli.session import as_json, opened, read_settings


@click.command("diff")
@click.argument("name", metavar="ID|PATH")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@as_json
def diff_versions(name: str, a: str, b: str, as_json: bool) -> None:
    """Show how two versions of a document differ, in text, chunks and entities.

    A and B are the first four or more digits of versions, or their numbers: 1 is the oldest that is kept.
    """
    from etl_assets.cli.choosing import one_document
    from etl_assets.documents.versions import diff

    with opened() as platform:
        one = one_document(platform, name)
        found = diff(platform, one.document_id, one.tenant, one.collection, a, b)
    if as_json:
        json_line(asdict(found))
        return
    for line in found.text:
        say(printable(line))
    say(
        f"chunks: {found.chunks_same:,} same, {found.chunks_moved:,} moved, {found.chunks_added:,} added, "
        f"{found.chunks_removed:,} removed"
    )
    for word, entities in (("added", found.entities_added), ("removed", found.entities_removed)):
        for identity, label in entities:
            say(f"entity {word}: {printable(label)} ({printable(identity)})")


@click.command("republish")
@click.argument("name", metavar="ID|PATH")
@click.option("--version", metavar="VERSION", help="Its first four or more digits, or its number: 1 is the oldest.")
@click.option("--unpin", is_flag=True, help="Publish what the key has again.")
def republish_version(name: str, version: str | None, unpin: bool) -> int:
    """Let searches see an earlier version of a document, until its key gets other bytes."""
    from etl_assets.cli.choosing import one_document
    from etl_assets.cli.ingest import run_and_report
    from etl_assets.documents import versions

    if (version is None) != unpin:
        raise click.UsageError("give --version, or --unpin")
    settings = read_settings()
    with opened(settings) as platform:
        one = one_document(platform, name)
        place = (one.document_id, one.tenant, one.collection)
        if version is None:
            partition = versions.unpin(platform, *place)
        else:
            partition = versions.republish(platform, *place, version)
    return run_and_report(settings, [partition.key])

"""``etl-assets searches list``, ``show``, ``run`` and ``remove``: searches that were saved with ``search --save``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, printable, say, shortened, table, warn
from etl_assets.cli.session import as_json, opened

if TYPE_CHECKING:
    from etl_assets.ledger.saved_searches import SavedSearch
    from etl_assets.search.saved import RunAgain

of_tenant = click.option("--tenant", metavar="NAME", help="Only searches that were saved for this tenant.")


@click.command("list")
@of_tenant
@as_json
def list_searches(tenant: str | None, as_json: bool) -> None:
    """List the saved searches."""
    from etl_assets.ledger.saved_searches import saved_searches

    with opened() as platform, platform.ledger.reading() as connection:
        found = saved_searches(connection, tenant)
    if as_json:
        for one in found:
            json_line(_record(one))
        return
    table(
        ("name", "tenant", "query", "hits", "documents", "answered"),
        [(one.name, one.tenant or "all", shortened(one.query, 60), len(one.hits), len(one.document_ids),
          instant(one.answered_at)) for one in found],
        numeric=("hits", "documents"),
    )  # fmt: skip
    say(f"{len(found):,} saved searches")


@click.command("show")
@click.argument("name")
@of_tenant
@as_json
def show_search(name: str, tenant: str | None, as_json: bool) -> None:
    """Show a saved search and what its last answer cites."""
    from etl_assets.search.saved import saved_named

    with opened() as platform:
        one = saved_named(platform.ledger, name, tenant)
    if as_json:
        json_line(_record(one))
        return
    say(f"{printable(one.name)}: {printable(one.query)}", f"filters: {printable(str(dict(one.filters)))}")
    say(f"saved {instant(one.created_at)}, answered {instant(one.answered_at)} at ledger sequence {one.answered_seq}")
    table(
        ("document", "version", "place", "page", "characters"),
        [(hit["document_id"][:12], hit["version"][:12], f"{hit['tenant']}/{hit['collection']}/{hit['path']}",
          hit["page"], f"{hit['start']} to {hit['end']}") for hit in one.hits],
    )  # fmt: skip


@click.command("run")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@of_tenant
@as_json
def run_searches(names: tuple[str, ...], tenant: str | None, as_json: bool) -> int:
    """Ask saved searches again, all without NAME, and keep the new answers.

    An answer that lacks a source is shown and not kept; the exit code is 1 then.
    """
    from etl_assets.bindings import search_places
    from etl_assets.ledger.saved_searches import saved_searches
    from etl_assets.search.saved import run_again, saved_named

    with opened() as platform:
        with platform.ledger.reading() as connection:
            chosen = saved_searches(connection, tenant)
        if names:
            chosen = [saved_named(platform.ledger, name, tenant) for name in names]
        places = search_places(platform)
        done = [run_again(places, one) for one in chosen]
    for one in done:
        if as_json:
            json_line(_run_record(one))
        else:
            told = "changed" if one.is_changed else "unchanged"
            say(f"{printable(one.before.name)}: {told}, {len(one.answer.hits)} hits, {len(one.added)} documents more, "
                f"{len(one.removed)} fewer")  # fmt: skip
        for lack in one.answer.degraded:
            warn(f"etl-assets: {printable(one.before.name)}: without {lack.source}: {printable(lack.reason)}; not kept")
    return 1 if any(one.answer.degraded for one in done) else 0


@click.command("remove")
@click.argument("name")
@of_tenant
def remove_search(name: str, tenant: str | None) -> None:
    """Forget a saved search."""
    from etl_assets.ledger import saved_searches
    from etl_assets.search.saved import saved_named

    with opened() as platform:
        one = saved_named(platform.ledger, name, tenant)
        with platform.ledger.writing() as connection:
            saved_searches.remove_search(connection, one.tenant, one.name)
    say(f"removed {printable(one.name)}")


def _record(one: SavedSearch) -> dict[str, Any]:
    return asdict(one) | {
        "tenant": one.tenant or None, "created_at": instant(one.created_at), "answered_at": instant(one.answered_at),
    }  # fmt: skip


def _run_record(one: RunAgain) -> dict[str, Any]:
    return {
        "name": one.before.name, "tenant": one.before.tenant or None, "is_changed": one.is_changed,
        "added": list(one.added), "removed": list(one.removed), "is_kept": not one.answer.degraded,
        "answer": one.answer.as_json(),
    }  # fmt: skip

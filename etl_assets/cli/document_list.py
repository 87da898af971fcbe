"""``etl-assets document list``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, say, shortened, table
from etl_assets.cli.session import as_json, chosen_partitions, opened, scoped, warn_of_unusable

if TYPE_CHECKING:
    from etl_assets.documents.listing import ListedDocument, State


@click.command("list")
@click.option("--name", metavar="PATTERN", help="Only paths, or last names, that match this glob.")
@scoped
@click.option(
    "--state", type=click.Choice(["current", "pending", "quarantined", "removed"]), help="Only documents in this state."
)
@as_json
def list_documents(
    name: str | None, tenant: str | None, collection: str | None, state: State | None, as_json: bool
) -> None:
    """List the documents that the ledger knows. What was put or changed since the last sync, `sync --dry-run` tells."""
    from etl_assets.documents.listing import listed_documents

    with opened() as platform:
        warn_of_unusable(platform, tenant, collection)
        found = listed_documents(platform, tenant=tenant, collection=collection, name=name, state=state)
        if as_json:
            for one in found:
                json_line(_record(one))
            return
        rows = list(found)
        if not rows:
            chosen_partitions(platform, tenant, collection)
    table(
        ("id", "collection", "path", "state", "reason"),
        [
            (
                one.document_id[:12],
                f"{one.tenant}/{one.collection}",
                shortened(one.path, 70),
                one.state,
                one.reason or ("pinned" if one.is_pinned else ""),
            )
            for one in rows
        ],
    )
    say(f"{len(rows):,} documents")


def _record(one: ListedDocument) -> dict[str, Any]:
    return asdict(one) | {"arrived_at": instant(one.arrived_at)}

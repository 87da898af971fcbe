"""``etl-assets document duplicates``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, printable, say, shortened
from etl_assets.cli.session import as_json, opened, read_settings, unknown_collection

if TYPE_CHECKING:
    from etl_assets.search.near_duplicates import DuplicateGroup

_MOST_SHOWN = 10


@click.command(name="duplicates")
@click.argument("place", metavar="TENANT/COLLECTION", required=False)
@click.option("--threshold", type=click.FloatRange(0.5, 1.0), default=0.8, show_default=True, metavar="SHARE",
              help="Which share of their words in threes must be the same.")  # fmt: skip
@click.option("--passages", is_flag=True, help="Passages that documents repeat, instead of whole documents.")
@as_json
def duplicates(place: str | None, threshold: float, passages: bool, as_json: bool) -> None:
    """List documents, or passages, that repeat one another, in groups, largest first.

    Without TENANT/COLLECTION every tenant is looked at, each by itself; TENANT alone compares its collections too.
    """
    from etl_assets.bindings import search_places, signature_store
    from etl_assets.ledger.snapshots import snapshot
    from etl_assets.search.near_duplicates import NearDuplicates

    tenant, _, collection = (place or "").partition("/")
    settings = read_settings()
    with opened(settings) as platform:
        views = snapshot(platform.ledger, tenant=tenant or None, collection=collection or None)
        if place and not views:
            raise unknown_collection(tenant, collection or None)
        places, store = search_places(platform), signature_store(settings)
        found: list[DuplicateGroup] = []
        for owner in sorted({view.tenant for view in views}):
            near = NearDuplicates(places, store, owner, collection=collection or None, threshold=threshold)
            found += near.passages() if passages else near.documents()
    if as_json:
        for group in found:
            json_line(group.as_json())
        return
    _tell(found)


def _tell(found: Sequence[DuplicateGroup]) -> None:
    if not found:
        say("nothing repeats another")
    for number, group in enumerate(found, start=1):
        say(f"{number:2}. {len(group.members)} {group.kind}s that repeat one another")
        for one in group.members[:_MOST_SHOWN]:
            where = f"{printable(one.tenant)}/{printable(one.collection)}/{printable(one.path)}"
            cited = one.passage
            at = f", page {cited.page}, characters {cited.start} to {cited.end}" if cited else ""
            say(f"    {one.similarity:.0%}  {where}{at}")
        if group.members[0].passage:
            say(f"    “{shortened(group.members[0].passage.quote, 200)}”")
        if len(group.members) > _MOST_SHOWN:
            say(f"    and {len(group.members) - _MOST_SHOWN:,} more; --json lists them")

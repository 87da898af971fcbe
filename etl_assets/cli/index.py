"""``etl-assets index``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import json_line, printable, say, table, warn
from etl_assets.cli.session import as_json, chosen_partitions, opened, scoped

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.catalogue import Partition

STORES = ("vector", "keyword", "graph")


@click.command()
@scoped
@as_json
def stats(tenant: str | None, collection: str | None, as_json: bool) -> None:
    """Show for every index of a collection its rows, bytes, fragments, rows that no index covers yet, and generation.

    What a store does not tell is left out.
    """
    with opened() as platform:
        places = chosen_partitions(platform, tenant, collection)
        records = [one for place in places if place.slot_low == 0 for one in _records(platform, place)]
    if as_json:
        for record in records:
            json_line(record)
        return
    numbers = ("generation", "rows", "bytes", "fragments", "unindexed rows")
    table(
        ("collection", "store", "generation", "state", "rows", "bytes", "fragments", "unindexed rows"),
        [
            (f"{one['tenant']}/{one['collection']}", one["store"], one["generation"], one["state"], one["rows"],
             one["size_bytes"], one["fragments"], one["unindexed_rows"])
            for one in records
        ],
        numeric=numbers,
    )  # fmt: skip


def _records(platform: Platform, place: Partition) -> Iterator[dict[str, Any]]:
    from dataclasses import asdict

    from etl_assets.documents.consistency.store_checks import index_of, spaces_of
    from etl_assets.ledger.audits import generation_states
    from etl_assets.protocols.indexes import SpaceStats

    named = {"tenant": place.tenant, "collection": place.collection}
    with platform.ledger.reading() as connection:
        states = generation_states(connection, place.cid)
    for store in ("vector", "keyword"):
        for space in spaces_of(platform, place, store):
            if space is not None:
                held = index_of(platform, store).stats(space)
                state = states.get(space.generation, "unknown")
                yield {**named, "store": store, "generation": space.generation, "state": state, **asdict(held)}
    edges = sum(1 for _ in platform.stores.graph.edges(place.tenant, place.collection))
    yield {**named, "store": "graph", "generation": None, "state": None, **asdict(SpaceStats(edges))}


@click.command()
@click.argument("store", type=click.Choice(STORES))
@scoped
@as_json
def rebuild(store: str, tenant: str | None, collection: str | None, as_json: bool) -> int:
    """Publish everything that STORE holds anew, from the lake; searches go on, and nothing is embedded.

    A document has one number in all stores, so the others are written too. The exit code is 1 when a partition failed.
    """
    from uuid import uuid4

    from etl_assets.documents.consistency.repair import rebuild as build
    from etl_assets.errors import EtlAssetsError

    failed = 0
    with opened() as platform:
        for place in chosen_partitions(platform, tenant, collection):
            try:
                count = build(platform, place, store, run_id=f"rebuild-{uuid4().hex[:12]}")
            except EtlAssetsError as error:
                failed += 1
                warn(f"etl-assets: partition {place.key} was not rebuilt: {printable(str(error))}")
                continue
            if as_json:
                json_line({"partition": place.key, "store": store, "republished": count})
            else:
                say(f"{place.key}: {count:,} documents published anew")
    return 1 if failed else 0

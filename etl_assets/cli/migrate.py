"""``etl-assets migrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.hosted_bindings import Connections
    from etl_assets.settings import Settings


@click.command()
def migrate() -> None:
    """Bring ledger, graph and vector indexes to what this program needs. Run again, it does nothing more.

    Hosted stores are marked as this installation's. What belongs to another one is refused.
    What a newer program has written is refused before anything is changed.
    """
    from etl_assets.cli.session import read_settings
    from etl_assets.hosted_bindings import Connections

    settings = read_settings()
    settings.home.create()
    hosted = Connections(settings)
    try:
        for line in _migrated(hosted, settings):
            say(line)
    finally:
        hosted.close()


def _migrated(hosted: Connections, settings: Settings) -> Iterator[str]:
    """What was done, step by step."""
    _refuse_newer_graph(hosted)
    yield _ledger(hosted)
    if settings.s3 is not None:
        hosted.mark.claim()
        yield f"objects: {hosted.mark.shown} belongs to this installation"
    if settings.neo4j is not None:
        yield _graph(hosted)
    if settings.pinecone is not None:
        yield from _vectors(hosted, settings)


def _refuse_newer_graph(hosted: Connections) -> None:
    from etl_assets.backends.neo4j_probe import newer_graph
    from etl_assets.backends.neo4j_server import SCHEMA_VERSION
    from etl_assets.cli.probed_roles import probed_graph

    if hosted.settings.neo4j is None:
        return
    server = probed_graph(hosted)
    try:
        stated = server.stated_schema()
    finally:
        server.close()
    if stated is not None and stated > SCHEMA_VERSION:
        raise newer_graph(stated)


def _ledger(hosted: Connections) -> str:
    from etl_assets.hosted_bindings import pools_transactions
    from etl_assets.ledger.database import Ledger
    from etl_assets.ledger.probes import sqlite_schema
    from etl_assets.ledger.schema import SCHEMA_VERSION

    place, path = hosted.settings.postgres, hosted.settings.home.ledger_file
    if place is None:
        before = sqlite_schema(path) or 0
        Ledger.sqlite(path).close()
    else:
        from etl_assets.ledger.probes import migrate_postgres

        url = hosted.text(place.url)
        before = migrate_postgres(url, transaction_pooling=pools_transactions(url, place.pooling))
    return f"ledger: {_step(before, SCHEMA_VERSION)}"


def _graph(hosted: Connections) -> str:
    from etl_assets.backends.neo4j_server import SCHEMA_VERSION
    from etl_assets.cli.probed_roles import probed_graph

    server = probed_graph(hosted, patient=True)
    try:
        before = server.stated_schema() or 0
        server.migrate()
    finally:
        server.close()
    return f"graph: {_step(before, SCHEMA_VERSION)}"


def _step(before: int, now: int) -> str:
    if before == now:
        return f"schema {now} was there already"
    return f"made, schema {now}" if not before else f"schema {before} is now {now}"


def _vectors(hosted: Connections, settings: Settings) -> list[str]:
    from etl_assets.backends.embedders import open_embedder
    from etl_assets.backends.pinecone_mark import claim
    from etl_assets.backends.pinecone_server import PineconeAccess, PineconeServer
    from etl_assets.cli.probed_roles import chosen_embedders

    place = settings.pinecone
    assert place is not None
    wanted = {
        open_embedder(choice, cache=settings.home.cache, hosted=hosted.models).model.dimension
        for choice in chosen_embedders(settings)
    }
    key = hosted.text(place.api_key)
    server = PineconeServer(PineconeAccess(key, place.index_prefix, place.cloud, place.region, host=place.host))
    lines = []
    try:
        there = server.indexes()
        for dimension in sorted(wanted):
            claim(server, server.made_index(dimension), dimension, hosted.installation())
            state = "was there already" if dimension in there else "made"
            lines.append(f"vectors: index {server.index_name(dimension)} {state}")
    finally:
        server.close()
    return lines

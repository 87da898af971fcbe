"""``etl-assets document remove``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import printable, say, warn

if TYPE_CHECKING:
    from etl_assets.protocols.objects import Arrivals


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="PATH|ID...")
@click.option("--tenant", metavar="NAME", help="Whose documents the paths name; then they begin inside the collection.")
@click.option("--collection", metavar="NAME", help="Needed with --tenant.")
def remove(names: tuple[str, ...], tenant: str | None, collection: str | None) -> int:
    """Delete documents from the store; then run `etl-assets sync`, which takes them out of every index.

    A document is TENANT/COLLECTION/PATH (globs are allowed in PATH), or an id as `document list` shows it.
    """
    from etl_assets.cli.session import opened
    from etl_assets.errors import ConfigError

    if bool(tenant) != bool(collection):
        raise ConfigError("--tenant and --collection go together; or write TENANT/COLLECTION/PATH")
    failed = 0
    removed: list[str] = []
    with opened() as platform:
        listings: dict[tuple[str, str], list[str]] = {}
        for name in names:
            given = f"{tenant}/{collection}/{name}" if tenant else name
            try:
                keys = keys_of(platform.arrivals, given, listings) or [_key_of_id(platform, name)]
            except ConfigError as error:
                warn(f"etl-assets: {error}")
                failed += 1
                continue
            for key in keys:
                platform.arrivals.delete(key)
                say(f"removed {printable(key)}")
            removed += keys
    if removed:
        say(f"{len(removed):,} removed; next: etl-assets sync")
    return 1 if failed else 0


def keys_of(arrivals: Arrivals, given: str, listings: dict[tuple[str, str], list[str]]) -> list[str]:
    """Keys in the store that are ``given`` or match it."""
    from etl_assets.protocols.objects import ObjectInfo

    parts = given.split("/", 2)
    if len(parts) < 3:
        return []
    place = (parts[0], parts[1])
    if place not in listings:
        listings[place] = [one.key for one in arrivals.list(*place) if isinstance(one, ObjectInfo)]
    if given in listings[place]:
        return [given]
    return sorted(key for key in listings[place] if fnmatchcase(key, given))


def _key_of_id(platform: object, name: str) -> str:
    from etl_assets.cli.choosing import one_document
    from etl_assets.documents.platform import Platform

    assert isinstance(platform, Platform)
    return one_document(platform, name, by_file_name=False).key

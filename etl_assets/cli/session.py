"""What commands share: the settings, the opened platform, the places a search reads, and common options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from etl_assets.cli.output import printable, warn
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.catalogue import Partition
    from etl_assets.settings import Settings

F = TypeVar("F", bound=Callable[..., object])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, one object a line.")


def scoped(command: F) -> F:
    """Adds ``--tenant`` and ``--collection``, both optional."""
    command = click.option("--collection", metavar="NAME", help="Only collections of this name.")(command)
    return click.option("--tenant", metavar="NAME", help="Only collections of this tenant.")(command)


def read_settings() -> Settings:
    """The settings of the environment and of ``.env``.

    Raises:
        ConfigError: every wrong one, in one message.
    """
    from etl_assets.settings import Settings

    return Settings.from_process()


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Platform]:
    """The platform of these settings, or of the environment's; its ledger is closed with the context."""
    from etl_assets.bindings import open_platform

    platform = open_platform(settings or read_settings())
    try:
        yield platform
    finally:
        platform.close()


def chosen_partitions(platform: Platform, tenant: str | None, collection: str | None) -> list[Partition]:
    """The partitions asked for.

    Raises:
        ConfigError: names were given and nothing has them.
    """
    from etl_assets.ledger.catalogue import partitions

    found = partitions(platform.ledger, tenant=tenant, collection=collection)
    if not found and (tenant or collection):
        raise unknown_collection(tenant, collection)
    return found


def unknown_collection(tenant: str | None, collection: str | None) -> ConfigError:
    """What to say when nothing has these names."""
    return ConfigError(
        f"there is no collection {tenant or '*'}/{collection or '*'}; `etl-assets status` lists those that exist"
    )


def warn_of_moves(platform: Platform) -> None:
    """Name each store that is set to another place than the one that was published to."""
    from etl_assets.documents.publication.moves import told_moves

    for line in told_moves(platform):
        warn(f"etl-assets: {printable(line)}")


def warn_of_unusable(platform: Platform, tenant: str | None, collection: str | None) -> None:
    """Name each collection whose settings cannot be used: its documents wait, those of others do not."""
    from etl_assets.documents.listing import unusable_settings

    for (owner, name), problem in sorted(unusable_settings(platform, tenant=tenant, collection=collection).items()):
        warn(f"etl-assets: {owner}/{name}: {printable(problem)}")

"""``etl-assets catalogue add``, ``replace``, ``show`` and ``remove``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl_assets.cli.output import instant, json_line, printable, say, table, warn
from etl_assets.cli.session import as_json, opened
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.ledger.given_catalogues import GivenCatalogue, Mode

F = TypeVar("F", bound=Callable[..., object])

_MOST_NAMED = 20
_BUNDLE = click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="BUNDLE.json")
_FOR = click.option("--collection", "place", metavar="TENANT[/COLLECTION]", help="Only for these; else for all.")
_NAME = click.option("--name", metavar="NAME", help="What it is called; the file's name without it.")


@click.command()
@_BUNDLE
@_FOR
@_NAME
@as_json
def add(bundle: Path, place: str | None, name: str | None, as_json: bool) -> None:
    """Link documents to what a STIX 2.1 bundle names too, beside the catalogue that they are linked to now.

    The next sync links the documents that name something of it, and no others. One of the same name is replaced.
    """
    _bring(bundle, place, name, "add", as_json)


@click.command()
@_BUNDLE
@_FOR
@_NAME
@as_json
def replace(bundle: Path, place: str | None, name: str | None, as_json: bool) -> None:
    """Link documents to what a STIX 2.1 bundle names, in place of the catalogue that they are linked to now."""
    _bring(bundle, place, name, "replace", as_json)


@click.command()
@as_json
@click.option("--history", is_flag=True, help="Those too that are not in use any more.")
def show(as_json: bool, history: bool) -> None:
    """List the catalogues in use: the packaged one, and those that were brought."""
    from etl_assets.ledger.given_catalogues import given

    with opened() as platform:
        packaged = platform.catalogue()
        with platform.ledger.reading() as connection:
            found = given(connection, ended=history)
        entries = len(packaged.entries)
    if as_json:
        json_line({"catalogue_id": 0, "name": "packaged", "digest": packaged.digest, "entries": entries})
        for one in found:
            json_line(_plain(one))
        return
    table(
        ("id", "name", "for", "mode", "entries", "given", "by", "ended"),
        [("0", "packaged (ATT&CK)", "all", "", entries, "", "", ""),
         *((str(one.catalogue_id), one.name, _scope(one), one.mode, one.entries, instant(one.given_at), one.given_by,
            instant(one.ended_at) or "") for one in found)],
        numeric=("entries",),
    )  # fmt: skip


@click.command()
@click.argument("catalogue_id", metavar="ID", type=click.IntRange(min=1))
@as_json
def remove(catalogue_id: int, as_json: bool) -> None:
    """Take a catalogue out of use; ID is the one that `catalogue show` lists. Documents are linked as before it."""
    from etl_assets.cli.acting import acting_person
    from etl_assets.ledger import given_catalogues

    with opened() as platform, platform.ledger.writing() as connection:
        ended = given_catalogues.remove(connection, catalogue_id, by=acting_person())
    if ended is None:
        raise ConfigError(
            f"catalogue {catalogue_id}: none of this id is in use; `etl-assets catalogue show` lists them"
        )
    if as_json:
        json_line(_plain(ended))
    else:
        say(f"catalogue {catalogue_id} ({printable(ended.name)}) is not used any more; run: etl-assets sync")


def _bring(bundle: Path, place: str | None, name: str | None, mode: Mode, as_json: bool) -> None:
    from etl_assets.cli.acting import acting_person
    from etl_assets.documents.catalogues import bring
    from etl_assets.documents.model import checked_name

    tenant, _, collection = (place or "").partition("/")
    if place is not None:
        checked_name(tenant, "tenant")
        if collection or "/" in place:
            checked_name(collection, "collection")
    data = bundle.read_bytes()
    with opened() as platform:
        made, read = bring(
            platform.ledger, data, name=name or bundle.stem, mode=mode, tenant=tenant, collection=collection,
            by=acting_person(),
        )  # fmt: skip
    for one in read.refused[:_MOST_NAMED]:
        warn(f"etl-assets: object {one.place} {printable(one.object_id)} was left out: {printable(one.reason)}")
    if len(read.refused) > _MOST_NAMED:
        warn(f"etl-assets: and {len(read.refused) - _MOST_NAMED:,} more objects were left out")
    if as_json:
        json_line(_plain(made) | {"refused": [asdict(one) for one in read.refused]})
    else:
        said = "is used in place of others" if mode == "replace" else "is used too"
        say(f"catalogue {made.catalogue_id} ({printable(made.name)}) with {made.entries:,} entries {said}, for "
            f"{_scope(made)}; run: etl-assets sync")  # fmt: skip


def _scope(one: GivenCatalogue) -> str:
    return "/".join(part for part in (one.tenant, one.collection) if part) or "all"


def _plain(one: GivenCatalogue) -> dict[str, Any]:
    return asdict(one) | {"given_at": instant(one.given_at), "ended_at": instant(one.ended_at)}

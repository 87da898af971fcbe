"""``etl-assets export stix`` and ``parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, say
from etl_assets.cli.session import as_json, opened, unknown_collection

if TYPE_CHECKING:
    from etl_assets.documents.exported import Described
    from etl_assets.documents.platform import Platform
    from etl_assets.search.published_tables import Shown

_PLACE = click.argument("place", metavar="TENANT/COLLECTION")


@click.command()
@_PLACE
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--least-confidence", type=click.FloatRange(0, 1), default=0.5, show_default=True, metavar="SHARE",
              help="Leave out what is less sure.")  # fmt: skip
@as_json
def stix(place: str, file: Path, least_confidence: float, as_json: bool) -> None:
    """Write what was found in the published documents as one STIX 2.1 bundle.

    There is a report for each document, an object for each entity, and a relationship for each relation that a
    sentence states and none denies. Ids are the same each time. TENANT alone stands for all its collections.
    """
    from etl_assets.bindings import search_places
    from etl_assets.documents.exported import EXPORTED, accepted_labels, report_of, write_bundle
    from etl_assets.documents.stix.bundle import stix_bundle
    from etl_assets.search.published_tables import whole_table

    with opened() as platform:
        places = search_places(platform)
        shown = _published(platform, place)
        tables = {name: whole_table(places, shown, stage, columns()) for name, (stage, columns) in EXPORTED.items()}
        described = _described(platform, shown)
    labels = accepted_labels(tables["labels"])
    reports = [report_of(one, labels.get(one.document_id, ())) for one in described]
    bundle = stix_bundle(reports, tables["mentions"], tables["relations"], least=least_confidence)
    write_bundle(file, bundle)
    count = len(bundle["objects"])
    if as_json:
        json_line({"file": str(file), "documents": len(shown), "objects": count})
    else:
        say(f"wrote {count:,} objects of {len(shown):,} documents to {file}")


@click.command()
@_PLACE
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER")
@as_json
def parquet(place: str, folder: Path, as_json: bool) -> None:
    """Write mentions, relations, labels and entities of the published documents as Parquet files into FOLDER."""
    from etl_assets.bindings import search_places
    from etl_assets.documents.exported import EXPORTED, write_tables
    from etl_assets.search.published_tables import table_batches

    with opened() as platform:
        places, shown = search_places(platform), _published(platform, place)
        tables = {name: partial(table_batches, places, shown, stage, columns())
                  for name, (stage, columns) in EXPORTED.items()}  # fmt: skip
        counts = write_tables(folder, tables)
    if as_json:
        json_line({"folder": str(folder), "documents": len(shown), "rows": counts})
        return
    for name, count in counts.items():
        say(f"wrote {count:,} rows to {folder / name}.parquet")


def _published(platform: Platform, place: str) -> list[Shown]:
    from etl_assets.bindings import search_places
    from etl_assets.search.published_tables import visible_of

    tenant, _, collection = place.partition("/")
    shown = visible_of(search_places(platform), tenant, collection or None)
    if not shown:
        raise unknown_collection(tenant, collection or None)
    return shown


def _described(platform: Platform, shown: Sequence[Shown]) -> list[Described]:
    from etl_assets.documents.exported import Described
    from etl_assets.ledger import documents_view

    found = []
    with platform.ledger.reading() as connection:
        for _, one in shown:
            versions = documents_view.versions_of(connection, one.document_id)
            arrived = [float(each["arrived_at"]) for each in versions if each["version"] == one.version]
            title = str(one.record.get("title") or one.path)
            found.append(Described(one.document_id, title, one.record.get("date"), min(arrived, default=0.0)))
    return found

"""``etl-assets report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import say
from etl_assets.cli.session import opened, unknown_collection
from etl_assets.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform


@click.command()
@click.argument("name", metavar="DOCUMENT|TENANT[/COLLECTION]")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE.html",
              help="Where the page is written.")  # fmt: skip
def report(name: str, out: Path) -> None:
    """Write one HTML page: on a document, or an overview of a collection or a tenant.

    On a document: what it is, its labels with the sentences behind them, the relations it states, drawn, and its text
    with what it names marked. Of a collection: documents over time, labels, what is named and what comes together. The
    page holds all it needs: it loads nothing and runs nothing.
    """
    with opened() as platform:
        html = _collection(platform, name) if _names_collection(platform, name) else _document(platform, name)
    try:
        out.write_bytes(html.encode("utf-8", "replace"))
    except OSError as e:
        raise PermanentError(f"writing {out}: {e.strerror or e}; choose another place") from e
    say(f"wrote {out}")


def _names_collection(platform: Platform, name: str) -> bool:
    from etl_assets.ledger.catalogue import partitions

    tenant, _, collection = name.partition("/")
    return "/" not in collection and bool(partitions(platform.ledger, tenant=tenant, collection=collection or None))


def _collection(platform: Platform, name: str) -> str:
    from etl_assets.bindings import search_places
    from etl_assets.documents.classification.find import classifications_columns
    from etl_assets.documents.model import mentions_columns
    from etl_assets.search.report_collection import collection_page, overview

    tenant, _, collection = name.partition("/")
    found = overview(
        search_places(platform), tenant, collection or None, mentions=mentions_columns(),
        labels=classifications_columns(),
    )  # fmt: skip
    if not found.documents:
        raise unknown_collection(tenant, collection or None)
    return collection_page(found)


def _document(platform: Platform, name: str) -> str:
    from etl_assets.bindings import search_places
    from etl_assets.cli.choosing import one_document
    from etl_assets.documents.classification.find import classifications_columns
    from etl_assets.search.links import read_documents
    from etl_assets.search.published_rows import published_rows
    from etl_assets.search.published_tables import visible_of
    from etl_assets.search.report_document import document_page

    named, places = one_document(platform, name), search_places(platform)
    shown = [pair for pair in visible_of(places, named.tenant, named.collection)
             if pair[1].document_id == named.document_id]  # fmt: skip
    if not shown:
        raise ConfigError(f"document {name}: it is not published; `etl-assets document show` says why")
    (read,) = read_documents(places, shown)
    labels = published_rows(places, [shown[0][1]], "classifications", list(classifications_columns()))
    return document_page(read, labels.get(read.document.publication, ()))

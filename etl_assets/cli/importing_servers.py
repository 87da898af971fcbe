"""``etl-assets import chroma`` and ``qdrant``: indexes that a server keeps."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from etl_assets.cli.importing import bring_in, import_options, inside
from etl_assets.cli.output import printable


def _key(variable: str) -> Callable[..., Any]:
    return click.option(
        "--api-key-variable", default=variable, show_default=True, metavar="VARIABLE",
        help="The environment variable that holds the server's key, if it wants one.",
    )  # fmt: skip


@click.command()
@inside
@_key("CHROMA_API_KEY")
@import_options
def chroma(source: str, name: str | None, api_key_variable: str, **wanted: Any) -> int:
    """Bring in a collection of Chroma: SOURCE is the address of its server, or the folder where it is kept."""
    from etl_assets.backends.foreign_chroma import ChromaFolder, ChromaServer
    from etl_assets.hosted_bindings import needs

    if _is_address(source):
        needs("chroma", "httpx")
        return bring_in("chroma", ChromaServer(source, name, key=os.environ.get(api_key_variable, "")), wanted)
    return bring_in("chroma", ChromaFolder(Path(source), name), wanted)


@click.command()
@inside
@_key("QDRANT_API_KEY")
@import_options
def qdrant(source: str, name: str | None, api_key_variable: str, **wanted: Any) -> int:
    """Bring in a collection of Qdrant: SOURCE is the address of its server."""
    from etl_assets.backends.foreign_qdrant import QdrantServer
    from etl_assets.hosted_bindings import needs

    if not _is_address(source):
        raise click.UsageError(f"{printable(source)}: name the address of a Qdrant server, as in http://localhost:6333")
    needs("qdrant", "httpx")
    return bring_in("qdrant", QdrantServer(source, name, key=os.environ.get(api_key_variable, "")), wanted)


def _is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))

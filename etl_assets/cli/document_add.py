"""``etl-assets document add``."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import printable, say, warn

if TYPE_CHECKING:
    from etl_assets.cli.sources import Source
    from etl_assets.protocols.objects import Arrivals, ObjectAttributes


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--tenant", required=True, metavar="NAME", help="Who owns the documents.")
@click.option("--collection", required=True, metavar="NAME", help="What they belong to.")
@click.option("--under", default="", metavar="FOLDER", help="A folder inside the collection to put them in.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Kept with each document; may be repeated.")
@click.option("--content-type", metavar="TYPE", help="What the documents are, such as application/pdf.")
def add(
    paths: tuple[str, ...],
    tenant: str,
    collection: str,
    under: str,
    metadata: tuple[str, ...],
    content_type: str | None,
) -> int:
    """Copy files, folders or quoted globs into a collection, each whole or not at all; then run `etl-assets sync`.

    A file named by itself keeps its name; the files of a folder or a glob keep their path below it. Files that are
    there already with the same bytes and metadata are left; others of the same path are replaced.
    """
    from etl_assets.cli.session import opened, read_settings
    from etl_assets.cli.sources import find_sources
    from etl_assets.documents.model import checked_name
    from etl_assets.protocols.objects import ObjectAttributes

    prefix = f"{checked_name(tenant, 'tenant')}/{checked_name(collection, 'collection')}"
    attributes = ObjectAttributes(content_type, _pairs(metadata))
    settings = read_settings()
    found = find_sources(paths, home=settings.home.root, under=under)
    with opened(settings) as platform:
        outcomes = _take(platform.arrivals, tenant, collection, found.sources, attributes)
    for file, why in found.skipped:
        say(f"skipped {printable(file)}: {why}")
    for file, why in outcomes.pop("failed", {}).items():
        warn(f"etl-assets: {printable(file)}: {printable(why)}")
        outcomes.setdefault("not added", {})[file] = why
    counts = {word: len(outcomes.get(word, {})) for word in ("added", "replaced", "unchanged", "not added")}
    say(f"{prefix}: " + ", ".join(f"{count:,} {word}" for word, count in counts.items() if count or word == "added"))
    if counts["added"] or counts["replaced"]:
        say(f"next: etl-assets sync --tenant {tenant} --collection {collection}")
    return 1 if counts["not added"] else 0


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{text!r}: write KEY=VALUE", param_hint="--metadata")
        pairs[key.strip()] = value
    return pairs


def _take(
    arrivals: Arrivals, tenant: str, collection: str, sources: list[Source], attributes: ObjectAttributes
) -> dict[str, dict[str, str]]:
    """Outcome (added, replaced, unchanged, failed) -> file -> why. A file that fails does not stop the others."""
    from etl_assets.errors import ConfigError, DataError
    from etl_assets.protocols.objects import ObjectInfo

    sizes = {e.key: e.size_bytes for e in arrivals.list(tenant, collection) if isinstance(e, ObjectInfo)}
    outcomes: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            key = f"{tenant}/{collection}/{source.path}"
            why = ""
            try:
                outcome = "added" if key not in sizes else "replaced"
                size = source.file.stat().st_size
                if sizes.get(key) == size and _is_same(arrivals, key, source.file, attributes, Path(folder)):
                    outcome = "unchanged"
                else:
                    arrivals.put(key, source.file, attributes=attributes)
            except (ConfigError, DataError) as error:
                outcome, why = "failed", str(error)
            except OSError as error:
                outcome, why = "failed", error.strerror or str(error)
            outcomes.setdefault(outcome, {})[str(source.file)] = why
    return outcomes


def _is_same(arrivals: Arrivals, key: str, file: Path, attributes: ObjectAttributes, folder: Path) -> bool:
    """Whether the store holds this very file under ``key``, and nothing else is said about it now."""
    from etl_assets.errors import DataError, TransientError

    copy = folder / "copy"
    try:
        there = arrivals.fetch(key, copy)
    except (FileNotFoundError, DataError, TransientError):
        return False  # it is going or changing: writing it is what was asked for
    copy.unlink()
    with open(file, "rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    return there.sha256 == sha256 and there.attributes == attributes

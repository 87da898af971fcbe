"""``etl-assets import``: the index of another system as a collection, with its own vectors; and taking it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, printable, say, table, warn
from etl_assets.cli.session import as_json, opened, read_settings

if TYPE_CHECKING:
    from etl_assets.documents.importing.index import ImportReport, Wish
    from etl_assets.documents.platform import Platform
    from etl_assets.protocols.foreign_index import ForeignIndex
    from etl_assets.settings import Settings

SHOWN = 20
_FIELDS = ("id", "text", "vector", "document", "page", "order", "title", "date")
_FIELD_HELP = {
    "document": "The field that says which document a row is of; without it each row is a document.",
    "page": "The field with a row's page, from 1 on.",
    "order": "The field that sorts a document's rows; without it they stay in the order of the source.",
}


def import_options(command: Callable[..., int]) -> Callable[..., int]:
    """Adds the argument and the options that all kinds of source share."""
    for name in reversed(_FIELDS):
        text = _FIELD_HELP.get(name, f"The field with a row's {name}.")
        command = click.option(f"--{name}-field", f"{name}_field", metavar="NAME", help=text)(command)
    shared = [
        click.argument("source", metavar="SOURCE"),
        click.option("--into", required=True, metavar="TENANT/COLLECTION", help="The collection that it becomes."),
        click.option(
            "--model", required=True, metavar="KIND[:NAME]",
            help="The model that made the vectors: minilm, static, folder:NAME, jina[:NAME] or openai:NAME.",
        ),
        click.option("--under", default="", metavar="FOLDER", help="A folder inside the collection for its documents."),
        click.option("--again", metavar="IMPORT_ID", help="SOURCE is a newer state of what this import brought."),
        click.option("--trust-model", is_flag=True, help="Do not embed some texts again to see if the model is true."),
        click.option(
            "--embed-anew", is_flag=True,
            help="Where the collection has another model, let it embed the texts instead of leaving them to keywords.",
        ),
        click.option("--dry-run", is_flag=True, help="Read everything, say what would be done, and write nothing."),
    ]  # fmt: skip
    for option in reversed(shared):
        command = option(command)
    return as_json(command)


inside = click.option("--name", metavar="NAME", help="Which one, where SOURCE holds several.")


@click.command()
@import_options
def jsonl(source: str, **wanted: Any) -> int:
    """Bring in JSON lines, plain or in gzip: one object a line, with id, text, vector and metadata."""
    from etl_assets.backends.foreign_jsonl import JsonLines

    return bring_in("jsonl", JsonLines(Path(source)), wanted)


@click.command()
@inside
@import_options
def lancedb(source: str, name: str | None, **wanted: Any) -> int:
    """Bring in a table of LanceDB: SOURCE is its folder, NAME.lance, or the folder of the database."""
    from etl_assets.backends.lancedb_foreign import ForeignLanceTable

    return bring_in("lancedb", ForeignLanceTable(Path(source), name), wanted)


@click.command(name="list")
@as_json
def list_imports(as_json: bool) -> None:
    """List what was brought in, and under which model."""
    from dataclasses import asdict

    from etl_assets.ledger.imports import imports

    with opened() as platform, platform.ledger.reading() as connection:
        found = imports(connection)
    if as_json:
        for one in found:
            json_line(asdict(one) | {"started_at": instant(one.started_at), "ended_at": instant(one.ended_at)})
        return
    table(
        ("id", "collection", "kind", "source", "model", "state", "documents"),
        [
            (one.import_id, f"{one.tenant}/{one.collection}", one.kind, one.source, _named(one.model), one.state,
             one.documents)
            for one in found
        ],
        numeric=("documents",),
    )  # fmt: skip


@click.command(name="undo")
@click.argument("name", metavar="IMPORT_ID|TENANT/COLLECTION")
@as_json
def undo_import(name: str, as_json: bool) -> int:
    """Take back what an import brought, from every store. What somebody put in its place since stays.

    A collection names its import where it has only one.
    """
    from etl_assets.documents.importing.index import undo

    settings = read_settings()
    with opened(settings) as platform:
        found, done = undo(platform, name)
        keys = _partitions(platform, found.tenant, found.collection)
    if as_json:
        json_line(
            {"import_id": found.import_id, "removed": done.removed, "replaced": done.replaced, "partitions": keys}
        )
        return _run_quietly(settings, keys)
    say(f"import {found.import_id}: {len(done.removed):,} documents are removed from {found.tenant}/{found.collection}")
    _say_paths("somebody has put other bytes there, which stay", done.replaced)
    return _run(settings, keys)


def bring_in(kind: str, source: ForeignIndex, wanted: dict[str, Any]) -> int:
    """Import from ``source`` as the options say, run what that changes, and return the exit code."""
    from etl_assets.cli.ingest import opened_dry
    from etl_assets.documents.importing.index import bring

    wish, dry, as_json = _wish(kind, wanted), bool(wanted["dry_run"]), bool(wanted["as_json"])
    settings = read_settings()
    with opened_dry(settings) if dry else opened(settings) as platform:
        report = bring(platform, source, wish, dry=dry)
        keys = [] if dry else _partitions(platform, wish.tenant, wish.collection)
    if as_json:
        json_line(report.as_json() | {"dry_run": dry, "partitions": keys})
    else:
        _show(report, wish, dry)
    failed = 1 if report.conflicts else 0
    if dry:
        return failed
    return max(failed, _run_quietly(settings, keys) if as_json else _run(settings, keys))


def _wish(kind: str, wanted: dict[str, Any]) -> Wish:
    from etl_assets.documents.importing.foreign_rows import FieldNames
    from etl_assets.documents.importing.index import Wish
    from etl_assets.documents.importing.model import declared
    from etl_assets.documents.model import checked_name

    tenant, slash, collection = wanted["into"].partition("/")
    if not slash:
        raise click.UsageError(f"--into {printable(wanted['into'])}: write TENANT/COLLECTION")
    names = FieldNames(**{name: wanted[f"{name}_field"] for name in _FIELDS})
    return Wish(
        checked_name(tenant, "tenant"), checked_name(collection, "collection"), kind, declared(wanted["model"]), names,
        wanted["under"].strip("/"), wanted["again"], wanted["trust_model"], wanted["embed_anew"],
    )  # fmt: skip


def _partitions(platform: Platform, tenant: str, collection: str) -> list[str]:
    """Keys of the partitions that have something to do."""
    from etl_assets.cli.ingest import plan

    plans = plan(platform, tenant, collection, dry=False)
    for error in plans.errors:
        warn(f"etl-assets: {printable(error)}")
    return plans.partitions


def _run(settings: Settings, keys: Sequence[str]) -> int:
    from etl_assets.cli.ingest import run_and_report

    return run_and_report(settings, keys) if keys else 0


def _run_quietly(settings: Settings, keys: Sequence[str]) -> int:
    from etl_assets.launching import run_partitions

    return 1 if keys and any(one.error for one in run_partitions(settings, keys)) else 0


def _named(model: Any) -> str:
    return f"{model['kind']}:{model['name']}" if model["name"] else str(model["kind"])


def _show(report: ImportReport, wish: Wish, dry: bool) -> None:
    word = "would be " if dry else ""
    say(
        f"import {report.import_id} of {printable(report.source)} into {wish.tenant}/{wish.collection}: "
        f"{report.rows:,} rows, {report.documents:,} documents"
    )
    say(
        f"  {report.added:,} {word}added, {report.changed:,} {word}changed, {report.unchanged:,} unchanged, "
        f"{report.removed:,} {word}removed"
    )
    for reason, count in sorted(report.rejected.items()):
        say(f"  {count:,} rows cannot be used: {reason}" + ("" if dry else "; etl-assets quarantine list"))
    if report.repeated:
        say(f"  {report.repeated:,} rows are there twice, and are taken once")
    if report.normalised:
        say(f"  {report.normalised:,} vectors were brought to length 1: order by cosine stays, by another measure not")
    _say_check(report)
    _say_paths("taken by another document, so not imported; choose a folder with --under", report.conflicts)
    _say_paths("somebody has put other bytes there since the last import, which stay", report.replaced)
    if report.configure:
        say(
            f"  search by vector waits: the model of {wish.tenant}/{wish.collection} is another one; put this in "
            f"collections.yaml for it, then run `etl-assets sync`: {report.configure}"
        )


def _say_check(report: ImportReport) -> None:
    check = report.check
    if check.skipped:
        say(f"  the declared model was not tried: {printable(check.skipped)}")
    elif check.median is not None:
        median, least = f"{check.median:.3f} in the median", f"{check.least:.3f} at least"
        say(f"  {check.texts:,} texts were embedded again to see if the model is true: cosine {median}, {least}")


def _say_paths(what: str, paths: Sequence[str]) -> None:
    for path in paths[:SHOWN]:
        say(f"  {printable(path)}: {what}")
    if len(paths) > SHOWN:
        say(f"  and {len(paths) - SHOWN:,} more")

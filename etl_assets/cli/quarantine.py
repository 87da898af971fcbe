"""``etl-assets quarantine list`` and ``retry``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import instant, json_line, printable, say, shortened, table
from etl_assets.cli.session import as_json, opened, read_settings, scoped

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.documents_view import HeldDocument


@click.command("list")
@scoped
@click.option("--reason", metavar="CODE", help="Only this reason, such as encrypted.")
@as_json
def list_held(tenant: str | None, collection: str | None, reason: str | None, as_json: bool) -> None:
    """List what is held back, and why. Its neighbours go on, and its last good version stays published."""
    with opened() as platform:
        rows = _held(platform, tenant, collection, reason)
    if as_json:
        for one in rows:
            record = asdict(one) | {"first_at": instant(one.first_at), "last_at": instant(one.last_at)}
            del record["producer_id"]
            json_line(record)
        return
    table(
        ("id", "collection", "path", "stage", "reason", "attempts", "message"),
        [
            (one.document_id[:12], f"{one.tenant}/{one.collection}", shortened(one.path, 50), one.stage, one.reason,
             one.attempts, shortened(one.message, 120))
            for one in rows
        ],
        numeric=("attempts",),
    )  # fmt: skip
    say(f"{len(rows):,} in quarantine")


@click.command()
@click.argument("names", nargs=-1, metavar="[ID|PATH]...")
@scoped
@click.option("--reason", metavar="CODE", help="Only this reason, such as time-limit.")
def retry(names: tuple[str, ...], tenant: str | None, collection: str | None, reason: str | None) -> int:
    """Try documents again: those named, or all that the options choose. What fails again is held again."""
    from etl_assets.cli.choosing import one_document
    from etl_assets.cli.ingest import run_and_report
    from etl_assets.documents.listing import partition_of
    from etl_assets.errors import ConfigError
    from etl_assets.ledger.catalogue import partitions
    from etl_assets.ledger.documents_view import ask_retry
    from etl_assets.ledger.quarantine import IMPORT_STAGE

    settings = read_settings()
    with opened(settings) as platform:
        rows = _held(platform, tenant, collection, reason)
        if names:
            wanted = {one_document(platform, name).document_id: name for name in names}
            missing = [name for document, name in wanted.items() if document not in {row.document_id for row in rows}]
            if missing:
                raise ConfigError(f"document {printable(missing[0])}: it is not in quarantine")
            rows = [row for row in rows if row.document_id in wanted]
        places = partitions(platform.ledger)
        keys = {row.document_id: key for row in rows if (key := partition_of(places, row)) is not None}
        again = [
            row for row in rows
            if row.document_id in keys and row.reason != "unusable-key" and row.stage != IMPORT_STAGE
        ]  # fmt: skip
        if again:
            with platform.ledger.writing() as connection:
                ask_retry(connection, again, keys)
    for row in rows:
        if row not in again:
            helps = "mend the row and import again" if row.stage == IMPORT_STAGE else "only another name helps"
            say(f"{printable(row.path)}: {row.reason}: {helps}")
    if not again:
        say("nothing to try again")
        return 0
    say(f"trying {len(again):,} again")
    return run_and_report(settings, sorted({keys[row.document_id] for row in again}))


def _held(platform: Platform, tenant: str | None, collection: str | None, reason: str | None) -> list[HeldDocument]:
    from etl_assets.ledger.documents_view import held_documents

    with platform.ledger.reading() as connection:
        rows = held_documents(connection, tenant=tenant, collection=collection)
    return [row for row in rows if reason is None or row.reason == reason]

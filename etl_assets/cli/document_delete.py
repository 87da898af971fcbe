"""``etl-assets document delete``, ``collection delete`` and ``tenant delete``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, printable, say, warn
from etl_assets.cli.session import as_json, opened, read_settings, unknown_collection
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.deletion.orders import Deleted
    from etl_assets.documents.document_names import DocumentName
    from etl_assets.documents.platform import Platform

purging = click.option(
    "--purge", is_flag=True, help="Also originals, data keys, history and every byte that the stores' files keep."
)
forgetting = click.option(
    "--forget-backups", is_flag=True,
    help="With --purge: forget the backups in ETL_BACKUP_TARGETS that hold any of it. Make a new one afterwards.",
)  # fmt: skip
confirmed = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command("delete")
@click.argument("names", nargs=-1, metavar="PATH|ID...")
@click.option("--tenant", metavar="NAME", help="Whose documents the paths name; then they begin inside the collection.")
@click.option("--collection", metavar="NAME", help="Needed with --tenant.")
@purging
@forgetting
@click.option("--resume", is_flag=True, help="Finish the deletions that were interrupted, of whatever kind.")
@confirmed
@as_json
def delete_document(
    names: tuple[str, ...], tenant: str | None, collection: str | None, purge: bool, forget_backups: bool,
    resume: bool, yes: bool, as_json: bool,
) -> int:  # fmt: skip
    """Delete documents from their keys and from everything made of them, and sign a certificate of it.

    A document is TENANT/COLLECTION/PATH (globs are allowed in PATH), or an id as `document list` shows it. Where the
    store is read-only, a tombstone keeps the document away until its key is gone or its bytes change.
    """
    from etl_assets.documents.deletion.orders import delete_documents, finish_interrupted

    if bool(tenant) != bool(collection):
        raise ConfigError("--tenant and --collection go together; or write TENANT/COLLECTION/PATH")
    if bool(names) == resume:
        raise click.UsageError("name documents, or give --resume alone")
    with _opened(purge or resume, forget_backups) as platform:
        if resume:
            return _told(finish_interrupted(platform, _steps(as_json)), as_json)
        doomed, failed = _chosen(platform, [f"{tenant}/{collection}/{name}" if tenant else name for name in names])
        if not doomed:
            return 1
        _ask(f"{len(doomed):,} documents", purge, yes)
        return max(failed, _told(delete_documents(platform, doomed, purge=purge, say=_steps(as_json)), as_json))


@click.command("delete")
@click.argument("name", metavar="TENANT/COLLECTION")
@purging
@forgetting
@confirmed
@as_json
def delete_collection(name: str, purge: bool, forget_backups: bool, yes: bool, as_json: bool) -> int:
    """Delete every document of a collection, and sign a certificate of it. What collections.yaml says of it stays."""
    from etl_assets.documents.deletion import orders as deletion_orders

    tenant, _, collection = name.partition("/")
    with _opened(purge, forget_backups) as platform:
        if not collection or not _exists(platform, tenant, collection):
            raise unknown_collection(tenant, collection or None)
        _ask(f"the collection {printable(name)}", purge, yes)
        done = deletion_orders.delete_collection(platform, tenant, collection, purge=purge, say=_steps(as_json))
        return _told([done], as_json)


@click.command("delete")
@click.argument("tenant", metavar="TENANT")
@purging
@forgetting
@confirmed
@as_json
def delete_tenant(tenant: str, purge: bool, forget_backups: bool, yes: bool, as_json: bool) -> int:
    """Delete every document of every collection of a tenant, and sign a certificate of it."""
    from etl_assets.documents.deletion import orders as deletion_orders

    with _opened(purge, forget_backups) as platform:
        if not _exists(platform, tenant, None):
            raise unknown_collection(tenant, None)
        _ask(f"all of tenant {printable(tenant)}", purge, yes)
        return _told([deletion_orders.delete_tenant(platform, tenant, purge=purge, say=_steps(as_json))], as_json)


@contextmanager
def _opened(purge: bool, forget_backups: bool) -> Iterator[Platform]:
    """The platform, and the backups that a purge names or forgets."""
    from etl_assets.backup_bindings import open_target
    from etl_assets.documents.backups.of_deleted import TargetBackups

    if forget_backups and not purge:
        raise click.UsageError("--forget-backups goes with --purge")
    settings = read_settings()
    with ExitStack() as stack:
        platform = stack.enter_context(opened(settings))
        targets = [stack.enter_context(open_target(settings, name)) for name in settings.backup_places]
        yield replace(platform, backups=TargetBackups(targets, forget_backups))


def _exists(platform: Platform, tenant: str, collection: str | None) -> bool:
    from etl_assets.ledger import deletions
    from etl_assets.ledger.catalogue import partitions

    if partitions(platform.ledger, tenant=tenant, collection=collection):
        return True
    if any(owner == tenant and collection in (None, name) for owner, name in platform.arrivals.collections()):
        return True
    with platform.ledger.reading() as connection:
        waiting = deletions.unfinished(connection)
    return any(one.tenant == tenant and one.collection == (collection or "") for one in waiting)


def _chosen(platform: Platform, names: Sequence[str]) -> tuple[list[DocumentName], int]:
    """The documents that are named, each once, and 1 when a name means none."""
    from etl_assets.cli.document_remove import keys_of

    listings: dict[tuple[str, str], list[str]] = {}
    found: dict[str, DocumentName] = {}
    failed = 0
    for name in names:
        try:
            keys = keys_of(platform.arrivals, name, listings)
            for one in [_of_key(key) for key in keys] or [_known(platform, name)]:
                found[one.document_id] = one
        except ConfigError as error:
            warn(f"etl-assets: {error}")
            failed = 1
    return list(found.values()), failed


def _of_key(key: str) -> DocumentName:
    from etl_assets.documents.deletion.orders import named

    tenant, collection, path = key.split("/", 2)
    return named(tenant, collection, path)


def _known(platform: Platform, name: str) -> DocumentName:
    """A document that only the ledger knows, or only a deletion that was interrupted."""
    from etl_assets.cli.choosing import one_document
    from etl_assets.ledger import deletions

    try:
        return one_document(platform, name, by_file_name=False)
    except ConfigError:
        with platform.ledger.reading() as connection:
            waiting = deletions.unfinished(connection)
        if name.count("/") >= 2:
            doomed = _of_key(name)
            if any(doomed.document_id in row.documents for row in waiting):
                return doomed
        raise


def _ask(what: str, purge: bool, yes: bool) -> None:
    if yes:
        return
    verb = "Purge" if purge else "Delete"
    if not sys.stdin.isatty():
        raise ConfigError(f"{verb.lower()} {what}: nobody can be asked here; add --yes")
    click.confirm(f"{verb} {what}? It cannot be undone.", abort=True)


def _steps(as_json: bool) -> Callable[[str], None]:
    def told(step: str) -> None:
        if not as_json:
            say(f"  {step}")

    return told


def _told(done: Sequence[Deleted], as_json: bool) -> int:
    for one in done:
        if as_json:
            json_line(asdict(one))
        else:
            say(f"{one.documents:,} documents deleted; certificate {one.certificate}")
    if not done and not as_json:
        say("nothing was interrupted")
    return 0

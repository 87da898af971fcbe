"""``etl-assets pause``, ``resume`` and ``prioritise``."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from etl_assets.cli.output import instant, json_line, printable, say, warn
from etl_assets.cli.session import as_json, opened, read_settings
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.controls import Control, Controls
    from etl_assets.settings import Settings

LONGEST_REASON = 500

SCOPE = "[TENANT[/COLLECTION]|PARTITION]"
scope_argument = click.argument("scope", metavar=SCOPE, required=False)
in_batch = click.option("--batch", metavar="ID", help="The runs of one sync or backfill, as `runs list` names it.")


@click.command()
@scope_argument
@in_batch
@click.option("--reason", metavar="TEXT", default="", help="Shown to whoever wonders.")
@as_json
def pause(scope: str | None, batch: str | None, reason: str, as_json: bool) -> None:
    """Let no run of a tenant, collection, partition or batch begin, or none at all. Runs at work go on to their end.

    Nothing is lost: what waits in the queue stays there, and what arrives meanwhile is taken in after `resume`.
    """
    from etl_assets.ledger import controls

    if len(reason) > LONGEST_REASON:
        raise ConfigError(f"--reason: {len(reason):,} characters, at most {LONGEST_REASON} are kept")
    settings = read_settings()
    with opened(settings) as platform:
        chosen = _scope(platform, scope, batch)
        # An argument may have bytes that are no text, and no database takes those.
        why = reason.encode("utf-8", "backslashreplace").decode()
        before = controls.pause(platform.ledger, chosen, reason=why, by=_user())
        held = _follow(settings, platform)
    record = {"scope": chosen, "paused": True, "was_paused": before is not None, "queued_runs_held": held}
    _tell(
        as_json, record, f"{controls.told(chosen)}: {'was paused already' if before else 'paused'}; runs at work go on"
    )
    if held and not as_json:
        say(f"{held:,} runs in the queue are held back")


@click.command()
@scope_argument
@in_batch
@click.option("--all", "everywhere", is_flag=True, help="Lift every pause, of whatever it is.")
@as_json
def resume(scope: str | None, batch: str | None, everywhere: bool, as_json: bool) -> int:
    """Lift a pause. What waited goes on, or is asked for again by the sensors; or run `etl-assets sync`.

    Pauses of parts, and of what the named one is part of, hold on and are named.
    """
    from etl_assets.ledger import controls
    from etl_assets.ledger.controls import EVERYTHING

    if everywhere and (scope or batch):
        raise click.UsageError("--all lifts every pause; name nothing beside it")
    settings = read_settings()
    with opened(settings) as platform:
        chosen = [_scope(platform, scope, batch)]
        if everywhere:
            now = controls.controls(platform.ledger).by_scope.values()
            chosen = sorted(one.scope for one in now if one.paused)
        lifted = [one for one in chosen if controls.resume(platform.ledger, one, by=_user()) is not None]
        _ask_again(platform, EVERYTHING if everywhere else chosen[0])
        held = _follow(settings, platform)
        left = [] if everywhere else _still(controls.controls(platform.ledger), chosen[0])
    record = {"resumed": lifted, "still_paused": [one.scope for one in left], "queued_runs_held": held}
    names = ", ".join(map(controls.told, lifted))
    _tell(as_json, record, f"{names}: resumed" if lifted else "nothing was paused by this name")
    for one in left:
        if not as_json:
            warn(f"etl-assets: {told_pause(one)}")
    return 0 if lifted or everywhere or not left else 1


@click.command()
@scope_argument
@in_batch
@click.option("--to", "priority", type=click.IntRange(-100, 100), metavar="NUMBER", help="-100 to 100.")
@click.option("--clear", is_flag=True, help="Take back what was set.")
@as_json
def prioritise(scope: str | None, batch: str | None, priority: int | None, clear: bool, as_json: bool) -> None:
    """Let the runs of a tenant, collection, partition or batch begin before, or after, others: 0 is usual.

    Of what is set for a partition, its collection and its tenant the narrowest counts. Runs at work are not
    interrupted.
    """
    from etl_assets.ledger import controls

    if clear == (priority is not None):
        raise click.UsageError("give --to NUMBER, or --clear to take one back")
    settings = read_settings()
    with opened(settings) as platform:
        chosen = _scope(platform, scope, batch)
        controls.prioritise(platform.ledger, chosen, priority, by=_user())
        _follow(settings, platform)
    said = "no priority of its own any more" if priority is None else f"priority {priority}"
    _tell(as_json, {"scope": chosen, "priority": priority}, f"{controls.told(chosen)}: {said}")


def told_pause(one: Control) -> str:
    """For example ``acme is paused since 2026-01-01T00:00:00Z (disk full); lift that by: etl-assets resume acme``."""
    from etl_assets.ledger.controls import EVERYTHING, told

    why = f" ({printable(one.reason)})" if one.reason else ""
    name = "" if one.scope == EVERYTHING else f" {one.scope}"
    how = f"--batch {one.scope.removeprefix('batch:')}" if one.scope.startswith("batch:") else name.strip()
    return (
        f"{told(one.scope)} is paused since {instant(one.changed_at)}{why}; lift that by: "
        f"etl-assets resume {how}".rstrip()
    )


def _tell(as_json: bool, record: dict[str, Any], text: str) -> None:
    if as_json:
        json_line(record)
    else:
        say(text)


def _still(now: Controls, scope: str) -> list[Control]:
    """Pauses that hold for some of a scope, or for all of it, although its own is lifted."""
    from etl_assets.ledger.controls import EVERYTHING

    outer = [EVERYTHING, *([scope.partition("/")[0]] if "/" in scope else [])]
    if "." in scope:
        tenant, collection = scope.split(".")[:2]
        outer += [tenant, f"{tenant}/{collection}"]
    wider = [now.by_scope[name] for name in outer if name != scope and name in now.by_scope]
    return [one for one in wider if one.paused] + now.paused_within(scope)


def _ask_again(platform: Platform, scope: str) -> None:
    """Let sensors ask for partitions again of which a run was canceled."""
    from etl_assets.ledger import requests
    from etl_assets.ledger.catalogue import partitions
    from etl_assets.ledger.controls import scopes_of

    keys = [one.key for one in partitions(platform.ledger) if scope in scopes_of(one.key)]
    if keys:
        with platform.ledger.writing() as connection:
            requests.ask_again(connection, keys)


def _follow(settings: Settings, platform: Platform) -> int:
    from etl_assets.launching import follow_controls

    return follow_controls(settings, platform.ledger)


def _scope(platform: Platform, text: str | None, batch: str | None) -> str:
    """The scope that was named.

    Raises:
        ConfigError: it has no such form, or there is nothing of this name.
    """
    from etl_assets.documents.model import checked_name
    from etl_assets.ledger.controls import EVERYTHING, batch_scope

    if batch is not None:
        if text is not None:
            raise ConfigError("--batch names the runs; name no tenant, collection or partition beside it")
        return batch_scope(_checked_batch(batch))
    if text is None or text == EVERYTHING:
        return EVERYTHING
    if "." in text:
        return _known_partition(platform, text)
    parts = text.split("/")
    if len(parts) > 2:
        raise ConfigError(f"{printable(text)!r}: write TENANT, TENANT/COLLECTION or a partition key")
    for part, what in zip(parts, ("tenant", "collection"), strict=False):
        checked_name(part, what)
    _refuse_unknown(platform, parts)
    return text


def _known_partition(platform: Platform, key: str) -> str:
    from etl_assets.ledger.catalogue import partition

    return partition(platform.ledger, key).key


def _refuse_unknown(platform: Platform, parts: list[str]) -> None:
    from etl_assets.cli.session import unknown_collection
    from etl_assets.ledger.catalogue import partitions

    tenant, collection = parts[0], parts[1] if len(parts) == 2 else None
    if partitions(platform.ledger, tenant=tenant, collection=collection):
        return
    others = (*platform.collections.named, *platform.arrivals.collections())
    if not any(owner == tenant and collection in (None, name) for owner, name in others):
        raise unknown_collection(tenant, collection)


def _checked_batch(batch: str) -> str:
    from etl_assets.documents.model import NAME

    if NAME.fullmatch(batch.lower()) is None:
        raise ConfigError(f"--batch {printable(batch)!r}: `etl-assets runs list` names batches")
    return batch


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "unknown"

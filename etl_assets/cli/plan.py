"""``etl-assets plan``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, printable, say, table, warn
from etl_assets.cli.session import as_json, read_settings, unknown_collection
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.planning.plan import CollectionPlan
    from etl_assets.documents.platform import Platform


@click.command()
@click.argument("place", metavar="[TENANT[/COLLECTION]]", required=False)
@as_json
@click.option("--set", "overrides", metavar="NAME=VALUE", multiple=True, help="As if it stood so; repeatable.")
@click.option("--partitions", metavar="PATTERN", multiple=True, help="Only partitions so called; repeatable.")
@click.option("--full", is_flag=True, help="As if everything had to be made again.")
def plan(
    place: str | None, as_json: bool, overrides: tuple[str, ...], partitions: tuple[str, ...], full: bool
) -> int:  # fmt: skip
    """Count what the next runs would do, what that takes and costs, and say why. Nothing is changed.

    New and changed documents are read and cut into chunks in memory, so that chunks and texts to embed are counted
    exactly; nothing is sent to a hosted model. The exit code is 1 when a budget would be exceeded or a collection
    could not be planned.
    """
    from etl_assets.cli.ingest import opened_dry
    from etl_assets.documents.planning.plan import NoSuchPartition
    from etl_assets.errors import PermanentError, TransientError

    failed = 0
    with opened_dry(read_settings()) as platform:
        plans: list[CollectionPlan] = []
        seen: dict[tuple[str, str], set[str]] = {}
        for tenant, collection in _chosen(platform, place):
            try:
                plans.append(_planned(platform, tenant, collection, overrides, partitions, full, seen))
            except NoSuchPartition:
                if place is not None and "/" in place:
                    raise
            except (ConfigError, PermanentError, TransientError) as e:  # it costs that collection only
                if place is not None and "/" in place:
                    raise
                warn(f"etl-assets: {tenant}/{collection}: {printable(str(e))}")
                failed = 1
        for one in plans:
            if as_json:
                json_line(one.as_json())
            else:
                show(one)
    if not plans and not failed and partitions:
        raise ConfigError(f"no partition is called {', '.join(partitions)}; `etl-assets status` lists the collections")
    if not plans and not failed:
        say("there is no collection yet")
    return 1 if failed or any(one.budget for one in plans) else 0


def show(plan: CollectionPlan) -> None:
    """One plan, for people."""
    name = f"{plan.tenant}/{plan.collection}"
    for why, count in sorted(plan.standing_in.items()):
        say(
            f"{name}: {count:,} documents have labels of the packaged classifier in place of the chosen one ({why}); "
            f"to ask again: etl-assets sync --tenant {plan.tenant} --collection {plan.collection} --force "
            "--stage classifications"
        )
    if not plan.partitions:
        say(f"{name}: nothing to do")
        return
    say(
        f"{name}: {len(plan.partitions):,} partitions; {plan.added:,} new, {plan.changed:,} changed and "
        f"{plan.removed:,} removed documents, {plan.documents:,} to work on"
    )
    rows = [
        (
            one.stage, one.documents, one.reused, one.rows, one.rows_computed, one.tokens, one.calls, one.size_bytes,
            one.seconds, f"{one.money:.6f} {one.currency}" if one.currency else None,
        )
        for one in plan.stages
    ]  # fmt: skip
    headings = ("step", "documents", "reused", "rows", "computed", "tokens", "calls", "bytes", "seconds", "money")
    table(headings, rows, numeric=headings[1:])
    for one in plan.stages:
        for reason, count in sorted(one.why.items(), key=lambda item: (-item[1], item[0])):
            say(f"  {one.stage}: {count:,} documents: {printable(reason)}")
    assumed = [one.stage for one in plan.stages if not one.measured]
    if assumed:
        say(f"  never measured here, so seconds are assumed: {', '.join(assumed)}")
    for line in plan.notes:
        say(f"  {printable(line)}")
    money = " and ".join(f"{amount:.6f} {currency}" for currency, amount in plan.money.items() if currency != "?")
    took = f"{plan.seconds:,.1f} s, give or take {plan.error_s:,.1f} s"
    say(f"  in all about {took}" + (f" and {money}" if money else ""))
    if "?" in plan.money:
        say("  nobody gave a price: set budget.price_per_million_tokens in collections.yaml")
    if plan.budget:
        warn(f"etl-assets: {printable(plan.budget)}")


def _chosen(platform: Platform, place: str | None) -> list[tuple[str, str]]:
    """The collections asked for: of the store and of the ledger."""
    from etl_assets.ledger.catalogue import partitions

    tenant, _, collection = (place or "").partition("/")
    known = {(one.tenant, one.collection) for one in partitions(platform.ledger)}
    found = sorted(
        one for one in {*platform.arrivals.collections(), *known}
        if tenant in ("", one[0]) and collection in ("", one[1])
    )  # fmt: skip
    if not found and place:
        raise unknown_collection(tenant, collection or None)
    return found


def _planned(
    platform: Platform, tenant: str, collection: str, overrides: Sequence[str], only: Sequence[str], full: bool,
    seen: dict[tuple[str, str], set[str]],
) -> CollectionPlan:  # fmt: skip
    from etl_assets.documents.planning.plan import plan_collection, trying

    tried = trying(platform, tenant, collection, _values(overrides))
    return plan_collection(tried, tenant, collection, only=only, full=full, seen=seen)


def _values(overrides: Sequence[str]) -> Mapping[str, str]:
    pairs = [one.partition("=") for one in overrides]
    for name, sign, _ in pairs:
        if not name or not sign:
            raise ConfigError(f"--set {printable(name)}: write NAME=VALUE, as in --set chunking.max_tokens=120")
    return {name: value for name, _, value in pairs}

"""``etl-assets repair``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, printable, say, warn
from etl_assets.cli.session import as_json, chosen_partitions, opened, scoped

if TYPE_CHECKING:
    from etl_assets.documents.consistency.repair import RepairReport
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.catalogue import Partition

SHOWN = 20
"""How many lines of each kind are shown of one partition; ``--json`` has all."""


@click.command()
@scoped
@click.option("--dry-run", is_flag=True, help="Say what differs and what would be done, and write nothing at all.")
@as_json
def repair(tenant: str | None, collection: str | None, dry_run: bool, as_json: bool) -> int:
    """Make every index, the graph, the lake and the originals equal to the ledger again.

    Rows are published anew from the lake, so nothing is embedded again unless the lake itself has lost it. Searches go
    on meanwhile. The exit code is 0 when afterwards nothing differs.
    """
    with opened() as platform:
        places = chosen_partitions(platform, tenant, collection)
        reports = [one for place in places if (one := _repaired(platform, place, dry_run, as_json)) is not None]
        foreign = [] if tenant or collection else _foreign(platform, dry_run, as_json)
    differing = sum(1 for one in reports if one.left) + len(places) - len(reports)
    if not as_json:
        _sum_up(reports, len(places), differing, dry_run)
    return 1 if differing or (dry_run and foreign) else 0


def _repaired(platform: Platform, place: Partition, dry_run: bool, as_json: bool) -> RepairReport | None:
    """One partition; ``None`` when it failed, which costs that partition only."""
    from uuid import uuid4

    from etl_assets.documents.consistency.repair import repair as mend
    from etl_assets.errors import EtlAssetsError

    try:
        report = mend(platform, place, run_id=f"repair-{uuid4().hex[:12]}", dry_run=dry_run)
    except EtlAssetsError as error:
        if as_json:
            json_line({"partition": place.key, "error": str(error)})
        warn(f"etl-assets: partition {place.key} could not be repaired: {printable(str(error))}")
        return None
    if as_json:
        json_line({**report.as_json(), "dry_run": dry_run})
    else:
        _show(report, dry_run)
    return report


def _show(report: RepairReport, dry_run: bool) -> None:
    if not report.differences:
        return
    say(f"{report.partition}: " + "; ".join(_counted(store, kinds) for store, kinds in report.found.items()))
    for store, lines in report.differences.items():
        _lines(f"  {store}: ", lines)
    _lines("  would " if dry_run else "  did: ", report.done)
    if not dry_run:
        _lines("  still differs: ", report.left)
    if report.given_up:
        say("  the same differences were left by several repairs: none is started by itself any more")


def _counted(store: str, kinds: dict[str, int]) -> str:
    return f"{store} " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())


def _lines(before: str, lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        say(before + printable(line))
    if len(lines) > SHOWN:
        say(f"{before}and {len(lines) - SHOWN:,} more (--json has all)")


def _foreign(platform: Platform, dry_run: bool, as_json: bool) -> list[str]:
    """Index spaces of collections that the ledger does not know."""
    from etl_assets.documents.consistency.mending import drop_unknown_collections

    names = drop_unknown_collections(platform, dry_run=dry_run)
    for name in names:
        if as_json:
            json_line({"index": name, "dropped": not dry_run})
        else:
            say(f"{'would drop' if dry_run else 'dropped'} {name}, which is of no collection")
    return names


def _sum_up(reports: Sequence[RepairReport], partitions: int, differing: int, dry_run: bool) -> None:
    found = sum(1 for one in reports if one.differences)
    if not dry_run and found:
        embedded = sum(one.embedded for one in reports)
        say(
            f"{sum(one.republished for one in reports):,} documents published anew, {embedded:,} texts embedded, "
            f"{sum(one.removed for one in reports):,} unknown publications removed"
        )
    say(f"{partitions - differing:,} of {partitions:,} partitions equal the ledger")

"""``etl-assets sync``."""

import click

from etl_assets.cli.output import json_line, printable, say, warn
from etl_assets.cli.session import opened, read_settings, scoped, warn_of_moves


@click.command()
@scoped
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing at all.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one object for each collection, a line each.")
def sync(tenant: str | None, collection: str | None, dry_run: bool, as_json: bool) -> int:
    """Take in what was put, changed or removed, and compute and publish exactly what that changes.

    Only partitions with something to do are run. What cannot be processed goes to quarantine, which is no failure;
    the exit code is 1 when a partition failed or a collection could not be listed.
    """
    from etl_assets.cli.ingest import opened_dry, plan, run_and_report, show_plan

    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run; `etl-assets status --json` tells how things are")
    settings = read_settings()
    with opened_dry(settings) if dry_run else opened(settings) as platform:
        warn_of_moves(platform)
        plans = plan(platform, tenant, collection, dry=dry_run)
    for error in plans.errors:
        warn(f"etl-assets: {printable(error)}")
    failed = 1 if plans.errors else 0
    if dry_run:
        for one in plans.collections if as_json else ():
            json_line(one.as_json())
        if not as_json:
            show_plan(plans)
        return failed
    if not plans.partitions:
        say(f"nothing changed: {plans.documents:,} documents in {len(plans.collections):,} collections")
    unusable = plans.strays + sum(one.held for one in plans.collections)
    if unusable:
        say(f"{unusable:,} files cannot be documents, by their names or places: etl-assets quarantine list")
    return max(failed, run_and_report(settings, plans.partitions)) if plans.partitions else failed

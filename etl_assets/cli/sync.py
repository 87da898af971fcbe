"""``etl-assets sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, printable, say, warn
from etl_assets.cli.session import opened, read_settings, scoped, warn_of_moves

if TYPE_CHECKING:
    from etl_assets.documents.parameters import UpdateMode


@click.command()
@scoped
@click.option(
    "--update-mode",
    "mode",
    type=click.Choice(("auto", "add-only", "update-only", "skip-existing")),
    help="Which changes to take in this time, in place of what collections.yaml says.",
)
@click.option("--force", "forced", is_flag=True, help="Compute again what is there, without known results.")
@click.option("--stage", "stages", metavar="NAME", multiple=True, help="With --force: only these; may be given twice.")
@click.option("--document", "globs", metavar="GLOB", multiple=True, help="With --force: only documents of such paths.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing at all.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one object for each collection, a line each.")
def sync(
    tenant: str | None, collection: str | None, mode: UpdateMode | None, forced: bool, stages: tuple[str, ...],
    globs: tuple[str, ...], dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Take in what was put, changed or removed, and compute and publish exactly what that changes.

    Only partitions with something to do are run. What cannot be processed goes to quarantine, which is no failure;
    the exit code is 1 when a partition failed or a collection could not be listed. What is paused waits, and is named.
    """
    from etl_assets.cli.ingest import force, held_line, opened_dry, plan, run_and_report, show_plan
    from etl_assets.documents.anew import Anew

    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run; `etl-assets status --json` tells how things are")
    if (stages or globs) and not forced:
        raise click.UsageError("--stage and --document go with --force")
    settings = read_settings()
    anew = Anew.read(stages, globs) if forced else None
    with opened_dry(settings) if dry_run else opened(settings) as platform:
        warn_of_moves(platform)
        plans = plan(platform, tenant, collection, dry=dry_run, mode=mode)
        if anew is not None and not force(platform, plans, anew):
            warn("etl-assets: --force: none of the documents that are taken in is meant")
    for error in plans.errors:
        warn(f"etl-assets: {printable(error)}")
    failed = 1 if plans.errors else 0
    if dry_run:
        for one in plans.collections if as_json else ():
            json_line(one.as_json())
        if not as_json:
            show_plan(plans)
        return failed
    for line in filter(None, map(held_line, plans.collections)):
        say(line)
    if not plans.partitions:
        say(f"nothing changed: {plans.documents:,} documents in {len(plans.collections):,} collections")
    unusable = plans.strays + sum(one.held for one in plans.collections)
    if unusable:
        say(f"{unusable:,} files cannot be documents, by their names or places: etl-assets quarantine list")
    return max(failed, run_and_report(settings, plans.partitions, mode=mode, anew=anew)) if plans.partitions else failed

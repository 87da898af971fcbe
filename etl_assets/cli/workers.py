"""``etl-assets workers``."""

import click

from etl_assets.cli.output import say
from etl_assets.cli.session import read_settings


@click.command()
@click.option("--min", "least", type=click.IntRange(0, 1000), default=1, show_default=True, help="Workers kept idle.")
@click.option("--max", "most", type=click.IntRange(1, 1000), help="Workers at most.  [default: one per core]")
@click.option(
    "--check-every", "check_every_s", type=click.FloatRange(1.0, 3600.0), default=30.0, show_default=True,
    metavar="SECONDS", help="Time between two looks at how many runs wait.",
)  # fmt: skip
def workers(least: int, most: int | None, check_every_s: float) -> None:
    """Execute queued runs on this machine, until interrupted; then every worker finishes its run.

    As many processes work as runs wait, between --min and --max. A second interrupt ends them at once: their runs are
    started anew elsewhere.
    """
    import os

    from etl_assets.launching import render_instance
    from etl_assets.resources.worker_processes import keep_workers

    settings = read_settings()
    most = max(least, len(os.sched_getaffinity(0))) if most is None else most
    keep_workers(settings, render_instance(settings), least=least, most=most, check_every_s=check_every_s, say=say)

"""``etl-assets history prune``."""

from dataclasses import asdict

import click

from etl_assets.cli.output import json_line, say
from etl_assets.cli.session import as_json, chosen_partitions, opened, scoped


@click.command()
@scoped
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@as_json
def prune(tenant: str | None, collection: str | None, dry_run: bool, as_json: bool) -> None:
    """Delete documents past their age, and remove what ended longer ago than each collection keeps its history.

    How long that is stands under `retention` in collections.yaml. Nothing that searches see is touched.
    """
    from etl_assets.documents.deletion.retention import prune_history

    with opened() as platform:
        done = prune_history(platform, chosen_partitions(platform, tenant, collection), dry_run=dry_run)
    if as_json:
        json_line(asdict(done))
        return
    word = "would go" if dry_run else "went"
    say(f"{done.expired:,} documents past their age and {done.originals:,} originals of old versions {word}")
    for table, count in sorted(done.rows.items()):
        say(f"  {count:,} rows of {table}")
    for path in done.certificates:
        say(f"  certificate {path}")

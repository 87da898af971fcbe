"""``etl-assets init``."""

import os

import click

from etl_assets.cli.output import say


@click.command()
def init() -> None:
    """Write a commented collections.yaml below $ETL_HOME, and make its folders. What exists is left as it is."""
    from etl_assets.cli.session import read_settings
    from etl_assets.documents.collections import Collections, template

    home = read_settings().home.create()
    path = home.collections_file
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        Collections.read(path)
        say(f"{path} is there already and has no mistake; it is left as it is")
    else:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(template())
        say(f"wrote {path}")
    say(f"put documents below {home.objects}/TENANT/COLLECTION/, then run: etl-assets sync")

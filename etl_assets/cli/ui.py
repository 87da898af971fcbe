"""``etl-assets ui``."""

import click

from etl_assets.cli.output import say
from etl_assets.cli.session import read_settings

PORT = 3000
HOST = "127.0.0.1"


def address(host: str = HOST, port: int = PORT) -> str:
    """Where a browser finds the UI."""
    return f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0', '::') else host}:{port}"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free one.")
@click.option("--host", default=HOST, show_default=True, help="0.0.0.0 lets everybody in: the UI has no log-in.")
def ui(port: int, host: str) -> None:
    """Serve the Dagster UI with its daemon, until interrupted. New files are picked up by themselves."""
    from etl_assets.launching import serve

    serve(read_settings(), port=port, host=host, announce=lambda at: say(f"the UI answers at {at}; Ctrl-C ends it"))

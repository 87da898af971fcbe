"""``etl-assets ui``."""

import click

from etl_assets.cli.session import read_settings

PORT = 3000
HOST = "127.0.0.1"


def address(host: str = HOST, port: int = PORT) -> str:
    """Where a browser finds the UI."""
    return f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0', '::') else host}:{port}"


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Where it listens.")
@click.option(
    "--host", default=HOST, show_default=True, help="Who may reach it; 0.0.0.0 is everybody: it has no log-in."
)
def ui(port: int, host: str) -> None:
    """Serve the Dagster UI with the daemon, until interrupted. New files are picked up by themselves."""
    from etl_assets.launching import serve

    serve(read_settings(), port=port, host=host)

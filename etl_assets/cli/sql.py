"""``etl-assets sql``."""

import sys
from pathlib import Path

import click

from etl_assets.cli.output import say
from etl_assets.cli.session import opened


@click.command()
@click.argument("statement", metavar="SELECT")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["table", "json", "csv", "parquet"]),
    help="How rows are written; with --out, its extension tells.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file, which appears whole or not at all.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1, 86400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="The longest the statement may run.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(64, 1 << 20),
    default=2048,
    show_default=True,
    metavar="MIB",
    help="The most memory it may use.",
)
def sql(statement: str, format_name: str | None, out: Path | None, time_limit: float, memory_limit: int) -> None:
    """Ask one SELECT, in DuckDB's dialect, of the current rows of every stage and of the ledger.

    Tables: pages, chunks, embeddings, mentions, documents, and the ledger's own; `SHOW TABLES` lists them. Nothing
    but reading is possible: no statement reads or writes a file.
    """  # fmt: skip
    from etl_assets.documents.model import STAGES
    from etl_assets.search.sql import SqlLimits, run_select
    from etl_assets.search.sql_output import save_result, write_result
    from etl_assets.search.tables import opened_tables

    if format_name == "parquet" and out is None:
        raise click.UsageError("--format parquet needs --out FILE")
    limits = SqlLimits(time_s=time_limit, memory_bytes=memory_limit << 20)
    with (
        opened() as platform,
        opened_tables(platform.ledger, platform.lake, STAGES, time_limit_s=time_limit) as tables,
        run_select(statement, tables=tables, limits=limits) as selection,
    ):
        if out is not None:
            count = save_result(selection, out, format_name)
            say(f"wrote {count:,} rows to {out}")
        else:
            write_result(selection, sys.stdout, format_name or "table")

"""``etl-assets backends check``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import json_line, printable, say, warn
from etl_assets.cli.session import as_json

if TYPE_CHECKING:
    from etl_assets.cli.probing import Outcome
    from etl_assets.settings import Settings


@click.command()
@click.option("--paid", is_flag=True, help="Allow requests that cost: a word to embed, a vector to write.")
@as_json
def check(paid: bool, as_json: bool) -> int:
    """Try the backend of every role: reachable, version, latency, rights, limits; exit code 1 if one fails.

    What a probe writes, under a name of its own, it removes again. No secret is shown.
    """
    from etl_assets.cli.probing import probed
    from etl_assets.settings import Settings, with_env_file

    env = with_env_file(os.environ)
    settings = Settings.from_environment(env)
    outcomes = probed(settings, env, paid=paid)
    failed = sum(1 for one in outcomes if not one.passed)
    for one in outcomes:
        if as_json:
            json_line(one.as_json())
        else:
            _show(one)
    if any(one.role.name == "ledger" and one.passed for one in outcomes):
        _warn_of_moves(settings)
    if not as_json:
        say(f"{len(outcomes):,} roles: {failed:,} cannot be used")
    return 1 if failed else 0


def _warn_of_moves(settings: Settings) -> None:
    """Name stores that are set elsewhere than where this installation has published to or keeps its files."""
    from etl_assets.cli.session import opened, warn_of_moves
    from etl_assets.errors import ConfigError

    if settings.postgres is None and not settings.home.ledger_file.exists():
        return
    try:
        with opened(settings) as platform:
            warn_of_moves(platform)
    except ConfigError as error:
        warn(f"etl-assets: {printable(str(error))}")


def _show(one: Outcome) -> None:
    found = one.found
    latency = "" if found.latency_ms is None else f"{found.latency_ms:,.1f} ms"
    parts = ", ".join(part for part in (one.role.backend, found.version, latency) if part)
    say(f"{'ok' if one.passed else 'FAILED':6}  {one.role.name}: {printable(parts)}")
    if one.variables:
        say(f"        chosen by {', '.join(one.variables)}")
    if found.rights:
        said = (f"{name} {'yes' if may else 'NO'}" for name, may in found.rights.items())
        say(f"        rights: {printable(', '.join(said))}")
    if found.limits:
        say(f"        limits: {printable(', '.join(f'{name} {value}' for name, value in found.limits.items()))}")
    for note in found.notes:
        say(f"        {printable(note)}")
    for problem in found.problems:
        say(f"        problem: {printable(problem)}")

"""``etl-assets secrets rotate``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_assets.cli.output import say
from etl_assets.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    from etl_assets.settings import Settings

VERIFY_LIMIT_S = 60.0


@click.command()
@click.argument("name")
@click.option(
    "--from-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Read the new value from this file.",
)
def rotate(name: str, from_file: str | None) -> None:
    """Put a new value of a secret into use, once the backend that needs it has accepted it.

    NAME is the store's own (path#field), or a variable whose value is secret:... The new value is asked for, or read
    from standard input or a file; never write it on the command line. When it is refused the one in use stays.
    """
    from etl_assets.cli.session import read_settings
    from etl_assets.hosted_bindings import Connections
    from etl_assets.settings import with_env_file

    settings = read_settings()
    store = Connections(settings).secret_store
    if store is None:
        raise ConfigError("no store of secrets is set; set ETL_VAULT_ADDR or ETL_AWS_SECRETS_REGION")
    secret = _named(settings, name, with_env_file(os.environ))
    value = _new_value(from_file)
    store.rotate(secret, value, lambda text: verify(settings, secret, text))
    say(f"{secret}: the new value was accepted and is in use; the former one is kept beside it")


def _named(settings: Settings, name: str, env: dict[str, str]) -> str:
    """The store's name of the secret; it must be one that a setting names, or nothing could tell whether it holds."""
    from etl_assets.cli.configured_secrets import references
    from etl_assets.variables import SECRET_REFERENCE

    known = references(settings)
    secret = env.get(name, name).removeprefix(SECRET_REFERENCE)
    if secret not in known:
        # The value of a variable is not shown: it may be the secret itself.
        raise ConfigError(
            f"{name}: no setting names this secret, so nothing could verify it; set a variable to secret:NAME, "
            f"and use one of: {', '.join(sorted(known)) or 'none yet'}"
        )
    return secret


def _new_value(from_file: str | None) -> str:
    if from_file is not None:
        try:
            text = Path(from_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise ConfigError(f"--from-file: {from_file} cannot be read as UTF-8 text") from e
    elif sys.stdin.isatty():
        text = str(click.prompt("new value", hide_input=True, confirmation_prompt=True))
    else:
        text = sys.stdin.read()
    text = text.strip("\r\n")
    if not text:
        raise ConfigError("the new value is empty")
    return text


def verify(settings: Settings, secret: str, text: str) -> None:
    """Use ``text`` where settings name ``secret``, against each of those backends.

    Raises:
        PermanentError: one of them does not accept it.
    """
    from etl_assets.cli.configured_secrets import references, without
    from etl_assets.cli.probed_roles import roles
    from etl_assets.cli.probing import Outcome, run_probes
    from etl_assets.hosted_bindings import Connections

    places = references(settings)[secret]
    changed = settings
    for group, attribute in places:
        place = replace(getattr(changed, group), **{attribute: text})
        changed = replace(changed, **{group: place})
    groups = {group for group, _ in places}
    tried = [Outcome(role, ()) for role in roles(Connections(changed), paid=True) if role.group in groups]
    if not tried:
        raise PermanentError(f"{secret}: no role uses it, so nothing could verify it; nothing was changed")
    run_probes([(one.role, one) for one in tried], VERIFY_LIMIT_S)
    problems = [f"{one.role.name}: {problem}" for one in tried for problem in one.found.problems]
    if problems:
        said = "; ".join(without(problem, [text]) for problem in problems)
        raise PermanentError(f"{secret}: the new value was not accepted, the one in use stays: {said}")

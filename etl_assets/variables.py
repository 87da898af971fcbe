"""Environment variables that hold settings: reading them, and saying all that is wrong with them at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from etl_assets.errors import ConfigError
from etl_assets.fields import Field

SECRET_REFERENCE = "secret:"
"""A value that begins so is not the secret but its name in the secret store: ``secret:etl/pinecone#api_key``."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|DSN|URL|URI", re.IGNORECASE)
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Variable:
    """Where a setting is read from: the first of ``names`` that is set; two that disagree are a mistake."""

    names: tuple[str, ...]
    field: Field


def given(env: Mapping[str, str], variable: Variable) -> object | None:
    """The value of a variable, ``None`` where it is unset or empty.

    Raises:
        ConfigError: the value is not allowed, or two of its names are set to different values.
    """
    found = {name: env[name] for name in variable.names if env.get(name)}
    if len(set(found.values())) > 1:
        raise ConfigError(f"{' and '.join(found)}: set to different values; keep one of them")
    for name, text in found.items():
        if text.startswith(SECRET_REFERENCE) and variable.field.secret:
            return text
        try:
            return variable.field.kind.read(text)
        except ConfigError as e:
            allowed = variable.field.allowed + str(e).removeprefix(variable.field.kind.allowed)
            raise ConfigError(f"{name}={shown(name, text)}: use {allowed}") from e
    return None


def shown(name: str, value: str) -> str:
    """``value`` as a message may show it: cut, printable, and not at all where it may hold a secret."""
    if _SECRET.search(name) or "://" in value:
        return "(not shown)"
    return ascii(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "...")

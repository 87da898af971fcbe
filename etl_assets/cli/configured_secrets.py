"""The credentials that settings hold or name: who uses which, and texts without any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from etl_assets.errors import EtlAssetsError
from etl_assets.hosted_settings import GROUPS
from etl_assets.redaction import redacted
from etl_assets.variables import SECRET_REFERENCE

if TYPE_CHECKING:
    from etl_assets.hosted_bindings import Connections
    from etl_assets.settings import Settings


_SHORTEST_SECRET = 4


def references(settings: Settings) -> dict[str, list[tuple[str, str]]]:
    """The secrets that settings name, each with the (group, attribute) that name it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for group, attribute, value in _credentials(settings):
        if value.startswith(SECRET_REFERENCE):
            found.setdefault(value.removeprefix(SECRET_REFERENCE), []).append((group, attribute))
    return found


def _credentials(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(group, attribute, value) of every credential that is set."""
    for group, about in GROUPS.items():
        place = getattr(settings, group)
        for attribute, variable in about.variables.items():
            value = getattr(place, attribute, None)
            if variable.field.secret and isinstance(value, str):
                yield group, attribute, value


def secrets_in(settings: Settings, hosted: Connections | None = None) -> list[str]:
    """The texts that no output may hold: credentials, and the passwords in addresses; longest first."""
    found: set[str] = set()
    for _, _, value in _credentials(settings):
        text = value
        if value.startswith(SECRET_REFERENCE):
            if hosted is None:
                continue
            text = ""
            # A store that is away has told nobody anything: there is nothing of it to hide.
            with suppress(EtlAssetsError):
                text = hosted.text(value)
        found.add(text)
        if "://" in text:
            password = urlsplit(text).password or ""
            found |= {password, unquote(password)}
    return sorted((one for one in found if len(one) >= _SHORTEST_SECRET), key=len, reverse=True)


def without(text: str, hidden: Sequence[str]) -> str:
    """``text`` with none of ``hidden`` in it: a last guard, since clients repeat what they were given."""
    return redacted(text, *hidden)

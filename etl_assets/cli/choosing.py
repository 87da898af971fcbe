"""From what a person writes, an id or a path, to documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_assets.cli.output import printable
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform

_ID = re.compile(r"[0-9a-f]{8,32}")


@dataclass(frozen=True, slots=True)
class Named:
    """One document that was named."""

    document_id: str
    tenant: str
    collection: str
    path: str

    @property
    def key(self) -> str:
        """``tenant/collection/path``."""
        return f"{self.tenant}/{self.collection}/{self.path}"


def one_document(platform: Platform, text: str) -> Named:
    """The document that the ledger knows by an id, the first 8 or more digits of one, or ``tenant/collection/path``.

    Raises:
        ConfigError: it knows none, or several begin so.
    """
    from etl_assets.ledger.documents_view import documents_named

    parts = text.split("/", 2)
    with platform.ledger.reading() as connection:
        found = documents_named(connection, prefix=text.lower()) if _ID.fullmatch(text.lower()) else []
        if not found and len(parts) == 3:
            found = documents_named(connection, place=(parts[0], parts[1], parts[2]))
    if not found:
        raise ConfigError(
            f"document {printable(text)}: the ledger knows none; give an id from `etl-assets document list`, "
            "or TENANT/COLLECTION/PATH"
        )
    if len({row[0] for row in found}) > 1:
        raise ConfigError(f"document {text}: several ids begin so: {', '.join(row[0] for row in found[:5])}")
    return Named(*found[0])

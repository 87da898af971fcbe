"""Documents as people name them: by id, by the beginning of one, by key, or by the name of a file."""

import re
from dataclasses import dataclass

from etl_assets.documents.model import document_id
from etl_assets.documents.platform import Platform
from etl_assets.ledger.documents_view import documents_named

_ID = re.compile(r"[0-9a-f]{8,32}")


@dataclass(frozen=True, slots=True)
class DocumentName:
    """One document; ``path`` is "" where nobody knows it any more, after an interrupted purge."""

    document_id: str
    tenant: str
    collection: str
    path: str

    @property
    def key(self) -> str:
        """``tenant/collection/path``."""
        return f"{self.tenant}/{self.collection}/{self.path}"


def documents_called(platform: Platform, text: str, *, by_file_name: bool = True) -> list[DocumentName]:
    """The documents that the ledger knows under a name, present or gone or held, by id; at most 50.

    The name is an id or the first 8 or more digits of one, else ``tenant/collection/path``, else, with
    ``by_file_name``, the last part of a path or several: ``report.pdf`` or ``2025/report.pdf``.
    """
    parts = text.split("/", 2)
    with platform.ledger.reading() as connection:
        found = documents_named(connection, prefix=text.lower()) if _ID.fullmatch(text.lower()) else []
        if not found and len(parts) == 3:
            found = documents_named(connection, prefix=document_id(parts[0], parts[1], parts[2]))
        if not found and by_file_name:
            found = documents_named(connection, ends=text)
    return [DocumentName(*row) for row in found]

"""From what a person writes, an id or a path, to documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_assets.cli.output import printable
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.document_names import DocumentName
    from etl_assets.documents.platform import Platform

_SHOWN = 5


def one_document(platform: Platform, text: str, *, by_file_name: bool = True) -> DocumentName:
    """The document that the ledger knows by an id, the first 8 or more digits of one, ``tenant/collection/path``, or,
    with ``by_file_name``, the name of a file that no other document has.

    Raises:
        ConfigError: it knows none, or several.
    """
    from etl_assets.documents.document_names import documents_called

    found = {one.document_id: one for one in documents_called(platform, text, by_file_name=by_file_name)}
    if not found:
        raise ConfigError(
            f"document {printable(text)}: the ledger knows none; give an id from `etl-assets document list`, "
            "or TENANT/COLLECTION/PATH"
        )
    first, *others = found.values()
    if others:
        told = ", ".join(f"{one.document_id} ({printable(one.key)})" for one in [first, *others][:_SHOWN])
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise ConfigError(f"document {printable(text)} may be any of {told}{more}; give a whole id or key")
    return first

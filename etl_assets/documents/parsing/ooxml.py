"""The package that DOCX, PPTX and XLSX share: a zip of XML parts joined by relationships, read part by part.

Read with lxml by local names, not with python-docx and python-pptx: those raise KeyError on a relationship whose
target is missing (common after conversions) and on ISO 29500 Strict files, load every picture, and give no access to
text boxes, footnotes and comments. Specification: ECMA-376, parts 1 and 2.
"""

from __future__ import annotations

import lzma
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Source
from etl_assets.documents.parsing.text import one_line
from etl_assets.errors import DataError

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_ENTRIES = 20_000
MAX_UNPACKED_BYTES = 1 << 30
MAX_PART_BYTES = 256 << 20
MAX_RATIO = 150
"""Office XML packs up to about 30 to 1; a bomb packs 1,000 to 1. Only packages over 64 MB unpacked are judged so."""

BROKEN_ZIP = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, struct.error, OSError, ValueError,
    IndexError,
)  # fmt: skip
"""What zipfile raises, or lets pass, on damaged archives; RuntimeError where a part needs a password."""

LOCKED = 1
"""In the flags of a zip's entry: it is under a password, be it the old kind or AES."""


def open_archive(source: Source, *, may_be_locked: bool = False) -> zipfile.ZipFile:
    """The zip archive, after its declared sizes were checked; zipfile never reads past a declared size.

    ``may_be_locked``: parts under a password are no reason to refuse the others.

    Raises:
        DataError: ``truncated``, ``corrupt``, ``too-large`` or ``encrypted``.
    """
    try:
        archive = zipfile.ZipFile(source.seekable())
    except BROKEN_ZIP as e:
        reason = "truncated" if b"PK\x05\x06" not in source.tail(66_000) else "corrupt"
        raise DataError(f"is not a whole zip package ({e}); upload it again", reason=reason) from e
    entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(1, sum(entry.compress_size for entry in entries))
    if len(entries) > MAX_ENTRIES or unpacked > MAX_UNPACKED_BYTES:
        archive.close()
        raise DataError(f"unpacks to {len(entries):,} parts of {unpacked:,} bytes: too much", reason="too-large")
    if unpacked > 64 << 20 and unpacked / packed > MAX_RATIO:
        archive.close()
        raise DataError(f"unpacks to {unpacked / packed:.0f} times its size: a zip bomb", reason="too-large")
    if not may_be_locked and any(entry.flag_bits & LOCKED for entry in entries):
        archive.close()
        raise DataError("its parts need a password; store it without one", reason="encrypted")
    return archive


class Package:
    """Parts by name, their relationships, and the core properties, of an open archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.lower().lstrip("/"): name for name in archive.namelist()}

    def read(self, part: str) -> bytes | None:
        """The bytes of a part; None when there is no such part.

        Raises:
            DataError: ``corrupt`` or ``too-large``.
        """
        name = self._names.get(part.lower().lstrip("/"))
        if name is None:
            return None
        try:
            if self._archive.getinfo(name).file_size > MAX_PART_BYTES:
                raise DataError(f"part {name} unpacks to over {MAX_PART_BYTES:,} bytes", reason="too-large")
            return self._archive.read(name)
        except BROKEN_ZIP as e:
            raise DataError(f"part {name} cannot be unpacked ({e}); repair the file", reason="corrupt") from e

    def holds(self, part: str) -> bool:
        """Whether there is such a part."""
        return part.lower().lstrip("/") in self._names

    def xml(self, part: str) -> _Element | None:
        """The root of an XML part; None when there is no such part.

        Raises:
            DataError: ``corrupt``, when it is not sound XML or declares a document type, which ECMA-376 forbids and
                which entity bombs need; ``too-large``.
        """
        from lxml import etree

        data = self.read(part)
        if data is None:
            return None
        try:
            root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, recover=False))
        except etree.XMLSyntaxError as e:
            reason = "nesting" if "depth" in str(e).lower() else "corrupt"
            raise DataError(f"part {part} is not sound XML ({e}); repair the file", reason=reason) from e
        if root.getroottree().docinfo.internalDTD is not None:
            # In any encoding and after any comment; nothing was expanded, and the file not read further.
            raise DataError(f"part {part} declares a document type, which office files never do", reason="corrupt")
        return root

    def related(self, part: str) -> Iterator[tuple[str, str, str]]:
        """(relationship id, last word of its type, target part) of ``part``, in file order; external ones left out."""
        folder, name = posixpath.split(part)
        root = self.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
        for element in root if root is not None else ():
            if not isinstance(element.tag, str) or element.get("TargetMode") == "External":
                continue
            target = posixpath.normpath(posixpath.join("/", folder, element.get("Target", ""))).lstrip("/")
            yield element.get("Id", ""), element.get("Type", "").rsplit("/", 1)[-1], target

    def main_part(self) -> str | None:
        """The part that the package is about, such as ``word/document.xml``."""
        return next((target for _, kind, target in self.related("") if kind == "officeDocument"), None)

    def properties(self) -> dict[str, str]:
        """Core properties (``title``, ``creator``, ``created``, ``modified`` ...), those that have text."""
        target = next((t for _, kind, t in self.related("") if kind == "core-properties"), "docProps/core.xml")
        root = self.xml(target)
        found = ((local(e), one_line(e.text or "")) for e in (root if root is not None else ()))
        return {name: text for name, text in found if text}


def local(element: _Element) -> str:
    """The tag without its namespace, so that transitional and strict files read alike; "" for a comment."""
    tag = element.tag
    return tag.rsplit("}", 1)[-1] if isinstance(tag, str) else ""


def attribute(element: _Element, name: str) -> str | None:
    """An attribute by its local name."""
    return next((str(value) for key, value in element.attrib.items() if str(key).rsplit("}", 1)[-1] == name), None)


def file_date(properties: dict[str, str]) -> str | None:
    """When the file says it was last changed, or made; templates keep 1980 and 2013 dates for the latter."""
    return iso_date(properties.get("modified")) or iso_date(properties.get("created"))


def office_main_part(archive: zipfile.ZipFile) -> str | None:
    """The main part of an office package; None when the archive is none."""
    try:
        return Package(archive).main_part()
    except DataError:
        return None

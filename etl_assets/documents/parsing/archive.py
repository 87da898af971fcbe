"""Archives: zip, tar (plain or compressed), one compressed file, mbox. One document, whose members are its pages."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO, BinaryIO, TypeAlias

from etl_assets.documents.parsing.document import Extract, Source, TextBudget
from etl_assets.documents.parsing.mbox import mails_of
from etl_assets.documents.parsing.members import Members
from etl_assets.documents.parsing.ooxml import BROKEN_ZIP, LOCKED, open_archive
from etl_assets.errors import DataError

MAX_MEMBER_BYTES = 256 << 20
Content: TypeAlias = bytes | DataError
_COMPRESSED: tuple[tuple[bytes, str, Callable[[BinaryIO], io.BufferedIOBase]], ...] = (
    (b"\x1f\x8b", ".gz", lambda file: gzip.GzipFile(fileobj=file)), (b"BZh", ".bz2", bz2.BZ2File),
    (b"\xfd7zXZ", ".xz", lzma.LZMAFile),
)  # fmt: skip
_SYSTEM_NAMES = re.compile(r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, NotImplementedError)


def parse_archive(source: Source, parse_part: Callable[[Source], Extract]) -> Extract:
    """Pages of every member that can be read, in the archive's order, under the member's name as a heading.

    ``members`` in the facts says of each its first page and pages, or why it has none.

    Raises:
        DataError: ``too-large`` past the limits of members, bytes or text; ``encrypted``, ``truncated``, ``corrupt``;
            when no member can be read the reason that all have, where it is of the archive, or else ``no-text``.
    """
    members = Members(parse_part, TextBudget(), [])
    for name, content in _contents(source):
        if isinstance(content, DataError):
            members.refuse(name, content)
        else:
            members.add(source.member(name, content), is_titled=True)
    if not members.read_count:
        raise members.none_read()
    return Extract(
        pages=members.pages,
        method=f"python {'.'.join(map(str, sys.version_info[:3]))}",
        facts=members.facts("members"),
    )


def _contents(source: Source) -> Iterator[tuple[str, Content]]:
    """(name, bytes) of every member, or why one cannot be unpacked."""
    head = source.head(300)
    try:
        if head.startswith(b"PK"):
            yield from _zipped(source)
        elif head.startswith(b"From "):
            for number, mail in enumerate(mails_of(source.read()), 1):
                yield f"message {number}", mail
        elif head[257:262] == b"ustar":
            yield from _tarred(source, "r:")
        else:
            yield from _compressed(source, head)
    except EOFError as e:
        raise DataError(f"the archive ends in the middle ({e}); upload it again", reason="truncated") from e
    except _BROKEN as e:
        reason = "truncated" if "end of data" in str(e) else "corrupt"
        raise DataError(f"is not a whole archive ({type(e).__name__}: {e}); upload it again", reason=reason) from e


def _zipped(source: Source) -> Iterator[tuple[str, Content]]:
    with open_archive(source, may_be_locked=True) as archive:
        for entry in archive.infolist():
            if entry.filename and not entry.is_dir() and not _SYSTEM_NAMES.search(entry.filename):
                yield entry.filename, _unzipped(archive, entry)


def _unzipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Content:
    if entry.flag_bits & LOCKED:
        return DataError("needs a password; store it without one", reason="encrypted")
    try:
        with archive.open(entry) as file:
            return _bounded(file, entry.filename)
    except BROKEN_ZIP as e:
        return DataError(f"cannot be unpacked ({type(e).__name__}: {e})", reason="corrupt")


def _compressed(source: Source, head: bytes) -> Iterator[tuple[str, Content]]:
    """Of a compressed tar its members; of any other compressed file what is in it."""
    for mark, ending, opened in _COMPRESSED:
        if head.startswith(mark):
            with source.open() as packed, opened(packed) as file:
                is_tar = file.read(300)[257:262] == b"ustar"
            if is_tar:
                yield from _tarred(source, f"r:{ending[1:]}")
            else:
                with source.open() as packed, opened(packed) as file:
                    yield PurePosixPath(source.name).name.removesuffix(ending), _bounded(file, source.name)


def _tarred(source: Source, mode: str) -> Iterator[tuple[str, Content]]:
    # Read as a stream: links are not followed, and nothing is ever written to disk.
    with source.open() as file, tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for entry in archive:
            held = archive.extractfile(entry) if entry.isreg() else None
            if held is not None and not _SYSTEM_NAMES.search(entry.name):
                yield entry.name, _bounded(held, entry.name)
            elif entry.issym() or entry.islnk():
                yield entry.name, DataError("is a link, which is not followed", reason="unsupported-type")


def _bounded(file: IO[bytes] | io.BufferedIOBase, name: str) -> bytes:
    data = file.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise DataError(f"member {name} unpacks to over {MAX_MEMBER_BYTES:,} bytes", reason="too-large")
    return data

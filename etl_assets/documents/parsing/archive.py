"""Archives: zip, tar (plain or compressed), gzip of one file, mbox. One document, whose members are its pages."""

from __future__ import annotations

import gzip
import lzma
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO

from etl_assets.documents.parsing.document import Extract, Source, TextBudget
from etl_assets.documents.parsing.mbox import mails_of
from etl_assets.documents.parsing.members import Members
from etl_assets.documents.parsing.ooxml import BROKEN_ZIP, open_archive
from etl_assets.errors import DataError

MAX_MEMBERS = 2_000
MAX_MEMBER_BYTES = 256 << 20
MAX_BYTES = 1 << 30
_SYSTEM_NAMES = re.compile(r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError)


def parse_archive(source: Source, parse_part: Callable[[Source], Extract]) -> Extract:
    """Pages of every member that can be read, in the archive's order, under the member's name as a heading.

    ``members`` in the facts says of each its first page and pages, or why it has none.

    Raises:
        DataError: ``too-large`` past the limits of members, bytes or text; ``encrypted``, ``truncated``, ``corrupt``;
            ``no-text``, naming the first reason, when no member can be read.
    """
    members = Members(parse_part, TextBudget(), [])
    unpacked = 0
    for number, (name, data) in enumerate(_contents(source), 1):
        unpacked += len(data or b"")
        if number > MAX_MEMBERS or unpacked > MAX_BYTES:
            raise DataError(f"has over {MAX_MEMBERS:,} members or {MAX_BYTES:,} bytes; split it", reason="too-large")
        if data is None:
            members.records.append({"name": name, "media_type": None, "reason": "corrupt"})
            continue
        members.add(Source(name=name, data=data, depth=source.depth + 1), is_titled=True)
    if not members.read_count:
        reasons = sorted({str(r["reason"]) for r in members.records if isinstance(r, dict)})
        raise DataError(f"has no member that can be read ({', '.join(reasons) or 'it is empty'})", reason="no-text")
    return Extract(
        pages=members.pages,
        method=f"python {'.'.join(map(str, sys.version_info[:3]))}",
        facts={"members": members.records},
    )


def _contents(source: Source) -> Iterator[tuple[str, bytes | None]]:
    """(name, bytes) of every member; None for one that cannot be unpacked."""
    head = source.head(300)
    try:
        if head.startswith(b"PK"):
            yield from _zipped(source)
        elif head.startswith(b"From "):
            for number, mail in enumerate(mails_of(source.read()), 1):
                yield f"message {number}", mail
        elif head[257:262] == b"ustar":
            yield from _tarred(source, "r:")
        elif head.startswith(b"\x1f\x8b") and not _holds_tar(source):
            with gzip.open(source.seekable()) as file:
                yield PurePosixPath(source.name).name.removesuffix(".gz"), _bounded(file, source.name)
        else:
            yield from _tarred(source, "r:*")
    except _BROKEN as e:
        raise DataError(f"is not a whole archive ({type(e).__name__}: {e}); upload it again", reason="corrupt") from e


def _zipped(source: Source) -> Iterator[tuple[str, bytes | None]]:
    with open_archive(source) as archive:
        for entry in archive.infolist():
            if entry.filename and not entry.is_dir() and not _SYSTEM_NAMES.search(entry.filename):
                try:
                    with archive.open(entry) as file:
                        data: bytes | None = _bounded(file, entry.filename)
                except BROKEN_ZIP:
                    data = None
                yield entry.filename, data


def _holds_tar(source: Source) -> bool:
    with gzip.open(source.seekable()) as file:
        return file.read(300)[257:262] == b"ustar"


def _tarred(source: Source, mode: str) -> Iterator[tuple[str, bytes]]:
    # Read as a stream: links are not followed, and nothing is ever written to disk.
    with source.open() as file, tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for entry in archive:
            if entry.isreg() and not _SYSTEM_NAMES.search(entry.name):
                held = archive.extractfile(entry)
                if held is not None:
                    yield entry.name, _bounded(held, entry.name)


def _bounded(file: IO[bytes] | gzip.GzipFile, name: str) -> bytes:
    data = file.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise DataError(f"member {name} unpacks to over {MAX_MEMBER_BYTES:,} bytes", reason="too-large")
    return data

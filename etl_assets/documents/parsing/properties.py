"""Title, author and date that old office files state about themselves. [MS-OLEPS] and [MS-OSHARED] 2.3.3.2."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from etl_assets.documents.parsing.compound import CompoundFile
from etl_assets.documents.parsing.text import one_line

_TITLE, _AUTHOR, _CREATED, _SAVED, _CODEPAGE = 2, 4, 12, 13, 1
_STRING, _WIDE_STRING, _TIME, _SHORT = 0x1E, 0x1F, 0x40, 0x02


@dataclass(frozen=True, slots=True)
class Summary:
    """What is stated; None for what is not. ``date`` is ISO, of the last save or else of the making."""

    title: str | None
    author: str | None
    date: str | None


def summary(file: CompoundFile) -> Summary:
    """The summary of a compound file; an unsound one states nothing."""
    try:
        values = _values(file.read("\x05SummaryInformation"))
    except (struct.error, IndexError):
        values = {}
    date = next((v for v in (values.get(_SAVED), values.get(_CREATED)) if v), None)
    return Summary(values.get(_TITLE) or None, values.get(_AUTHOR) or None, date)


def _values(data: bytes) -> dict[int, str]:
    if len(data) < 48:
        return {}
    (start,) = struct.unpack_from("<I", data, 44)
    (count,) = struct.unpack_from("<I", data, start + 4)
    places = [struct.unpack_from("<II", data, start + 8 + 8 * n) for n in range(min(count, 100))]
    codepage = "cp1252"
    for kind, offset in places:
        if kind == _CODEPAGE and struct.unpack_from("<I", data, start + offset)[0] == _SHORT:
            codepage = _codec(struct.unpack_from("<H", data, start + offset + 4)[0])
    return {kind: _value(data, start + offset, codepage) for kind, offset in places if kind != _CODEPAGE}


def _value(data: bytes, at: int, codepage: str) -> str:
    kind, size = struct.unpack_from("<II", data, at)
    if kind == _STRING:
        return one_line(data[at + 8 : at + 8 + size].decode(codepage, "replace"))
    if kind == _WIDE_STRING:
        return one_line(data[at + 8 : at + 8 + 2 * size].decode("utf-16-le", "replace"))
    if kind == _TIME:
        return instant(struct.unpack_from("<Q", data, at + 4)[0]) or ""
    return ""


def instant(ticks: int) -> str | None:
    """The day of a Windows time (100 nanoseconds since 1601, UTC), as ISO; None for times that nobody meant."""
    if not 116_444_736_000_000_000 <= ticks < 158_000_000_000_000_000:
        return None
    return (datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)).date().isoformat()


def _codec(number: int) -> str:
    import codecs

    name = {65001: "utf-8", 1200: "utf-16-le", 10000: "mac_roman", 936: "gbk"}.get(number, f"cp{number}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"

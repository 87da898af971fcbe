"""Legacy Word files (97 to 2003): the text of the piece table. [MS-DOC], sections 2.4.1, 2.5 and 2.8.35."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from etl_assets.documents.parsing.compound import CompoundFile
from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.properties import summary
from etl_assets.documents.parsing.text import PageBuilder
from etl_assets.errors import DataError

_FIELD = re.compile("\x13[^\x13\x14\x15]*(?:\x14([^\x13\x14\x15]*))?\x15")
_CELL_END, _ROW_END = "\x07", "\x07\x07"
"""The mark of a row is a cell's mark once more: a row with an empty cell reads as two."""
_SPECIAL = {"\x1e": "-", "\x1f": "", "\x0b": "\n", "\x01": "", "\x02": "", "\x05": "", "\x08": ""}


def parse_doc(source: Source) -> Extract:
    """Body, then footnotes, headers, comments and text boxes, as the file keeps them; pages end at explicit breaks.

    Raises:
        DataError: ``encrypted``; ``unsupported-type`` for Word 6 and 95; ``truncated`` or ``corrupt``.
    """
    file = CompoundFile(source.read())
    main = file.read("WordDocument")
    try:
        pieces = list(_pieces(main, file))
    except (struct.error, IndexError) as e:
        raise DataError("its table of text pieces is not sound; repair the file", reason="corrupt") from e
    text = "".join(piece for piece, _ in pieces)
    missing = sum(lacking for _, lacking in pieces)
    named = summary(file)
    return Extract(
        pages=list(_pages(text)),
        method="own reader of [MS-DOC]",
        title=named.title,
        file_date=named.date,
        source=named.author,
        facts={"warnings": [f"{missing:,} characters of its text are not in the file"]} if missing > 0 else {},
    )


def _pieces(main: bytes, file: CompoundFile) -> Iterator[tuple[str, int]]:
    """(text, how many of its characters are beyond the end) of every piece, in the order of the document."""
    magic, version = struct.unpack_from("<HH", main, 0)
    (flags,) = struct.unpack_from("<H", main, 10)
    if magic != 0xA5EC or version < 0xC0:
        raise DataError("is of Word 95 or older; save it in a newer format", reason="unsupported-type")
    if flags & 0x0100:
        raise DataError("needs a password to be opened; store it without one", reason="encrypted")
    table = file.read("1Table" if flags & 0x0200 else "0Table")
    start, size = struct.unpack_from("<II", main, 0x01A2)
    pieces = _piece_table(table[start : start + size])
    count = len(pieces) // 12
    ends = struct.unpack_from(f"<{count + 1}I", pieces, 0)
    for n in range(count):
        (place,) = struct.unpack_from("<I", pieces, (count + 1) * 4 + n * 8 + 2)
        length = ends[n + 1] - ends[n]
        if place & 0x40000000:
            at = (place & 0x3FFFFFFF) // 2
            units = main[at : at + length]
            yield units.decode("cp1252", "replace"), length - len(units)
        else:
            units = main[place : place + 2 * length]
            yield units.decode("utf-16-le", "replace"), length - len(units) // 2


def _piece_table(clx: bytes) -> bytes:
    position = 0
    while clx[position] == 1:
        position += 3 + struct.unpack_from("<H", clx, position + 1)[0]
    if clx[position] != 2:
        raise DataError("it has no table of text pieces; repair the file", reason="corrupt")
    (size,) = struct.unpack_from("<I", clx, position + 1)
    return clx[position + 5 : position + 5 + size]


def _pages(text: str) -> Iterator[Page]:
    while (shown := _FIELD.sub(lambda m: m.group(1) or "", text)) != text:
        text = shown
    for code, replacement in _SPECIAL.items():
        text = text.replace(code, replacement)
    budget = TextBudget()
    for number, part in enumerate(text.split("\x0c"), 1):
        builder = PageBuilder(budget)
        *rows, rest = part.split(_ROW_END)
        for row in rows:
            first, *others = row.split(_CELL_END)
            *before, first = first.split("\r")
            _add_paragraphs(builder, before)
            builder.add_row(list(enumerate([first, *(cell.replace("\r", " ") for cell in others)])))
        _add_paragraphs(builder, rest.replace(_CELL_END, "\r").split("\r"))
        yield builder.page(number)


def _add_paragraphs(builder: PageBuilder, paragraphs: list[str]) -> None:
    for paragraph in paragraphs:
        if paragraph.strip():
            builder.end_table()
            builder.add(paragraph)

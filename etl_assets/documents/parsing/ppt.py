"""Legacy presentations (97 to 2003): words of every slide and of its notes. [MS-PPT], section 2."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from etl_assets.documents.parsing.compound import CompoundFile
from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.properties import summary
from etl_assets.documents.parsing.text import PageBuilder
from etl_assets.errors import DataError

_CONTAINER = 0x0F
_DOCUMENT, _SLIDE, _NOTES = 0x03E8, 0x03EE, 0x03F0
_LIST, _PERSIST, _HEADER, _CHARS, _BYTES = 0x0FF0, 0x03F3, 0x0F9F, 0x0FA0, 0x0FA8
_CRYPT = 0x2F14
_TITLES = (0, 6)
MAX_DEPTH = 60


def parse_ppt(source: Source) -> Extract:
    """One page for each slide, with the words of its outline, then those of its boxes and notes.

    Raises:
        DataError: ``encrypted``, ``truncated`` or ``corrupt``.
    """
    file = CompoundFile(source.read())
    data = file.read("PowerPoint Document")
    if not data:
        raise DataError("the presentation has no main stream; repair the file", reason="corrupt")
    try:
        pages = _pages(data)
    except struct.error as e:
        raise DataError("its records are not sound; repair the file", reason="corrupt") from e
    named = summary(file)
    title = named.title if named.title != "PowerPoint Presentation" else None
    return Extract(pages=pages, method="own reader of [MS-PPT]", title=title, file_date=named.date, source=named.author)


def _pages(data: bytes) -> list[Page]:
    outlines: list[list[tuple[int, str]]] = []
    drawn: list[list[tuple[int, str]]] = []
    for kind, start, end, instance in _records(data, 0, len(data)):
        if kind == _CRYPT:
            raise DataError("needs a password to be opened; store it without one", reason="encrypted")
        if kind == _DOCUMENT:
            for inner, first, last, which in _records(data, start, end):
                if inner == _LIST and which == 0:
                    outlines = list(_outlines(data, first, last))
        elif kind == _SLIDE:
            drawn.append(list(_texts(data, start, end, 0)))
        elif kind == _NOTES and drawn:
            drawn[-1] += [(-1, f"Notes: {text}") for _, text in _texts(data, start, end, 0) if text.strip() != "*"]
        del instance
    budget = TextBudget()
    count = max(len(outlines), len(drawn))
    slides = zip([*outlines, *[[]] * (count - len(outlines))], [*drawn, *[[]] * (count - len(drawn))], strict=True)
    return [_page(number, [*outline, *boxes], budget) for number, (outline, boxes) in enumerate(slides, 1)]


def _page(number: int, texts: list[tuple[int, str]], budget: TextBudget) -> Page:
    builder = PageBuilder(budget)
    seen: set[str] = set()
    for kind, text in texts:
        shown = text.replace("\r", "\n").replace("\x0b", "\n").strip()
        if shown and shown not in seen and shown != "*":
            seen.add(shown)
            builder.add(shown, level=int(kind in _TITLES))
    return builder.page(number)


def _records(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(type, start, end, instance) of the records in a container."""
    while start + 8 <= end:
        head, kind, length = struct.unpack_from("<HHI", data, start)
        yield kind, start + 8, min(start + 8 + length, end), head >> 4
        start += 8 + length


def _outlines(data: bytes, start: int, end: int) -> Iterator[list[tuple[int, str]]]:
    slide: list[tuple[int, str]] | None = None
    kind = -1
    for record, first, last, _ in _records(data, start, end):
        if record == _PERSIST:
            if slide is not None:
                yield slide
            slide = []
        elif record == _HEADER:
            (kind,) = struct.unpack_from("<I", data, first)
        elif record in (_CHARS, _BYTES) and slide is not None:
            slide.append((kind, _decoded(record, data[first:last])))
    if slide is not None:
        yield slide


def _texts(data: bytes, start: int, end: int, depth: int) -> Iterator[tuple[int, str]]:
    kind = -1
    for record, first, last, _ in _records(data, start, end):
        if record == _HEADER:
            (kind,) = struct.unpack_from("<I", data, first)
        elif record in (_CHARS, _BYTES):
            yield kind, _decoded(record, data[first:last])
        elif struct.unpack_from("<H", data, first - 8)[0] & 0x0F == _CONTAINER and depth < MAX_DEPTH:
            yield from _texts(data, first, last, depth + 1)


def _decoded(record: int, data: bytes) -> str:
    return data.decode("utf-16-le" if record == _CHARS else "latin-1", "replace")

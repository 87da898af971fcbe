"""What parsing gives: pages with their text and headings, and facts about the document. No parsing here."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from etl_assets.errors import DataError
from etl_assets.stages.spec import Json

MAX_TEXT_CHARS = 64 * 1024 * 1024
"""Longest text of one document, in code points: about fifteen Bibles. More is a data set, not a document."""

MAX_TABLE_CELLS = 200_000
"""Cells of one document that are kept with their places; the text has them all."""

MAX_DEPTH = 5
"""How many documents that hold others may be around one another."""

MAX_MEMBERS = 10_000
MAX_UNPACKED_BYTES = 1 << 30
"""Of one document with all that is packed in it, archives within archives included."""

MAX_OUTLINE = 500
MAX_FACT_CHARS = 500


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading line: ``page.text[start:end]``, in code points, end exclusive; ``level`` counts from 1."""

    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: ``page.text[start:end]``, empty where ``start == end``; ``column`` counts from 0.

    A cell merged from several has the column of its first. ``box`` is (left, bottom, right, top) of its words, in
    points from the page's lower left corner; None where a format has no pages, or the cell no words.
    """

    start: int
    end: int
    column: int
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table: ``page.text[start:end]``, a row a line; the first ``header_rows`` name the columns.

    A row that goes over the end of a page is whole on the page where it begins; ``continues`` says that the table is
    the rest of the one that ends the page before.
    """

    start: int
    end: int
    rows: tuple[tuple[Cell, ...], ...]
    header_rows: int = 0
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page, slide, sheet, mail or attachment page. ``number`` counts from 1 through the whole document."""

    number: int
    text: str
    headings: tuple[Heading, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """All pages in reading order, at least one of which has text, and JSON facts about the document.

    ``facts`` holds ``title``, ``date`` (ISO, the document's own), ``source``, ``document_type``, ``media_type``,
    ``page_count``, ``char_count``, ``heading_count``, ``table_count``, ``outline`` (of ``level``, ``title``, ``page``;
    at most 500), ``method`` (library and version), ``encoding`` where the bytes were text, and a format's own facts.
    What is not stated is null.
    """

    pages: tuple[Page, ...]
    facts: Mapping[str, Json]


class Nest:
    """Counts what is unpacked from a document, at every depth: a nest of small archives ends as a large one does."""

    def __init__(self) -> None:
        self._bytes_left, self._members_left, self._chars_left = MAX_UNPACKED_BYTES, MAX_MEMBERS, MAX_TEXT_CHARS

    def unpack(self, size_bytes: int) -> None:
        """Count a member.

        Raises:
            DataError: ``too-large``, when there are more members or bytes than are unpacked of one document.
        """
        self._bytes_left -= size_bytes
        self._members_left -= 1
        if min(self._bytes_left, self._members_left, self._chars_left) < 0:
            problem = f"has over {MAX_MEMBERS:,} members, {MAX_UNPACKED_BYTES:,} bytes or {MAX_TEXT_CHARS:,} characters"
            raise DataError(f"{problem}, archives within it included; split it", reason="too-large")

    def read(self, chars: int) -> None:
        """Count the text of a member."""
        self._chars_left -= chars


@dataclass(frozen=True, slots=True)
class Source:
    """What a parser reads: a file, or the bytes of an attachment. ``name`` is for people and for dates in it.

    ``charset`` is what the store or the mail declared; ``depth`` counts the documents around this one, and ``nest``
    what was unpacked from the outermost.
    """

    name: str
    path: Path | None = None
    data: bytes | None = None
    charset: str | None = None
    media_type: str | None = None
    depth: int = 0
    nest: Nest = field(default_factory=Nest)

    def member(self, name: str, data: bytes, *, media_type: str | None = None, charset: str | None = None) -> Source:
        """What is packed in this document, one deeper.

        Raises:
            DataError: ``too-large``, see ``Nest``.
        """
        self.nest.unpack(len(data))
        return Source(name, data=data, charset=charset, media_type=media_type, depth=self.depth + 1, nest=self.nest)

    def read(self) -> bytes:
        """All bytes."""
        if self.data is not None:
            return self.data
        assert self.path is not None
        return self.path.read_bytes()

    def head(self, size: int) -> bytes:
        """The first ``size`` bytes, or fewer."""
        if self.data is not None:
            return self.data[:size]
        assert self.path is not None
        with self.path.open("rb") as file:
            return file.read(size)

    def tail(self, size: int) -> bytes:
        """The last ``size`` bytes, or fewer."""
        if self.data is not None:
            return self.data[-size:]
        assert self.path is not None
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - size))
            return file.read(size)

    def seekable(self) -> Path | io.BytesIO:
        """What libraries open that read parts of a file."""
        return self.path if self.path is not None else io.BytesIO(self.read())

    def open(self) -> BinaryIO:
        """The bytes as an open file, for libraries that read parts of one; the caller closes it.

        Originals have names without an ending, by which some libraries judge what they are given a path of.
        """
        return self.path.open("rb") if self.path is not None else io.BytesIO(self.read())


@dataclass(frozen=True, slots=True)
class Extract:
    """What one format's parser found. ``outline`` is the document's own, if it has one besides its headings.

    ``date`` is ISO and stated by the document as its own; ``file_date`` is from file properties, which are often
    those of a print or a conversion. ``facts`` are the format's own.
    """

    pages: Sequence[Page]
    method: str
    title: str | None = None
    date: str | None = None
    file_date: str | None = None
    source: str | None = None
    encoding: str | None = None
    outline: Sequence[Mapping[str, Json]] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)


class TextBudget:
    """Counts the code points of a document while it is read, so that a bomb stops early."""

    def __init__(self, limit: int = MAX_TEXT_CHARS) -> None:
        self._left = limit
        self._cells_left = MAX_TABLE_CELLS

    def spend(self, chars: int) -> None:
        """Count ``chars`` more.

        Raises:
            DataError: ``too-large``, when the document has more text than any document should.
        """
        self._left -= chars
        if self._left < 0:
            raise DataError(f"has more than {MAX_TEXT_CHARS:,} characters of text; split it", reason="too-large")

    def may_keep(self, cells: int) -> bool:
        """Whether the places of so many more cells may be kept; they are counted, if so."""
        if cells > self._cells_left:
            return False
        self._cells_left -= cells
        return True

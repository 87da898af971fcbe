"""Bytes to text and text to pages: encodings, normal form, and the builder that knows where headings stand."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from etl_assets.documents.parsing.document import Cell, Heading, Page, Table, TextBudget

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# C0 and C1 controls but tab and line feed, soft hyphen, zero-width space, word joiner, byte order mark,
# noncharacters, and lone surrogates, which no UTF-8 file can hold.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]"
)
_SPACES = re.compile("[\xa0\u2000-\u200a\u202f\u205f\u3000]")
# The look-behind keeps a run of a million spaces from being tried from each of them.
_TRAILING = re.compile(r"(?<![ \t])[ \t]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")
_NOT_ASCII = re.compile("[^\x00-\x7f\ufffd]+")
_WHITESPACE = re.compile(r"\s+")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_SAMPLE = 65_536


def clean(text: str) -> str:
    """``text`` in normal form: ``\\n`` line ends, no trailing spaces, no control characters, at most one blank line.

    Cleaning twice changes nothing more.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _SPACES.sub(" ", _DROPPED.sub("", text))
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)).strip("\n")


def one_line(text: str) -> str:
    """``text`` in normal form with every run of white space as one space."""
    return _WHITESPACE.sub(" ", clean(text)).strip()


def decode(data: bytes, *declared: str | None) -> tuple[str, str]:
    """The text of ``data`` and the encoding it was read in.

    Tried in turn: byte order mark, UTF-8 (text that decodes as UTF-8 by chance is rare), ``declared``, UTF-16 without
    a mark, nearly sound UTF-8, then cp1252 for mostly ASCII text and detection by statistics for the rest.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace"), encoding.removesuffix("-sig")
    wide = _utf16_without_mark(data)
    if wide is not None:
        return data.decode(wide, "replace"), wide
    for likely in ("utf-8", *map(_known, declared)):
        if likely is not None:
            try:
                return data.decode(likely), likely
            except UnicodeDecodeError:
                continue
    return _decode_legacy(data)


def _known(declared: str | None) -> str | None:
    """The codec's own name, when there is such a text codec. ``utf-7`` and the like are never declared honestly."""
    try:
        codec = codecs.lookup((declared or "").strip())
    except (LookupError, ValueError):
        return None
    name = "cp1252" if codec.name in ("iso8859-1", "ascii") else codec.name
    return name if getattr(codec, "_is_text_encoding", False) and name not in ("utf-7", "idna", "punycode") else None


def _utf16_without_mark(data: bytes) -> str | None:
    sample = data[:_SAMPLE]
    if len(sample) < 4 or b"\x00" not in sample:
        return None
    half = len(sample) // 2
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.05 else None


def _decode_legacy(data: bytes) -> tuple[str, str]:
    lenient = data.decode("utf-8", "replace")
    sound = sum(len(run) for run in _NOT_ASCII.findall(lenient))
    if sound > 20 * lenient.count("\ufffd"):
        return lenient, "utf-8 with errors"
    sample = data[:_SAMPLE]
    high = sum(byte > 127 for byte in sample) / len(sample)
    if high > 0.3:
        from charset_normalizer import from_bytes

        best = from_bytes(sample).best()
        if best is not None:
            return data.decode(best.encoding, "replace"), best.encoding
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


class PageBuilder:
    """Collects the blocks of one page. Blocks stand apart by a blank line; ``tight`` ones by a line end."""

    def __init__(self, budget: TextBudget) -> None:
        self._budget = budget
        self._parts: list[str] = []
        self._headings: list[Heading] = []
        self._length = 0
        self._last_group: str | None = None
        self._tables: list[Table] = []
        self._rows: list[tuple[Cell, ...]] = []
        self._table = Table(0, 0, ())

    def add(self, text: str, *, level: int = 0, group: str | None = None) -> None:
        """Add a block; empty ones leave no trace. ``level`` above 0 makes it a heading, on one line.

        Blocks that follow one another with the same ``group`` (the rows of a table, the items of a list) stand on
        neighbouring lines.
        """
        text = one_line(text) if level else clean(text)
        if not text.strip():
            return
        if self._parts:
            separator = "\n" if group is not None and group == self._last_group else "\n\n"
            self._parts.append(separator)
            self._length += len(separator)
        if level:
            self._headings.append(Heading(min(level, 9), self._length, self._length + len(text)))
        self._parts.append(text)
        self._length += len(text)
        self._last_group = group
        self._budget.spend(len(text))

    def start_table(self, *, header_rows: int = 0, continues: bool = False) -> None:
        """Rows that are added from here are a table; one that is open ends."""
        self.end_table()
        self._last_group = None
        self._table = Table(0, 0, (), header_rows, continues)

    def add_row(
        self,
        cells: Sequence[tuple[int, str]],
        *,
        names: Sequence[str] = (),
        boxes: Mapping[int, tuple[float, float, float, float]] = {},
    ) -> None:
        """Add a row as a line, ``a | b | c``; one without text leaves no trace. ``cells`` are (column, text).

        Where ``names`` of columns are given, the row reads ``name: text | name: text``, without its empty cells; the
        names are no part of the cells.
        """
        placed: list[tuple[int, int, int]] = []
        pieces: list[str] = []
        length = 0
        for column, cell in cells:
            text = one_line(cell)
            name = names[column] if column < len(names) else ""
            if names and not text:
                continue
            before = (" | " if placed else "") + (f"{name}: " if name else "")
            pieces += (before, text)
            placed.append((length + len(before), length + len(before) + len(text), column))
            length = placed[-1][1]
        line = "".join(pieces).rstrip()
        if not any(end > start for start, end, _ in placed):
            return
        self.add(line, group="table")
        at = self._length - len(line)
        if self._budget.may_keep(len(placed)):
            self._rows.append(
                tuple(Cell(at + min(s, len(line)), at + min(e, len(line)), c, boxes.get(c)) for s, e, c in placed)
            )

    def end_table(self) -> None:
        """The rows since ``start_table`` are a table."""
        if self._rows:
            start, end = self._rows[0][0].start, self._rows[-1][-1].end
            self._tables.append(replace(self._table, start=start, end=end, rows=tuple(self._rows)))
        if self._last_group == "table":
            self._last_group = None
        self._rows = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._parts

    def page(self, number: int) -> Page:
        """The page as collected so far; an open table ends."""
        self.end_table()
        return Page(number, "".join(self._parts), tuple(self._headings), tuple(self._tables))


def table_row(cells: list[str]) -> str:
    """One line of a table: ``a | b | c``; empty when no cell has text."""
    texts = [one_line(cell) for cell in cells]
    return " | ".join(texts) if any(texts) else ""

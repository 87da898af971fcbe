"""RTF: text, headings, tables, notes and properties. Rich Text Format Specification 1.9.1 (Microsoft)."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.text import PageBuilder, one_line
from etl_assets.errors import DataError

_TOKEN = re.compile(
    r"\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])|[\r\n\x00]+|([^\\{}\r\n\x00]+)|\\'",
    re.S,
)
_SYMBOLS = {
    "tab": " ", "line": "\n", "lbr": "\n", "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’",
    "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ", "qmspace": " ", "softline": "\n",
}  # fmt: skip
_LEFT_OUT = frozenset(
    (
        "colortbl pict object fldinst themedata colorschememapping datastore latentstyles listtable "
        "listoverridetable revtbl rsidtbl generator xmlnstbl filetbl bkmkstart bkmkend nonshppict pgptbl "
        "mmathPr objdata wgrffmtfilter password ftnsep ftnsepc aftnsep aftnsepc template panose falt"
    ).split()
)
_PROPERTIES = ("title", "author", "creatim", "revtim", "subject", "operator", "company", "keywords", "doccomm")
_CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 134: "gbk", 136: "cp950", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_HEADING = re.compile(r"heading ?([1-9])", re.IGNORECASE)
MAX_DEPTH = 10_000


@dataclass(frozen=True, slots=True)
class _State:
    """What a group sets: closing it brings back what was before."""

    kind: str = "text"
    codepage: str = "cp1252"
    skipped_after_unicode: int = 1
    is_hidden: bool = False


def parse_rtf(source: Source) -> Extract:
    """Pages end at explicit page breaks. Footnotes stand in brackets where they are called.

    Raises:
        DataError: ``truncated``, when groups are left open; ``nesting``.
    """
    reader = _Reader(source.read().decode("latin-1"))
    reader.run()
    named = reader.properties
    return Extract(
        pages=reader.pages,
        method=f"python {'.'.join(map(str, sys.version_info[:3]))}",
        title=one_line(named.get("title", "")) or None,
        file_date=iso_date(named.get("revtim")) or iso_date(named.get("creatim")),
        source=one_line(named.get("author", "")) or None,
        facts={"warnings": list(reader.warnings)} if reader.warnings else {},
    )


class _Reader:
    def __init__(self, text: str) -> None:
        self._source = text
        self._state = _State()
        self._stack: list[_State] = []
        self._codepage = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._styles: dict[int, int] = {}
        self._style = 0
        self._bytes = bytearray()
        self._to_skip = 0
        self._text: list[str] = []
        self._special: list[str] = []
        self._cells: list[str] = []
        self._level = 0
        self._in_table = False
        self._budget = TextBudget()
        self._builder = PageBuilder(self._budget)
        self.pages: list[Page] = []
        self.properties: dict[str, str] = {}
        self.warnings: list[str] = []

    def run(self) -> None:
        position, end = 0, len(self._source)
        while position < end and (match := _TOKEN.match(self._source, position)) is not None:
            position = match.end()
            word, number, code, symbol, brace, text = match.groups()
            if code is not None:
                self._byte(int(code, 16))
                continue
            self._flush_bytes()
            if word == "bin":
                size = max(0, int(number or 0))
                position += size if position + size <= end else 0
            elif word is not None:
                self._control(word, int(number) if number is not None else None)
            elif brace is not None:
                self._brace(brace)
            elif symbol is not None:
                self._symbol(symbol)
            elif text is not None:
                self._plain(text)
        self._flush_bytes()
        if self._stack:
            self.warnings.append("the file ends before its text does: some may be missing at the end")
        if len(self._stack) > 1:
            raise DataError("the RTF ends in the middle; upload it again", reason="truncated")
        self._end_paragraph()
        self._end_page()

    def _brace(self, brace: str) -> None:
        if brace == "{":
            if len(self._stack) > MAX_DEPTH:
                raise DataError(f"has groups deeper than {MAX_DEPTH}", reason="nesting")
            self._stack.append(self._state)
            return
        ended = self._state
        self._state = self._stack.pop() if self._stack else _State()
        if ended.kind != self._state.kind:
            self._end_special(ended.kind)

    def _end_special(self, kind: str) -> None:
        text = "".join(self._special).strip()
        self._special = []
        if kind in _PROPERTIES:
            self.properties.setdefault(kind, text)
        elif kind == "stylesheet" and (match := _HEADING.match(text)):
            self._styles[self._style] = int(match.group(1))
        elif kind == "footnote" and text:
            self._text.append(f" [{one_line(text)}]")

    def _symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._state = replace(self._state, kind="optional" if self._state.kind != "left out" else "left out")
        elif symbol in "\r\n":
            self._control("par", None)
        elif symbol == "~":
            self._plain("\xa0")
        elif symbol == "_":
            self._plain("-")
        elif symbol in "\\{}":
            self._plain(symbol)

    def _control(self, word: str, number: int | None) -> None:
        if word in _LEFT_OUT or (word in ("footnote", "fonttbl", "stylesheet") or word in _PROPERTIES):
            self._begin(word)
        elif self._state.kind == "optional":
            # \\*\\word: a destination that older readers leave out, as this one does but for pictures' text.
            known = word in ("shppict", "shpinst", "shptxt", "cs", "ds", "ts")
            self._state = replace(self._state, kind="left out" if word in ("cs", "ds", "ts") or not known else "text")
        elif word in _SYMBOLS:
            self._plain(_SYMBOLS[word])
        elif word == "u" and number is not None:
            self._plain(chr(number % 65_536))
            self._to_skip = self._state.skipped_after_unicode
        else:
            self._setting(word, number)

    def _begin(self, word: str) -> None:
        if self._state.kind == "left out":
            return
        self._state = replace(self._state, kind="left out" if word in _LEFT_OUT else word)
        self._special = []

    def _setting(self, word: str, number: int | None) -> None:
        if word == "ansicpg" and number:
            self._codepage = _known_codepage(f"cp{number}")
            self._state = replace(self._state, codepage=self._codepage)
        elif word == "mac":
            self._codepage = "mac_roman"
            self._state = replace(self._state, codepage=self._codepage)
        elif word in ("f", "deff") and number is not None:
            self._font = number
            if self._state.kind != "fonttbl":
                self._state = replace(self._state, codepage=self._fonts.get(number, self._codepage))
        elif word == "fcharset" and self._state.kind == "fonttbl" and number in _CHARSETS and number != 0:
            self._fonts[self._font] = _CHARSETS[number]
        elif word == "s" and number is not None:
            self._style, self._level = number, self._styles.get(number, 0)
        elif word == "outlinelevel" and number is not None:
            self._level = number + 1 if number < 9 else 0
        elif word == "uc" and number is not None:
            self._state = replace(self._state, skipped_after_unicode=max(0, number))
        elif word == "v":
            self._state = replace(self._state, is_hidden=number != 0)
        elif word == "plain":
            self._state = replace(self._state, is_hidden=False, codepage=self._codepage)
        elif word in ("yr", "mo", "dy") and self._state.kind in ("creatim", "revtim") and number is not None:
            self._special.append(f"{number:02}" + ("" if word == "dy" else "-"))
        else:
            self._layout(word)

    def _layout(self, word: str) -> None:
        if self._state.kind != "text":
            if word == "par":
                self._plain(" ")
            return
        if word == "pard":
            self._level, self._in_table = 0, False
        elif word == "intbl":
            self._in_table = True
        elif word in ("par", "sect"):
            self._text.append("\n") if self._in_table else self._end_paragraph()
        elif word in ("cell", "nestcell"):
            self._cells.append("".join(self._text))
            self._text = []
        elif word in ("row", "nestrow"):
            self._end_row()
        elif word in ("page", "sbkpage"):
            self._end_paragraph()
            if not self._builder.is_empty:
                self._end_page()

    def _byte(self, value: int) -> None:
        if self._to_skip:
            self._to_skip -= 1
        else:
            self._bytes.append(value)

    def _flush_bytes(self) -> None:
        if self._bytes:
            text = self._bytes.decode(self._state.codepage, "replace")
            self._bytes.clear()
            self._plain(text)

    def _plain(self, text: str) -> None:
        if self._to_skip and text:
            skipped = min(self._to_skip, len(text))
            self._to_skip -= skipped
            text = text[skipped:]
        if self._state.kind == "text" and not self._state.is_hidden:
            self._text.append(text)
        elif self._state.kind not in ("text", "left out", "optional", "fonttbl"):
            self._special.append(text)

    def _end_paragraph(self) -> None:
        # Characters beyond the basic plane come as two halves.
        text = "".join(self._text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._text = []
        if self._cells and text.strip():
            self._end_row()
        if text.strip():
            self._builder.end_table()
            self._builder.add(text, level=self._level)

    def _end_row(self) -> None:
        self._builder.add_row(list(enumerate(self._cells)))
        self._cells = []

    def _end_page(self) -> None:
        if self._cells:
            self._end_row()
        self.pages.append(self._builder.page(len(self.pages) + 1))
        self._builder = PageBuilder(self._budget)


def _known_codepage(name: str) -> str:
    import codecs

    try:
        return codecs.lookup({"cp65001": "utf-8", "cp936": "gbk", "cp10000": "mac_roman"}.get(name, name)).name
    except LookupError:
        return "cp1252"

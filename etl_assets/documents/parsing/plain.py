"""Plain text: form feeds end pages, underlined lines are headings."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

from etl_assets.documents.parsing.document import Extract, Heading, Page, Source, TextBudget
from etl_assets.documents.parsing.text import clean, decode, one_line

_UNDERLINE = re.compile(r"(={3,}|-{3,}|~{3,}|\*{3,})")
_LEVELS = {"=": 1, "*": 1, "-": 2, "~": 3}


def parse_plain(source: Source) -> Extract:
    """A page per form feed. The title is the first heading, or the first line when it is short and no sentence."""
    text, encoding = decode(source.read(), source.charset)
    TextBudget().spend(len(text))
    parts = text.split("\x0c")
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    pages = [_page(clean(part), number) for number, part in enumerate(parts, 1)]
    return Extract(
        pages=pages,
        method=f"python {'.'.join(map(str, sys.version_info[:3]))}",
        title=_title(pages),
        encoding=encoding,
    )


def _page(text: str, number: int) -> Page:
    return Page(number, text, tuple(underlined_headings(text)))


def underlined_headings(text: str) -> Iterator[Heading]:
    """Lines that stand alone above a line of ``=``, ``-``, ``~`` or ``*`` about as long as they are."""
    position, before, last, last_start = 0, "", "", 0
    for line in text.split("\n"):
        match = _UNDERLINE.fullmatch(line.strip())
        if match and last.strip() and not before.strip() and abs(len(line.strip()) - len(last.strip())) <= 3:
            yield Heading(_LEVELS[match.group(1)[0]], last_start, last_start + len(last))
        before, last, last_start = last, line, position
        position += len(line) + 1


def _title(pages: Sequence[Page]) -> str | None:
    for page in pages:
        for heading in page.headings:
            return one_line(page.text[heading.start : heading.end])
        first = next((line.strip() for line in page.text.split("\n") if line.strip()), "")
        if first:
            return one_line(first) if len(first) <= 150 and not first.endswith((".", ",", ";", ":")) else None
    return None

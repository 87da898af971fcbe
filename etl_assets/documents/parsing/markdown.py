"""Markdown, kept as written: its marks carry structure that chunking and readers use. CommonMark 0.31 headings."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Extract, Heading, Page, Source, TextBudget
from etl_assets.documents.parsing.text import clean, decode, one_line

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_MAX_FRONT_MATTER = 65_536
_DATE_KEYS = ("last_updated", "updated", "lastmod", "modified", "date", "published")
_NOT_PARAGRAPH = re.compile(r" {0,3}(?:[-*+>|]|\d{1,9}[.)]|#{1,6}\s|`{3}|~{3})| {4}|\t")


def parse_markdown(source: Source) -> Extract:
    """One page, without the front matter, whose title, date and author become facts."""
    text, encoding = decode(source.read(), source.charset)
    text = clean(text)
    front, start = front_matter(text)
    body = text[start:].strip("\n")
    headings = tuple(markdown_headings(body))
    TextBudget().spend(len(body))
    first = next((_heading_text(body, h) for h in headings if h.level == 1), None)

    return Extract(
        pages=[Page(1, body, headings)],
        method=f"python {'.'.join(map(str, sys.version_info[:3]))}",
        title=front.get("title") or first or next((_heading_text(body, h) for h in headings), None),
        date=next((found for key in _DATE_KEYS if (found := iso_date(front.get(key)))), None),
        source=next((front[key] for key in ("author", "authors", "source", "publisher", "url") if key in front), None),
        encoding=encoding,
    )


def front_matter(text: str) -> tuple[Mapping[str, str], int]:
    """The plain values of a YAML block at the very start, and where the text after it begins; none is ``{}, 0``.

    A block that is not a sound YAML mapping is text.
    """
    match = _FRONT_MATTER.match(text[:_MAX_FRONT_MATTER])
    if match is None:
        return {}, 0
    import yaml

    try:
        loaded = yaml.load(match.group(1), Loader=yaml.BaseLoader)  # only strings, lists and dicts
    except (yaml.YAMLError, RecursionError):
        return {}, 0
    if not isinstance(loaded, dict):
        return {}, 0
    values: dict[str, str] = {}
    for key, value in loaded.items():
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(key, str) and isinstance(first, str) and first.strip():
            values[key.lower()] = one_line(first)
    return values, match.end()


def markdown_headings(text: str) -> Iterator[Heading]:
    """Spans of ATX and setext headings, marks included, outside fenced code."""
    fence = ""
    position, previous, previous_start = 0, "", 0
    for line in text.split("\n"):
        start, position = position, position + len(line) + 1
        opening = _FENCE.match(line)
        if opening:
            mark = opening.group(1)
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence) and not line.strip().strip(mark[0]):
                fence = ""
            previous = ""
            continue
        if fence:
            continue
        atx, setext = _ATX.fullmatch(line), _SETEXT.fullmatch(line)
        if atx and atx.group(2):
            yield Heading(len(atx.group(1)), start, start + len(line))
            previous = ""
        elif setext and previous and not _NOT_PARAGRAPH.match(previous):
            yield Heading(1 if setext.group(1)[0] == "=" else 2, previous_start, previous_start + len(previous))
            previous = ""
        else:
            previous, previous_start = line.rstrip() and line, start


def _heading_text(text: str, heading: Heading) -> str:
    return heading_title(text[heading.start : heading.end])


def heading_title(line: str) -> str:
    """A heading line without its Markdown marks; other lines unchanged but for white space."""
    match = _ATX.fullmatch(line)
    return one_line(match.group(2)) if match and match.group(2) else one_line(line)

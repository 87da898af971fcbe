"""Dates that documents state about themselves, as ISO text. English month names and unambiguous numbers only."""

from __future__ import annotations

import re
from datetime import date

_NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
          "november", "december")  # fmt: skip
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_ISO = r"(?P<year>(?:19|20)\d\d)[-/.](?P<number>0?[1-9]|1[0-2])[-/.](?P<day>0?[1-9]|[12]\d|3[01])(?!\d)"
_US = rf"{_MONTH}\s+(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\s*,?\s+(?P<year>(?:19|20)\d\d)\b"
_EUROPEAN = rf"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\.?\s+{_MONTH},?\s+(?P<year>(?:19|20)\d\d)\b"
_FULL = [re.compile(rf"(?<![\w.])(?:{form})", re.IGNORECASE) for form in (_ISO, _US, _EUROPEAN)]
_MONTH_ONLY = re.compile(rf"(?<![\w.]){_MONTH},?\s+(?P<year>(?:19|20)\d\d)\b", re.IGNORECASE)
_PACKED = re.compile(r"(?:D:)?(?P<year>(?:19|20)\d\d)(?P<number>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])")
_REVISED = r"last\s+(?:revised|updated|modified|reviewed)|revised|updated|revision\s+date|date\s+last\s+revised"
_RELEASED = r"release\s+date|(?:date\s+)?(?:released|published|issued)(?:\s+on)?|publication\s+date|date"
_LABELS = [
    re.compile(rf"(?:^|[\s(|*_])(?:{words})[*_]*\s*[:\-–]?\s*[*_]*\s*$", re.IGNORECASE)
    for words in (_REVISED, _RELEASED)
]


def iso_date(text: str | None) -> str | None:
    """The first date in ``text``, as ``YYYY-MM-DD``; None without one. ``text`` is a value that is meant as a date."""
    if not text:
        return None
    packed = _PACKED.match(text.strip())
    found = _date(packed) if packed else None
    return found or _first(text, _FULL) or _first(text, [_MONTH_ONLY])


def labelled_date(text: str) -> str | None:
    """The date beside a label such as ``Last Revised`` or ``Release Date``; a revision goes before a release."""
    matches = [m for pattern in _FULL for m in pattern.finditer(text)]
    for label in _LABELS:
        for match in sorted(matches, key=lambda m: m.start()):
            if label.search(text[max(0, match.start() - 40) : match.start()]) and (found := _date(match)):
                return found
    return None


def standing_alone(text: str, *, month_is_enough: bool = False) -> str | None:
    """The first line that is a date and nothing else; a bare month counts as its first day, when allowed."""
    for line in text.splitlines():
        if len(line) <= 40:
            for pattern in [*_FULL, _MONTH_ONLY] if month_is_enough else _FULL:
                match = pattern.fullmatch(line.strip())
                if match and (found := _date(match)):
                    return found
    return None


def _first(text: str, patterns: list[re.Pattern[str]]) -> str | None:
    found = [(m.start(), iso) for p in patterns for m in [p.search(text)] if m and (iso := _date(m))]
    return min(found)[1] if found else None


def _date(match: re.Match[str]) -> str | None:
    parts = match.groupdict()
    month = parts.get("month")
    number = [n[:3] for n in _NAMES].index(month.lower()) + 1 if month else int(parts["number"])
    try:
        return date(int(parts["year"]), number, int(parts.get("day") or 1)).isoformat()
    except ValueError:
        return None

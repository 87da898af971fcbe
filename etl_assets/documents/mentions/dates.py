"""Dates of the calendar, normalised as far as the text says: ``2021-05-14``, ``2021-05``, ``2021``.

A day without a year, and ``last year``, count from the first whole date of the document, and are less sure.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date

from etl_assets.documents.mentions.found import Found
from etl_assets.documents.mentions.overlaps import Overlaps

_MONTHS = {name[:3]: number for number, name in enumerate(
    "january february march april may june july august september october november december".split(), start=1
)}  # fmt: skip
_MONTH = (r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
          r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?")  # fmt: skip
_DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19[5-9]|20[0-4])\d)"
_GAP = r"[ \u00a0]{0,2}\n?"
_BEFORE, _AFTER = r"(?<![\w./:-])", r"(?![\w/:]|-\d|\.\d)"
_FORMS = tuple(
    (re.compile(_BEFORE + form + _AFTER), sure)
    for form, sure in (
        (r"(?P<year>(?:19|20)\d\d)-(?P<number>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])", 0.97),
        (r"(?P<year>(?:19|20)\d\d)[/.](?P<number>0[1-9]|1[0-2])[/.](?P<day>0[1-9]|[12]\d|3[01])", 0.9),
        (rf"{_MONTH}{_GAP}{_DAY},?{_GAP},?{_GAP}{_YEAR}", 0.97),
        (rf"{_DAY}{_GAP}(?:of )?{_MONTH},?{_GAP}{_YEAR}", 0.97),
        (rf"{_DAY}-{_MONTH}-{_YEAR}", 0.95),
        (rf"{_MONTH},?{_GAP}(?:of )?{_YEAR}", 0.95),
        (r"(?P<first>0?[1-9]|[12]\d|3[01])(?P<mark>[/.])(?P<second>0?[1-9]|[12]\d|3[01])(?P=mark)"
         r"(?P<year>20[0-4]\d)", 0.85),
    )
)  # fmt: skip
_DAY_OF_YEAR = re.compile(rf"{_BEFORE}(?:{_MONTH}{_GAP}{_DAY}|(?P<day2>[12]?\d|3[01])(?:st|nd|rd|th)?{_GAP}(?:of )?"
                          + _MONTH.replace("month", "month2") + rf"){_AFTER}")  # fmt: skip
_ALONE = re.compile(
    r"(?:\b(?:in|since|by|during|from|until|till|of|between|and|late|early|mid|end of|throughout|through|before|after"
    rf"|spring|summer|fall|autumn|winter|year|Q[1-4])[ \n-]){_YEAR}{_AFTER}",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"\b(?P<which>last|this|past|previous|current) year\b", re.IGNORECASE)
_VERSIONED = re.compile(r"(?:Windows|Server|Office|Exchange|SharePoint|Visual Studio|SQL|Studio)[ \n]$")
Span = tuple[int, int]


def dates(pages: Sequence[str]) -> list[list[Found]]:
    """The dates of one document, one list a page, in order, none overlapping another."""
    whole = [_whole(text) for text in pages]
    first = next((found for page in whole for found in page if found.name.count("-") == 2), None)
    year = int(first.name[:4]) if first else None
    found = []
    for text, known in zip(pages, whole, strict=True):
        more = [] if year is None else list(_from_anchor(text, year))
        found.append(_apart([*known, *_years(text), *more]))
    return found


def _apart(candidates: Sequence[Found]) -> list[Found]:
    """Earlier candidates win over later ones that overlap them."""
    taken: Overlaps[Found] = Overlaps()
    kept = []
    for one in candidates:
        if not taken.of(one.start, one.end):
            taken.add(one)
            kept.append(one)
    return sorted(kept)


def _whole(text: str) -> list[Found]:
    return _apart(
        [
            _found(match.span(), normal, sure)
            for form, sure in _FORMS
            for match in form.finditer(text)
            if (normal := _normal(match.groupdict()))
        ]
    )


def _normal(parts: dict[str, str | None]) -> str | None:
    """The date in ISO 8601, as precise as it is given; None for a day that does not exist or could be two."""
    year, day = int(parts["year"] or 0), parts.get("day")
    if parts.get("first"):
        first, second = int(parts["first"] or 0), int(parts["second"] or 0)
        if (first > 12) == (second > 12) and first != second:
            return None
        month, day = (second, str(first)) if first > 12 else (first, str(second))
    else:
        month = int(parts.get("number") or 0) or _MONTHS[str(parts["month"])[:3].lower()]
    if day is None:
        return f"{year:04}-{month:02}"
    try:
        return date(year, month, int(day)).isoformat()
    except ValueError:
        return None


def _years(text: str) -> Iterator[Found]:
    for match in _ALONE.finditer(text):
        start = match.start("year")
        if not _VERSIONED.search(text, max(0, start - 20), start):
            yield _found((start, match.end()), match.group("year"), 0.8)


def _from_anchor(text: str, year: int) -> Iterator[Found]:
    for match in _DAY_OF_YEAR.finditer(text):
        month, day = match.group("month") or match.group("month2"), match.group("day") or match.group("day2")
        normal = _normal({"year": str(year), "month": month, "day": day})
        if normal:
            yield _found(match.span(), normal, 0.65)
    for match in _RELATIVE.finditer(text):
        of_year = year if match.group("which").lower() in ("this", "current") else year - 1
        yield _found(match.span(), str(of_year), 0.6)


def _found(span: Span, normal: str, confidence: float) -> Found:
    return Found(*span, f"date:{normal}", "date", normal, confidence, "pattern")

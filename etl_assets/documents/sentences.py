"""Where a page may be cut: headings, blank lines, list items and table rows, sentences. By rules, in one pass.

Written for reports: a full stop inside an address, a version, a file name or a defanged indicator has no space after
it and is never an end; abbreviations, initials and numbering are known by form.
"""

import re
import unicodedata
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Break(IntEnum):
    """What stands before a unit; a stronger break is the better place for a cut."""

    WORD = 0
    WRAP = 1
    SENTENCE = 2
    LINE = 3
    PARAGRAPH = 4
    HEADING = 5


@dataclass(frozen=True, slots=True)
class Unit:
    """A stretch of a page that is kept whole if it can be: ``text[start:end]``, without white space at its ends."""

    start: int
    end: int
    before: Break


_BREAKS = re.compile(
    r"""
    (?P<paragraph> \n[^\S\n]*\n\s* )
    | (?P<line> \n (?= [^\S\n]* (?: [-*+\u2022\u2023\u25aa\u25cf\u25e6\u2013\u2014] [^\S\n] | \| | \t
                                  | \(?(?:\d{1,3}|[A-Za-z])[.)][^\S\n] ) ) )
    | (?P<cell> \t[^\n]* \n )
    | (?P<wide> [\u3002\uff01\uff1f\uff61]+ [\u300d\u300f\u3011\uff09\u201d\u2019)\]"']* )
    | (?P<sentence> [.!?\u2026\u061f\u0964\u06d4]+ ["'\u201d\u2019\u00bb)\]]* (?=\s) )
    """,
    re.VERBOSE,
)

# Never the end of a sentence: something must follow.
_OPEN = frozenset(
    "e.g i.e fig figs eq eqs no nos vs cf dr mr mrs ms prof st sec sect ch chap vol ed eds approx ca p pp art ref refs "
    "tab dept gen col sgt lt capt gov sen rep rev hon jan feb mar apr jun jul aug sep sept oct nov dec resp incl al "
    "viz z.b d.h bzw vgl nr abb p.ex".split()
)
# The end of a sentence when what follows looks like a beginning.
_WORD_BEFORE = re.compile(r"[^\s(\[{\"'\u201c\u2018]*\Z")
_OPENERS = "\"'\u201c\u2018\u00ab([{*_\u00bf\u00a1"


def units(text: str, headings: Sequence[tuple[int, int]] = ()) -> list[Unit]:
    """The units of a page in reading order; together they hold everything but white space.

    ``headings`` are (start, end) spans of heading lines, ascending; each is a unit, however it is punctuated.
    """
    found: list[Unit] = []
    position = 0
    for start, end in _apart(headings, len(text)):
        _add(found, text, position, start, Break.PARAGRAPH if found else Break.HEADING)
        _trimmed(found, text, start, end, Break.HEADING)
        position = end
    _add(found, text, position, len(text), Break.PARAGRAPH if found else Break.HEADING)
    return found


def _apart(headings: Iterable[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    """The spans that lie inside the text and do not overlap an earlier one."""
    position = 0
    for start, end in headings:
        if position <= start < end <= length:
            yield start, end
            position = end


def _add(found: list[Unit], text: str, start: int, end: int, before: Break) -> None:
    """Units of ``text[start:end]``, which holds no heading. The one right after a heading belongs to it."""
    if found and before is Break.PARAGRAPH and found[-1].before is Break.HEADING:
        before = Break.SENTENCE
    position = start
    for match in _BREAKS.finditer(text, start, end):
        kind = match.lastgroup
        if kind == "sentence" and not _ends_sentence(text, position, match.start(), match.end(), end):
            continue
        # A cell row ends with its line; the search goes on behind it, so the break is where the match ends.
        cut = match.start() if kind in ("paragraph", "line") else match.end()
        if _trimmed(found, text, position, cut, before):
            before = _STRENGTH[str(kind)]
        else:
            before = max(before, _STRENGTH[str(kind)])
        position = cut
    _trimmed(found, text, position, end, before)


_STRENGTH = {
    "paragraph": Break.PARAGRAPH,
    "line": Break.LINE,
    "cell": Break.LINE,
    "wide": Break.SENTENCE,
    "sentence": Break.SENTENCE,
}


def _trimmed(found: list[Unit], text: str, start: int, end: int, before: Break) -> bool:
    """Append the span without white space at its ends, unless nothing is left."""
    part = text[start:end]
    core = part.strip()
    if not core:
        return False
    first = start + len(part) - len(part.lstrip())
    found.append(Unit(first, first + len(core), before))
    return True


def _ends_sentence(text: str, unit_start: int, start: int, stop: int, end: int) -> bool:
    """Whether the punctuation ``text[start:stop]``, which white space follows, ends a sentence."""
    following = text[stop : min(stop + 64, end)].lstrip()
    if start > unit_start and text[start - 1].isspace():  # " . " of tokenised text
        return True
    if following.lstrip(_OPENERS)[:1].islower() and not text[max(start - 100, unit_start) : stop + 100].islower():
        return False  # unless everything around is in small letters
    if text[start] != "." or (stop - start > 1 and text[start + 1] in ".!?"):
        return True
    if start > unit_start and text[start - 1] in "[({":  # "evil[.] com"
        return False
    last = _WORD_BEFORE.search(text, max(unit_start, start - 24), start)
    word = last.group() if last else ""
    if word.lower() in _OPEN or (len(word) == 1 and word.isalpha() and word.isupper()):
        return False
    # "3. Results" at the beginning of a unit is numbering.
    return not (word and word.strip(".").isdigit() and not text[unit_start : start - len(word)].strip())


def split_long(text: str, unit: Unit, tokens: Sequence[tuple[int, int]], *, limit: int) -> list[Unit]:
    """A unit that is too long, in pieces of a few words, cut where a token begins and never inside a character.

    ``tokens`` are the unit's token spans. Where the pieces end is decided by the words themselves, so that an edit
    moves only the ends near it. A piece has at most ``limit`` tokens.
    """
    cuts = list(_cuts(text, unit, tokens, limit=limit))
    bounds = [unit.start, *cuts, unit.end]
    found: list[Unit] = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        wrapped = "\n" in text[max(start - 2, 0) : start]
        _trimmed(found, text, start, end, Break.WRAP if wrapped else Break.WORD)
    if found:
        found[0] = Unit(found[0].start, found[0].end, unit.before)
    return found


_LONG_STRETCH = 500
"""Code points without a token boundary: a blob that the tokenizer gave up on. It is cut by length alone."""


def _cuts(text: str, unit: Unit, tokens: Sequence[tuple[int, int]], *, limit: int) -> Iterator[int]:
    shortest, longest = max(limit // 16, 1), max(limit // 6, 1)
    last, since = unit.start, 0
    between_words = between_characters = unit.start  # the last such places seen
    for index, (start, end) in enumerate(tokens):
        if start - last > 2 * _LONG_STRETCH:
            yield from _even(text, last, start)
            last, since = start, 0
        if since and start > last:
            whole = not _extends(text, start)
            words = whole and _between_words(text, start)
            between_characters = start if whole else between_characters
            between_words = start if words else between_words
            if words and (since >= longest or (since >= shortest and _is_chosen(text, last, start))):
                yield start
                last, since = start, 0
            elif since >= limit:
                # Between words, else between characters; the limit holds even inside a character of many tokens.
                last = next((place for place in (between_words, between_characters) if place > last), start)
                yield last
                since = index - bisect_left(tokens, (last, 0))
        since += 1
        if end - start > 2 * _LONG_STRETCH:
            yield from _even(text, start, end)
            last, since = end, 0
    if unit.end - last > 2 * _LONG_STRETCH:
        yield from _even(text, last, unit.end)


def _is_chosen(text: str, last: int, place: int) -> bool:
    """A line's end, or one word in four, by a hash of what stands before."""
    before = text[max(place - 12, last) : place]
    return before.endswith("\n") or zlib.crc32(before.encode("utf-8", "surrogatepass")) % 4 == 0


def _even(text: str, start: int, end: int) -> Iterator[int]:
    """Cuts that part a long stretch into equal pieces of 500 to 1,000 code points, its start and end included."""
    pieces = -(-(end - start) // (2 * _LONG_STRETCH))
    for piece in range(pieces + 1):
        cut = start + (end - start) * piece // pieces
        while start < cut < end and _extends(text, cut):
            cut += 1
        yield cut


def _between_words(text: str, position: int) -> bool:
    """Behind white space, or before a code point of a script that is written without it (from U+2E80)."""
    return text[position - 1].isspace() or text[position].isspace() or text[position] > "\u2e7f"


def _extends(text: str, position: int) -> bool:
    """Whether the code point at ``position`` belongs to the character before it (a short form of UAX #29)."""
    if not 0 < position < len(text):
        return False
    here, before = text[position], text[position - 1]
    if before.isspace() or (here < "\u0300" and before != "\u200d"):
        return False
    return (
        before == "\u200d"
        or here == "\u200d"
        or unicodedata.category(here)[0] == "M"
        or "\u1160" <= here <= "\u11ff"
        or "\U0001f3fb" <= here <= "\U0001f3ff"
        or ("\U0001f1e6" <= here <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff")
    )

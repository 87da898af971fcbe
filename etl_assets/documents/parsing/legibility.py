"""Whether text says anything: what fonts without a mapping to Unicode give looks like text to a program only."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

FEW = 10
"""Fewer characters than this count as nothing."""
_LEADERS = frozenset("._-·…•|")
_EAST_ASIAN = frozenset(
    ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "LATIN", "FULLWIDTH", "HALFWIDTH")
)
"""Japanese mixes its own with Latin letters, and parts no words."""
_WORD = re.compile(r"[A-Za-z]{4,}")
_VOWEL = re.compile(r"[aeiouy]", re.IGNORECASE)
_SAMPLE = 4_000


def says_nothing(text: str) -> bool:
    """Whether a text has fewer than ``FEW`` characters beside white space."""
    return sum(not c.isspace() for c in text[: 100 * FEW]) < FEW


def is_garbled(text: str, *, unmapped_share: float = 0.0) -> bool:
    """Whether a text is codes of glyphs rather than writing.

    So it is when a third of it is of private use, unassigned, a control or a replacement character; when letters of
    several alphabets stand in most words, or in one of six where fonts had no Unicode value for most characters
    (``unmapped_share``, which says nothing alone: PDFium then guesses, and often well); when hardly a Latin word has a
    vowel; or when hardly a character is a letter or a digit, leaders left out. A short text is never called garbled
    for its words.
    """
    if text.isascii() and text.isprintable():
        return _is_vowelless(text)
    marks = [c for c in text[:_SAMPLE] if not c.isspace() and c not in _LEADERS and c != "\ufffe"]
    if len(marks) < FEW:
        return False
    strange = sum(c == "\ufffd" or unicodedata.category(c) in ("Co", "Cn", "Cc") for c in marks)
    if strange * 20 > len(marks) * 7 or _mixed_share(text[:_SAMPLE]) > (0.16 if unmapped_share > 0.5 else 0.5):
        return True
    if len(marks) >= 100 and sum(c.isalnum() for c in marks) * 4 < len(marks):
        return True
    return _is_vowelless(text)


def _is_vowelless(text: str) -> bool:
    words = _WORD.findall(text[:_SAMPLE])
    return len(words) >= 20 and sum(_VOWEL.search(word) is None for word in words) * 10 > len(words) * 6


def _mixed_share(text: str) -> float:
    """How many words of four letters or more are of more than one alphabet; those of East Asia go together."""
    words = [word for word in text.split()[:400] if sum(map(str.isalpha, word)) >= 4]
    foreign = (word for word in words if not word.isascii())
    return sum(len({_alphabet(c) for c in word if c.isalpha()}) > 1 for word in foreign) / max(5, len(words))


@lru_cache(maxsize=2048)
def _alphabet(letter: str) -> str:
    first = unicodedata.name(letter, "UNKNOWN").split()[0]
    return "EAST ASIAN" if first in _EAST_ASIAN else first

"""Whether text says anything: what fonts without a mapping to Unicode give looks like text to a program only."""

from __future__ import annotations

import re
import unicodedata

FEW = 10
"""Fewer characters than this count as nothing."""
_LEADERS = frozenset("._-·…•|")
_WORD = re.compile(r"[A-Za-z]{4,}")
_VOWEL = re.compile(r"[aeiouy]", re.IGNORECASE)
_SAMPLE = 20_000


def says_nothing(text: str) -> bool:
    """Whether a text has fewer than ``FEW`` characters beside white space."""
    return sum(not c.isspace() for c in text[: 100 * FEW]) < FEW


def is_garbled(text: str, *, unmapped_share: float = 0.0) -> bool:
    """Whether a text is codes of glyphs rather than writing.

    So it is when a fifth of it is of private use, unassigned, a control or a replacement character; when a font gave
    no Unicode value for half of the ``unmapped_share``; when hardly a Latin word has a vowel; or when hardly a
    character is a letter or a digit, leaders left out. A short text is never called garbled for its words.
    """
    marks = [c for c in text[:_SAMPLE] if not c.isspace() and c not in _LEADERS and c != "\ufffe"]
    if len(marks) < FEW:
        return False
    strange = sum(c == "\ufffd" or unicodedata.category(c) in ("Co", "Cn", "Cc") for c in marks)
    if strange * 5 > len(marks) or unmapped_share > 0.5:
        return True
    if len(marks) >= 100 and sum(c.isalnum() for c in marks) * 4 < len(marks):
        return True
    words = _WORD.findall(text[:_SAMPLE])
    return len(words) >= 20 and sum(_VOWEL.search(word) is None for word in words) * 10 > len(words) * 6

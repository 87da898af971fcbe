"""At which words no name begins or ends: those of grammar, as annotated reports use them, ``Here``, ``of``, ``which``.

The words are learnt (``training/borders.py``) and stored with the labeller. Verbs and adverbs are among them, nouns and
adjectives are not: ``Ministry of Defence`` ends as it does although no report of the training data has it.
"""

import re
from dataclasses import dataclass

KINDS = frozenset(("organisation", "group", "location"))
"""Kinds whose ends are looked at. Malware and products are called by any word."""

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Borders:
    """Words in small letters: no name begins at one of ``first`` or ends at one of ``last``."""

    first: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()

    def within(self, text: str, start: int, end: int) -> tuple[int, int]:
        """The span without such words at its ends; ``(start, start)`` where nothing else is left.

        Words in capitals are names (``WHO``), and so is what a hyphen joins. In front only words in small letters are
        left out: names begin with ``The`` and ``All``.
        """
        words = [match.span() for match in _WORD.finditer(text, start, end)]
        kept = list(words)
        while kept and self._ends_nothing(text, *kept[-1], start):
            kept.pop()
        while kept and self._begins_nothing(text, *kept[0]):
            kept.pop(0)
        if not kept:
            return start, start
        low = start if kept[0] == words[0] else kept[0][0]
        return low, end if kept[-1] == words[-1] else kept[-1][1]

    def _ends_nothing(self, text: str, start: int, end: int, begin: int) -> bool:
        word = text[start:end]
        apart = start == begin or text[start - 1].isspace()
        return apart and not word.isupper() and word.lower() in self.last

    def _begins_nothing(self, text: str, start: int, end: int) -> bool:
        word = text[start:end]
        return text[end : end + 1].isspace() and word.islower() and word in self.first

"""Words of a text as the labeller of names reads them: where each stands, its form, and sequences of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from etl_assets.documents.mentions.found import Found
from etl_assets.documents.sentences import units

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
_LONGEST = 200
"""Words of one sequence. Tables without full stops are cut here, so that time and memory stay linear."""


@dataclass(frozen=True, slots=True)
class Token:
    """``text[start:end]``; ``word`` is what it counts as: itself, or ``<domain>`` for a whole indicator."""

    start: int
    end: int
    word: str
    glued: bool
    """Whether no white space stands before it."""


def sequences(text: str, taken: Sequence[Found] = ()) -> list[list[Token]]:
    """Every sentence, heading and table row of a page as its tokens, in order; together they cover all of them.

    ``taken`` are indicators in order of start, none overlapping another: each is one token.
    """
    tokens = _tokens(text, taken)
    found: list[list[Token]] = []
    place = 0
    for unit in units(text):
        begin = place
        while place < len(tokens) and tokens[place].start < unit.end:
            place += 1
        found.extend(tokens[low : min(low + _LONGEST, place)] for low in range(begin, place, _LONGEST))
    return found


def _tokens(text: str, taken: Sequence[Found]) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    for mention in taken:
        if text[mention.start : mention.end].isspace():
            # It stands where a link leads, which was taken out of the text, and is no word of a sentence.
            continue
        tokens += _words(text, position, mention.start)
        glued = mention.start > 0 and not text[mention.start - 1].isspace()
        tokens.append(Token(mention.start, mention.end, f"<{mention.entity_type}>", glued))
        position = mention.end
    return tokens + _words(text, position, len(text))


def _words(text: str, start: int, end: int) -> list[Token]:
    return [
        Token(match.start(), match.end(), match.group(), match.start() > 0 and not text[match.start() - 1].isspace())
        for match in _WORD.finditer(text, start, end)
    ]


def shape(word: str) -> str:
    """The form of a word in a few letters: ``BazarLoader`` is ``XxXx``, ``TA505`` ``Xd``, ``APT`` ``X``."""
    marks: list[str] = []
    for character in word[:24]:
        mark = "X" if character.isupper() else "x" if character.islower() else "d" if character.isdigit() else character
        if not marks or marks[-1] != mark:
            marks.append(mark)
    return "".join(marks)

"""A sentence with a mark for each mention, so that rules speak of kinds of things: ``<G0> has used <M1> and <M2>``.

A mark is three or more code points, ``\\ue000``, a letter for the type, the mention's number, ``\\ue001``; such code
points of the text itself become blanks.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from etl_assets.documents.relations.statement import Named

LETTERS = {
    "group": "G", "malware": "M", "tool": "U", "campaign": "C", "technique": "Q", "tactic": "Q", "organisation": "O",
    "location": "L", "sector": "S", "product": "P", "cve": "V", "vulnerability": "V", "cwe": "W", "severity": "Y",
    "domain": "I", "url": "I", "ipv4": "I", "ipv6": "I", "email": "I", "md5": "H", "sha1": "H", "sha256": "H",
    "sha512": "H",
}  # fmt: skip
"""Type of entity -> letter of its mark. Types without one, such as dates, stay words."""

MARK = re.compile("\ue000([A-Z])(\\d+)\ue001")


def mark(letters: str) -> str:
    """A pattern for one mark of these letters, its number not captured."""
    return f"\ue000[{letters}]\\d+\ue001"


@dataclass(frozen=True, slots=True)
class Masked:
    """``text`` is the sentence with marks; mark ``n`` stands for ``mentions[n]``."""

    text: str
    mentions: tuple[Named, ...]

    def named(self, match: re.Match[str]) -> Named:
        """The mention that a match of ``MARK`` stands for."""
        return self.mentions[int(match.group(2))]


def masked(page: str, start: int, end: int, mentions: Sequence[Named]) -> Masked:
    """``page[start:end]`` on one line; ``mentions`` are those inside it, in order, none overlapping another."""
    pieces: list[str] = []
    kept: list[Named] = []
    position = start
    for one in mentions:
        letter = LETTERS.get(one.entity_type)
        if letter is not None and one.start >= position:
            pieces += [_plain(page[position : one.start]), f"\ue000{letter}{len(kept)}\ue001"]
            kept.append(one)
            position = one.end
    pieces.append(_plain(page[position:end]))
    return Masked("".join(pieces), tuple(kept))


_BLANKS = re.compile("[\\s\u00a0\ue000\ue001*_`]+")


def _plain(text: str) -> str:
    return _BLANKS.sub(" ", text)

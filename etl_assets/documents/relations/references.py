"""Words that stand for a name: ``the group`` is the one group of the sentences just before, if there was only one."""

import re
from collections.abc import Sequence

from etl_assets.documents.relations.statement import Named

Reference = dict[str, Named]
"""Letter of a type -> the one entity of that type that the sentences before named."""

REACH = 3
"""Sentences that are looked back on."""
_NOUNS = {
    "G": r"groups?|gang|threat actors?|actors?|adversar(?:y|ies)|apt|collective|hackers",
    "M": r"malware|trojan|ransomware|backdoor|loader|downloader|dropper|implant|worm|botnet|rat|stealer"
    r"|infostealer|wiper"
    r"|rootkit|spyware|bot",
    "C": r"campaign|operation",
}
_STANDS_FOR = re.compile(
    r"\b(?:the|this)\s+(?:same\s+|threat\s+|apt\s+|hacking\s+|espionage\s+|ransomware\s+)?(?:"
    + "|".join(f"(?P<{letter}>{nouns})" for letter, nouns in _NOUNS.items())
    + r")(?:['\u2019]s operators)?(?:\s+(?:also|then|has|have|had|been|is|was|were|may|might|could|can|likely"
    r"|will|later|often|primarily"
    r"|mainly|continues? to|began|started|tends? to|previously|subsequently|recently|typically|reportedly"
    r"|allegedly|does|did|not"
    r"|never|known to|\w+ly)){0,4}\s*$",
    re.IGNORECASE,
)


def references_from(sentences: Sequence[Sequence[Named]], letters: dict[str, str]) -> Reference:
    """What may be meant after these sentences: for each letter the entity, if all mentions of its kind are one.

    ``letters`` maps a type of entity to its letter.
    """
    seen: dict[str, dict[str, Named]] = {}
    for sentence in sentences[-REACH:]:
        for one in sentence:
            seen.setdefault(letters.get(one.entity_type, ""), {})[one.entity_id] = one
    return {
        letter: next(iter(entities.values()))
        for letter, entities in seen.items()
        if letter in _NOUNS and len(entities) == 1
    }


def reference_before(text: str, position: int, letters: str, known: Reference) -> tuple[Named | None, float]:
    """The entity that the words right before ``position`` stand for, or None; and how sure that is."""
    match = _STANDS_FOR.search(text, max(0, position - 90), position)
    if match is None or match.lastgroup not in known or match.lastgroup not in letters:
        return None, 0.0
    return known[match.lastgroup], 0.8

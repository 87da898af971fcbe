"""Where the names of a catalogue stand in a text, and how much each spelling proves by itself.

What a hit means is decided in ``linking``: this module knows names and letters, no documents.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from etl_assets.documents.mentions.catalogue import Entry
from etl_assets.documents.mentions.vocabulary import kind_of


class Proof(IntEnum):
    """What a name needs beside its letters before it is believed."""

    NONE = 0
    """Nothing: no other word is spelled like it, in any case."""
    PHRASE = 1
    """Nothing, but in lower case it may be plain speech: ``lateral movement``."""
    CAPITALS = 2
    """Capitals where the catalogue has them: ``Leviathan``, ``Cozy Bear``."""
    CUE = 3
    """Capitals and a word such as ``malware`` beside it, or the document names the same thing plainly elsewhere."""
    CATALOGUE = 4
    """An ATT&CK id close by: ``Server``, ``Python``, ``Impact`` are everyday words."""


@dataclass(frozen=True, slots=True)
class Name:
    """One spelling of one entry. ``derived`` ones are not in the catalogue: ``Winnti`` for ``Winnti Group``."""

    entry: Entry
    written: str
    proof: Proof
    derived: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """``text[start:end]`` is spelled like each of ``names``."""

    start: int
    end: int
    names: tuple[Name, ...]


_PREPARATION = frozenset(("reconnaissance", "resource-development"))
_PLATFORM = re.compile(r" for (?:windows|linux|android|ios|macos)$")
_NUMBERED = re.compile(r"([a-z]{2,6})(\d{1,5})")
_KIND_OF_GROUP = re.compile(r" (?:group|team)$")


def folded(text: str) -> str:
    """``text`` in lower case, its line breaks, blanks and dashes made equal; as many code points as before."""
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(low if len(low := character.lower()) == 1 else character for character in text)
    for variants, plain in (("\n\r\t\xa0\u2009\u202f", " "), ("\u2010\u2011\u2012\u2013\u2212", "-"), ("\u2019", "'")):
        for variant in variants:
            lowered = lowered.replace(variant, plain)
    return lowered


def needed_proof(entry: Entry, written: str) -> Proof:
    """How ambiguous a spelling is, by its form and by how common its words are in English."""
    words = re.findall(r"[^\W\d_]+", written)
    kinds = [kind_of(word) for word in words]
    if entry.entity_type in ("technique", "tactic", "mitigation"):
        return _proof_of_behaviour(entry, written, kinds)
    if any(character.isdigit() for character in written) and len(written) > 3:
        return Proof.NONE
    plain = all(kind != "unknown" for kind in kinds)
    if len(words) > 1:
        if entry.entity_type == "campaign" and plain and words[0].lower() != "operation":
            return Proof.CUE
        return Proof.CAPITALS if plain else Proof.NONE
    if len(written) <= 3:
        return Proof.CUE
    if kinds and kinds[0] in ("frequent", "proper"):
        # PowerLess and ZINC are written like no word: their capitals alone tell.
        return Proof.CUE if written in (written.capitalize(), written.lower()) else Proof.CAPITALS
    return Proof.CAPITALS if plain else Proof.NONE


def _proof_of_behaviour(entry: Entry, written: str, kinds: Sequence[str]) -> Proof:
    if entry.entity_type == "mitigation":
        return Proof.CATALOGUE
    if entry.tactics and _PREPARATION.issuperset(entry.tactics):
        return Proof.CATALOGUE
    if entry.domains and "enterprise-attack" not in entry.domains:
        return Proof.CATALOGUE
    if len(kinds) > 1:
        return Proof.PHRASE
    acronym = written.isupper() and len(written) <= 5
    return Proof.PHRASE if list(kinds) == ["unknown"] and not acronym else Proof.CATALOGUE


def spellings(entry: Entry, written: str) -> dict[str, bool]:
    """Folded spellings of one name, and whether each is derived rather than only punctuated differently."""
    plain = folded(written).strip()
    found = {plain: False}
    if " " in plain or "-" in plain:
        found[plain.replace("-", " ")] = False
        found[plain.replace(" ", "-")] = False
        joined = plain.replace(" ", "").replace("-", "")
        if entry.entity_type not in ("technique", "tactic", "mitigation") and len(joined) >= 8:
            found.setdefault(joined, False)
    numbered = _NUMBERED.fullmatch(plain)
    if numbered and entry.entity_type == "group":
        found["{} {}".format(*numbered.groups())] = False
        found["{}-{}".format(*numbered.groups())] = False
    if entry.entity_type == "tool" and plain.isalnum():
        found[f"{plain}.exe"] = False
    for shorter in (_KIND_OF_GROUP, _PLATFORM):
        stem = shorter.sub("", plain)
        if stem != plain and entry.entity_type in ("group", "malware", "tool"):
            found.setdefault(stem, True)
    return {spelling: derived for spelling, derived in found.items() if len(spelling) > 2}


class NameIndex:
    """All spellings of a catalogue's names in one Aho-Corasick automaton (ahocorasick-rs, 77 MB a CPU second)."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        from ahocorasick_rs import AhoCorasick

        names: dict[str, dict[str, Name]] = {}
        for entry in entries:
            for written in dict.fromkeys((entry.name, *entry.aliases)):
                for spelling, derived in spellings(entry, written).items():
                    known = names.setdefault(spelling, {})
                    if entry.entity_id not in known or known[entry.entity_id].derived > derived:
                        known[entry.entity_id] = _name(entry, written, spelling, derived)
        self._names = [tuple(by_entity.values()) for by_entity in names.values()]
        self._automaton = AhoCorasick(list(names))

    def hits(self, text: str) -> list[Hit]:
        """Every whole-word occurrence, overlapping ones too, in order. A plural ``s`` belongs to the hit."""
        low = folded(text)
        found = []
        for pattern, start, end in self._automaton.find_matches_as_indexes(low, overlapping=True):
            if start and (low[start - 1].isalnum() or low[start - 1] == "_"):
                continue
            if low[end : end + 1] == "s" and low[end - 1] != "s" and end - start > 5:
                end += 1
            following = low[end : end + 1]
            if following.isalnum() or following == "_":
                continue
            if not _inside_a_path(text, start, end):
                found.append(Hit(start, end, self._names[pattern]))
        found.sort(key=lambda hit: (hit.start, -hit.end))
        return found


def _name(entry: Entry, written: str, spelling: str, derived: bool) -> Name:
    if spelling.endswith(".exe"):
        return Name(entry, spelling, Proof.NONE, True)
    if not derived:
        return Name(entry, written, needed_proof(entry, written), False)
    stem = written[: len(spelling)]
    return Name(entry, stem, needed_proof(entry, stem), True)


def _inside_a_path(text: str, start: int, end: int) -> bool:
    """Whether the span is part of a file name or path: ``ryuk.dll``, ``C:\\\\Emotet``, ``x.net``."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before[-1:] == "\\" or (before[-1:] == "." and before[:1].isalnum()):
        return True
    return after[:1] == "\\" or (after[:1] == "." and len(after) > 1 and after[1].isalnum() and not after[1].isupper())

"""The sentences of a document that speak for a label, and how loudly: vocabulary read in its context."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from etl_assets.documents.classification.label_sets import terms_of
from etl_assets.documents.mentions.names import folded
from etl_assets.documents.sentences import Break, units
from etl_assets.protocols.classifier import LabelSet

DENIED = 0.0
"""What a term counts for in a clause that denies it: "no ransomware was deployed"."""

BORROWED = 0.3
"""What it counts for where somebody only pretends: a bank's logo in a phishing mail says nothing about banks."""

LISTED = 0.8
"""What a supporting term counts for in an enumeration of sectors: "water" alone says little, among them a lot."""

LEAD = 600
"""Code points at the beginning of a document that count as its title and first words."""

_DENIAL = re.compile(
    r"\b(?:no|not|never|neither|nor|without|cannot|unlike|unrelated to|rather than|instead of|nothing to do with|"
    r"ruled? out|absence of|excluding|free of|n't|isn't|wasn't|weren't|didn't|doesn't|don't)\b"
    r"(?:(?!\bbut\b|\bhowever\b)[^,;:.!?()]){0,60}\Z"
)
_DENIED_AFTER = re.compile(
    r"[^,;:.!?()]{0,30}?\b(?:(?:was|were|is|are|has|have|had|did|does|do)(?:n't| not| never)|not|never)\b"
    r"(?: been| be)? "
    r"(?:deploy|use|observ|find|found|involve|affect|target|hit|see|detect|impact|compromise|attack|breach|a factor|"
    r"the cause|the target|behind|part of|responsible|play|suspect|confirm|at risk)"
)
_LISTED = re.compile(r"(?:,| and| or| sectors?\b| industr)")
_SECTORS = re.compile(r"\b(?:sectors|industries|verticals)\b")
_PRETENCE = re.compile(
    r"\b(?:theme[ds]?|lures?|luring|imperson\w+|spoof\w*|masquerad\w+|posing as|posed as|pos(?:e|ing) as|pretend\w*|"
    r"disguised?|purport\w*|fake|decoy\w*|mimic\w*|logos?|lookalike|subject lines?|imitat\w+|brand\w*)\b"
)
_VICTIMS = re.compile(
    r"\b(?:target\w*|attack\w*|victim\w*|compromis\w+|breach\w*|against|affect\w+|infect\w+|hit|impact\w*|intrusions?|"
    r"espionage|stole\w*|steal\w*|deployed|used in|sectors?|industr\w+|entit\w+|institutions?|verticals?|"
    r"infrastructure|organi[sz]ations?|compan\w+)\b"
)


@dataclass(frozen=True, slots=True)
class Span:
    """``pages.text[start:end]`` on ``page``, in code points."""

    page: int
    start: int
    end: int


@dataclass(slots=True)
class Said:
    """What one document says for one label. ``sentences`` are those that speak for it, with how loudly each does."""

    strength: float = 0.0
    lead: float = 0.0
    heading: float = 0.0
    as_victim: float = 0.0
    terms: set[str] = field(default_factory=set)
    sentences: list[tuple[Span, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its number, its text, and the spans of its headings."""

    page: int
    text: str
    headings: tuple[tuple[int, int], ...] = ()


class Vocabulary:
    """The terms of a label set in one Aho-Corasick automaton."""

    def __init__(self, labels: LabelSet) -> None:
        from ahocorasick_rs import AhoCorasick

        meaning: dict[str, list[tuple[int, float, str]]] = {}
        for place, label in enumerate(labels.labels):
            for term, weight in terms_of(labels, label).items():
                meaning.setdefault(folded(term.rstrip("*")), []).append((place, weight, term))
        self._meaning = list(meaning.values())
        self._terms = list(meaning)
        self._automaton = AhoCorasick(self._terms)

    def hits(self, text: str, low: str) -> Iterable[tuple[int, int, str, int, float]]:
        """(start, end, term, label, weight) of every whole-word occurrence in a text, ``low`` when folded, by end.

        A term that begins with two capitals, such as ``APT``, stands for an abbreviation: ``apt`` is another word.
        """
        for pattern, start, end in self._automaton.find_matches_as_indexes(low, overlapping=True):
            if start and _is_word(low[start - 1]) and _is_word(low[start]):
                continue
            following = low[end : end + 1]
            is_whole = not (following and _is_word(following) and _is_word(low[end - 1]))
            for label, weight, term in self._meaning[pattern]:
                if (is_whole or term[-1] == "*") and (not term[:2].isupper() or text[start:end] == term.rstrip("*")):
                    yield start, end, self._terms[pattern], label, weight


@lru_cache(maxsize=64)
def vocabulary_of(labels: LabelSet) -> Vocabulary:
    """The vocabulary of a set, built once in a process."""
    return Vocabulary(labels)


def said_in(pages: Sequence[Page], labels: LabelSet) -> list[Said]:
    """What a document says for each label, in their order. A term counts once in a sentence."""
    vocabulary = vocabulary_of(labels)
    said = [Said() for _ in labels.labels]
    before = 0
    for page in pages:
        low = folded(page.text)
        hits = sorted(vocabulary.hits(page.text, low))
        if hits:
            _read_page(page, low, hits, said, before)
        before += len(page.text)
    return said


def _read_page(
    page: Page, low: str, hits: Sequence[tuple[int, int, str, int, float]], said: list[Said], before: int
) -> None:
    sentences = units(page.text, page.headings)
    starts = [one.start for one in sentences]
    by_sentence: dict[tuple[int, int], float] = {}
    for start, end, term, label, weight in hits:
        place = bisect_right(starts, start) - 1
        if place < 0:
            continue
        one = sentences[place]
        heard = max(weight, _listed(low, end, one.end)) * context(low, one.start, start, end, one.end)
        if heard <= 0:
            continue
        said[label].terms.add(term)
        known = by_sentence.get((place, label), 0.0)
        by_sentence[place, label] = max(known, heard)
    for (place, label), heard in sorted(by_sentence.items()):
        one, of_label = sentences[place], said[label]
        of_label.strength += heard
        if before + one.start < LEAD:
            of_label.lead += heard
        if one.before is Break.HEADING:
            of_label.heading = max(of_label.heading, heard)
        if _VICTIMS.search(low, one.start, one.end):
            of_label.as_victim += heard
        of_label.sentences.append((Span(page.page, one.start, one.end), heard))


def _listed(low: str, end: int, sentence_end: int) -> float:
    """What a term counts for at least, because of its place: ``LISTED`` in "the energy, water and food sectors"."""
    near = min(sentence_end, end + 160)
    return LISTED if _LISTED.match(low, end, near) and _SECTORS.search(low, end, near) else 0.0


def context(low: str, sentence_start: int, start: int, end: int, sentence_end: int) -> float:
    """How much of its weight a term at ``[start, end)`` keeps in its sentence: all, some, or nothing."""
    clause = low[max(sentence_start, start - 100) : start]
    if _DENIAL.search(clause) or _DENIED_AFTER.match(low, end, min(sentence_end, end + 90)):
        return DENIED
    near = low[max(sentence_start, start - 80) : min(sentence_end, end + 40)]
    return BORROWED if _PRETENCE.search(near) else 1.0


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"

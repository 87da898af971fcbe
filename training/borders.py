"""The words at which no name begins or ends, counted in annotated texts: part of the labeller's file, ``names.py``.

A word of grammar stands in many texts and, unlike nouns and adjectives, not behind an article; so the counts know no
list of words. That a name began or ended with it once in 250 times may be a slip of the pen.
"""

from collections import Counter
from collections.abc import Iterable

from etl_assets.documents.link_targets import without_targets
from etl_assets.documents.mentions.tokens import sequences
from training.annotated import Annotated

NAMES = frozenset(("ORG", "LOC", "GROUP", "SECTOR", "Organization", "System"))
ARTICLES = frozenset("the a an its their our your his".split())
TEXTS = 0.15
"""Share of the texts in which a word of grammar stands."""
BEHIND_ARTICLES = 0.012
SLIPS = 0.004


def learnt_borders(texts: Iterable[Annotated]) -> tuple[list[str], list[str]]:
    """The words at which no name begins, and those at which none ends, in order."""
    outside: Counter[str] = Counter()
    held: Counter[str] = Counter()
    behind: Counter[str] = Counter()
    first: Counter[str] = Counter()
    last: Counter[str] = Counter()
    count = 0
    for text in texts:
        count += 1
        here = set()
        for before, word, is_first, is_last in _words(text):
            if is_first is is_last is None:
                outside[word] += 1
                behind[word] += before in ARTICLES
                here.add(word)
            first[word] += bool(is_first)
            last[word] += bool(is_last)
        held.update(here)
    grammar = [
        word for word in sorted(outside)
        if held[word] >= TEXTS * count and behind[word] <= BEHIND_ARTICLES * outside[word]
    ]  # fmt: skip
    return (
        [word for word in grammar if first[word] < SLIPS * outside[word]],
        [word for word in grammar if last[word] < SLIPS * outside[word]],
    )


def _words(text: Annotated) -> Iterable[tuple[str, str, bool | None, bool | None]]:
    """(word before, word, begins a name, ends one) in small letters; None, None outside names."""
    spans = [(start, end) for start, end, label in text.spans if label in NAMES]
    tokens = [token for sequence in sequences(without_targets(text.text)) for token in sequence]
    place, before = 0, ""
    for number, token in enumerate(tokens):
        while place < len(spans) and spans[place][1] <= token.start:
            place += 1
        word = token.word.lower()
        if word[0].isalpha():
            if place < len(spans) and spans[place][0] < token.end:
                start, end = spans[place]
                following = tokens[number + 1].start if number + 1 < len(tokens) else end
                yield before, word, token.start <= start, following >= end
            else:
                yield before, word, None, None
        before = word

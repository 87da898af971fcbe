"""What the lists of names say of every word: the catalogue's names, judged and unjudged, and places."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter

from etl_assets.documents.mentions.found import Found
from etl_assets.documents.mentions.names import Hit, Proof
from etl_assets.documents.mentions.places import places
from etl_assets.documents.mentions.tokens import Token

_THREATS = frozenset(("group", "malware", "tool", "campaign"))
DOUBTFUL = 0.8
"""A name of the catalogue that is no surer than this gets no mark: its sentence is to speak for itself."""
_LONGEST_PLACE = 6


def tags_of(sequences: Sequence[Sequence[Token]], named: Sequence[Found], hits: Sequence[Hit]) -> list[list[str]]:
    """For every token the marks of the names that cover it, joined by blanks; "" where none does.

    ``named`` are the mentions by name that were judged right, ``hits`` all that are spelled like a name; in order.
    """
    marks: dict[int, set[str]] = {}
    tokens = [token for sequence in sequences for token in sequence]
    for mention in named:
        if mention.entity_type in _THREATS and mention.confidence > DOUBTFUL:
            sure = "+" if mention.confidence >= 0.9 else "~"
            _put(marks, tokens, mention.start, mention.end, f"{mention.entity_type}{sure}")
    for hit in hits:
        for name in hit.names:
            if name.entry.entity_type in _THREATS and name.proof is Proof.NONE:
                _put(marks, tokens, hit.start, hit.end, f"?{name.entry.entity_type}")
    for start, end in _places(sequences):
        _put(marks, tokens, start, end, "place")
    return [[" ".join(sorted(marks.get(token.start, ()))) for token in sequence] for sequence in sequences]


def _put(marks: dict[int, set[str]], tokens: Sequence[Token], start: int, end: int, mark: str) -> None:
    place = bisect_left(tokens, start, key=attrgetter("start"))
    first = "b"
    while place < len(tokens) and tokens[place].start < end:
        marks.setdefault(tokens[place].start, set()).add(f"{first}:{mark}")
        first, place = "i", place + 1


def _places(sequences: Sequence[Sequence[Token]]) -> Iterable[tuple[int, int]]:
    """Spans of tokens that spell a country or region as it is written, the longest at each place."""
    known, starts = places(), _first_words()
    for tokens in sequences:
        free = 0
        for place, token in enumerate(tokens):
            if place < free or token.word not in starts:
                continue
            for size in range(min(_LONGEST_PLACE, len(tokens) - place), 0, -1):
                if _written(tokens[place : place + size]) in known:
                    yield token.start, tokens[place + size - 1].end
                    free = place + size
                    break


def _written(tokens: Sequence[Token]) -> str:
    return "".join(token.word if token.glued or not place else f" {token.word}" for place, token in enumerate(tokens))


def _first_words() -> frozenset[str]:
    return frozenset(spelling.replace(".", " ").replace("-", " ").replace("'", " ").split()[0] for spelling in places())

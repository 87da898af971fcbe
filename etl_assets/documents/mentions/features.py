"""What the labeller of names sees of a word: its letters, what the lists know, and its company in the document.

Training and use read the same functions, so a weight means the same in both. A feature is a string; one seen at a
neighbour has the distance before it: ``-1|w=the``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from etl_assets.documents.mentions.tokens import Token, shape
from etl_assets.documents.mentions.vocabulary import kind_of

CUES = frozenset(
    "malware ransomware trojan trojans backdoor backdoors rat rats loader loaders stealer stealers infostealer botnet"
    " botnets bot worm wiper spyware adware downloader dropper droppers implant implants rootkit bootkit keylogger"
    " payload payloads variant variants sample samples family families strain affiliate affiliates operator operators"
    " group groups gang gangs actor actors apt team hackers crew adversary collective campaign campaigns operation"
    " tool tools toolkit framework utility kit builder crypter packer exploit vulnerability vulnerabilities flaw"
    " inc ltd llc corp corporation gmbh researchers analysts security labs bank university ministry agency government"
    " president city region province capital app apps application software browser server servers platform plugin"
    " devices users dubbed called named aka known tracked attributed by using uses used deployed delivers drops"
    " installs infected against targeting targeted in from".split()
)
"""Words whose company says what a name is, wherever in the document they stand beside it."""

NEIGHBOURS = (-2, -1, 0, 1, 2)
_OF_NEIGHBOURS = ("w=", "s=", "k=", "g=", "x3=")
_OF_DISTANT = ("w=", "g=")


@lru_cache(maxsize=100_000)
def of_word(word: str) -> tuple[str, ...]:
    """What a word shows by itself."""
    if word[0] == "<" and len(word) > 1:
        return (f"w={word}",)
    lowered = word.lower()
    plain = "".join("0" if character.isdigit() else character for character in lowered)
    if not word[0].isalnum():
        return (f"w={plain}",)
    form = shape(word)
    kind = kind_of(word)
    return (
        f"w={plain}", f"s={form}", f"k={kind}", f"ks={kind}{form[:3]}", f"x3={plain[-3:]}", f"p3={plain[:3]}",
        f"x2={plain[-2:]}", f"p4={plain[:4]}", f"x4={plain[-4:]}", f"n={min(len(word), 8)}",
    )  # fmt: skip


def of_tag(tag: str) -> tuple[str, ...]:
    """What the lists say of a word: marks divided by blanks, see ``tagging``."""
    return tuple(f"g={mark}" for mark in tag.split())


def at_distance(features: Sequence[str], distance: int) -> list[str]:
    """Those that are looked at from so many words away, marked with the distance."""
    if distance == 0:
        return list(features)
    kinds = _OF_NEIGHBOURS if abs(distance) == 1 else _OF_DISTANT
    return [f"{distance}|{feature}" for feature in features if feature.startswith(kinds)]


def pairs(before: str, word: str) -> str:
    """The feature of two words in a row; it counts for the second, and with ``+|`` before it for the first."""
    return f"b={before.lower()}_{word.lower()}"


def in_document(sequences: Sequence[Sequence[Token]]) -> Mapping[str, tuple[str, ...]]:
    """For every name-like word of a document, which cues stand beside it anywhere, and how often it occurs."""
    company: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for tokens in sequences:
        for place, token in enumerate(tokens):
            if not _like_a_name(token.word):
                continue
            counts[token.word] += 1
            beside = company.setdefault(token.word, set())
            for distance in (-2, -1, 1, 2):
                if 0 <= place + distance < len(tokens):
                    cue = tokens[place + distance].word.lower()
                    if cue in CUES:
                        beside.add(f"d{distance}={cue}")
    return {word: (*sorted(beside), f"dc={min(counts[word], 3)}") for word, beside in sorted(company.items())}


def _like_a_name(word: str) -> bool:
    return len(word) > 2 and word[0] != "<" and word != word.lower()

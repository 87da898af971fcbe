"""Which words are plain English: names spelled like them need more than their letters. Data: ``data/NOTICE.md``."""

import gzip
from functools import cache
from importlib import resources
from typing import Literal

Kind = Literal["frequent", "proper", "rare", "unknown"]


@cache
def _marks() -> dict[str, str]:
    data = gzip.decompress(resources.files(__package__).joinpath("data/words.txt.gz").read_bytes())
    return {word.lower(): mark for word, _, mark in (line.partition(" ") for line in data.decode("ascii").splitlines())}


def kind_of(word: str) -> Kind:
    """How a word of any case is known to English; plural forms count as their singular."""
    marks = _marks()
    lowered = word.lower()
    mark = marks.get(lowered)
    if mark is None and lowered.endswith("s"):
        mark = marks.get(lowered[:-1])
    if mark is None:
        return "unknown"
    return "frequent" if mark == "f" else "proper" if mark == "n" else "rare"

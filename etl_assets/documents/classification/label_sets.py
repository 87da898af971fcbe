"""The label sets there are: threats and sectors with their vocabularies, and what other sets go by."""

import json
import re
from collections.abc import Mapping
from functools import cache

from etl_assets.documents.classification.linear import packaged
from etl_assets.documents.mentions.vocabulary import kind_of
from etl_assets.protocols.classifier import Label, LabelSet

THREAT_THRESHOLD = 0.7
SECTOR_THRESHOLD = 0.6
VOCABULARY_SHA256 = "6e8d99219abac1624bc3e59a669f5ce926effb2b00c5c005ef1274d94f99e282"
DESCRIBED = 0.3
"""What a word of a label's description weighs beside a keyword: it may be there to explain, not to be found."""

_WORD = re.compile(r"[^\W\d_]{4,}")


@cache
def _packaged() -> Mapping[str, Mapping[str, tuple[str, Mapping[str, float]]]]:
    stored = json.loads(packaged("vocabulary.json", VOCABULARY_SHA256))
    return {
        kind: {label: (said["description"], said["terms"]) for label, said in labels.items()}
        for kind, labels in stored.items()
    }


def threats(threshold: float = THREAT_THRESHOLD) -> LabelSet:
    """What kind of threat a document is about. Scores are such that 0.7 is the sensible cut."""
    return _built_in("threat", threshold)


def sectors(threshold: float = SECTOR_THRESHOLD) -> LabelSet:
    """Whom the threat is to, or whose products it is in. Scores are such that 0.6 is the sensible cut."""
    return _built_in("sector", threshold)


def _built_in(kind: str, threshold: float) -> LabelSet:
    labels = tuple(Label(name, description) for name, (description, _) in _packaged()[kind].items())
    return LabelSet(kind, labels, threshold)


def terms_of(labels: LabelSet, label: Label) -> dict[str, float]:
    """Folded terms of a label and what each says for it, in (0, 1].

    A built-in label has its packaged vocabulary, and keywords of its own beside it. Of any other label the keywords
    and the name count fully, the rarer words of the description a little: nothing was learned about it.
    """
    known = _packaged().get(labels.name, {}).get(label.name)
    found = {} if known is None else dict(known[1])
    if known is None:
        for word in _WORD.findall(label.description.lower()):
            if kind_of(word) != "frequent":
                found[word] = DESCRIBED
        found[label.name.lower().replace("-", " ").replace("_", " ")] = 1.0
    found.update(dict.fromkeys(label.keywords, 1.0))
    return {term: weight for term, weight in found.items() if term.strip("* ")}

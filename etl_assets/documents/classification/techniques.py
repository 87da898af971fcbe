"""Which ATT&CK technique a sentence states: the three likeliest of fifty, and whether it states one at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from etl_assets.documents.classification.linear import LinearModel, load
from etl_assets.documents.classification.ngrams import different_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TECHNIQUES_SHA256 = "90169f0ebd169c7652e349b71886a3b49ad9254e218483ae308966e5e0cca935"
VERSION = "techniques-2"
RANKS = 3
THRESHOLD = 0.5
"""The score (0 to 1) of the likeliest technique from which on a sentence is said to state one.

Out of fold, with as many sentences that state none as the train part of AnnoCTR has, F1 is best there.
"""

CONTRAST = 5.0
"""How sharply the lead of the likeliest technique over the others is read, when asking whether one is stated."""

LONGEST = 2_000
"""Code points of a sentence that are read: what is longer is a table or a dump, not a sentence."""

FEWEST_WORDS = 4
LEAST_KNOWN = 0.6
"""How many different words of a line of a page the model must know, and which share of them, to read it as a sentence.

The labelled examples are phrases that people cut out of sentences, a fifth of them of fewer words ("decrypt it"): the
model takes as short a line for one of them. In a page it is a heading, a banner or the cell of a table. Out of what is
said to state a technique in AnnoCTR train this leaves out 4 % of the marked sentences and a third of the others; words
of another language are told by pieces that they share with English ones.
"""

RENAMED = {"T1574.002": "T1574.001"}
"""Labels of TRAM whose technique has another id in ATT&CK v18: for links to the catalogue."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The likeliest techniques of one sentence, best first, with their chances given that it states one of them.

    ``stated`` is the chance that it states a technique. A technique's score is the product of both.
    """

    stated: float
    techniques: tuple[tuple[str, float], ...]

    @property
    def scores(self) -> tuple[tuple[str, float], ...]:
        """Technique and score in [0, 1], best first."""
        return tuple((name, self.stated * chance) for name, chance in self.techniques)


@cache
def techniques_model() -> LinearModel:
    """The packaged model, checked once in a process; raises ConfigError as ``linear.load``."""
    return load("techniques.npz", TECHNIQUES_SHA256)


def ranked(sentences: Sequence[str]) -> list[Ranked]:
    """The top three of each sentence, whether or not it states one; an empty sentence states none.

    A sentence is judged by itself: the same one has the same answer beside any others.
    """
    import numpy as np

    model = techniques_model()
    margins = model.margins([sentence[:LONGEST] for sentence in sentences]).astype(np.float64)
    asked, recognised, leading, level = model.extra["stated"].astype(np.float64)
    best = margins[:, :-1].max(axis=1, keepdims=True)
    lead = -np.log(np.exp(CONTRAST * (margins[:, :-1] - best)).sum(axis=1))
    signs = asked * margins[:, -1] + recognised * best[:, 0] + leading * lead + level
    stated = 1 / (1 + np.exp(-np.clip(signs, -60, 60)))
    scaled = margins[:, :-1] * float(model.extra["temperature"])
    likely = np.exp(scaled - scaled.max(axis=1, keepdims=True)) if len(scaled) else scaled
    likely /= likely.sum(axis=1, keepdims=True)
    order = np.argsort(-likely, axis=1, kind="stable")[:, :RANKS]
    return [
        _ranked(model.labels, float(stated[row]) if sentence.strip() else 0.0, likely[row], order[row])
        for row, sentence in enumerate(sentences)
    ]


def is_sentence(line: str) -> bool:
    """Whether the model knows enough of a line of a page for its techniques to mean something: ``FEWEST_WORDS``."""
    import numpy as np

    hashes = np.array(different_words(line[:LONGEST]), dtype=np.uint32)
    _, known = techniques_model().blocks[0].places(hashes)
    return bool(known.sum() >= max(FEWEST_WORDS, LEAST_KNOWN * len(hashes)))


def _ranked(labels: Sequence[str], stated: float, likely: "NDArray[np.float64]", order: "NDArray[np.intp]") -> Ranked:
    return Ranked(stated, tuple((labels[place], float(likely[place])) for place in order))

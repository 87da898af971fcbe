"""What a sentence says about its own statement: that it is not so, or only likely, possible or somebody's claim."""

import re
from typing import NamedTuple

from etl_assets.documents.relations.statement import Certainty

_NEGATED = re.compile(
    r"\bno (?:\w+ )?(?:evidence|indications?|proof|signs?|reason|links?|connection|ties)\b|\bnot\b(?! (?:only"
    r"|just|merely|limited to|necessarily limited|yet known for))"
    r"|n['\u2019]t\b|\bcannot\b|\bnever\b|\bneither\b|\bnor\b|\bdenie[sd]\b|\bdeny(?:ing)?\b|\bunlikely\b"
    r"|\bno longer\b"
    r"|\bruled? out\b|\bfalsely\b|\bincorrectly\b|\bwrongly\b|\bfail(?:s|ed)? to\b"
    r"|\bunable to\b|\brefute[sd]?\b|\bdisproved?\b",
    re.IGNORECASE,
)  # fmt: skip
_DEGREES: tuple[tuple[Certainty, re.Pattern[str]], ...] = (
    (
        "alleged",
        re.compile(r"\b(?:allegedly|alleged|alleges?|reportedly|purported(?:ly)?|claim(?:s|ed|ing)?|accus(?:es?"
                   r"|ed|ing)|rumou?red"
                   r"|supposed(?:ly)?|so-called)\b", re.IGNORECASE),
    ),
    (
        "possible",
        re.compile(r"\b(?:may|might|could|would|possib(?:ly|le|ility)|potential(?:ly)?|perhaps|maybe"
                   r"|suspect(?:s|ed|ing)?|suspicion"
                   r"|unclear|unconfirmed|seem(?:s|ed|ingly)?|appear(?:s|ed) to|apparent(?:ly)?|if|whether"
                   r"|low confidence"
                   r"|plausibl[ey]|tentative(?:ly)?|suggest(?:s|ed|ing)?|hypothes\w+|speculat\w+)\b"
                   r"|\?", re.IGNORECASE),
    ),
    (
        "likely",
        re.compile(r"\b(?:likely|probabl[ey]|believ(?:es?|ed|ing)|assess(?:es|ed|ment)?|presum(?:ed|ably|es?)"
                   r"|confidence"
                   r"|thought to|considered to|estimated?|expected)\b", re.IGNORECASE),
    ),
)  # fmt: skip
_MONTH_OF_MAY = re.compile(r"\b(?:in|of|since|by|until|late|early|mid|from|on|during|\d) ?-?May\b|\bMay (?:\d|,)")


_NEGATED_BETWEEN = re.compile(r"\b(?:without|rather than|instead of)\b", re.IGNORECASE)


class Around(NamedTuple):
    """The words about a statement: of its clause up to its end, and of these the ones between its two things."""

    clause: str
    between: str


def is_negated(words: Around) -> bool:
    """Whether the words say that the statement is not so. ``not only`` says that it is.

    A word such as ``without`` counts between the two things alone: elsewhere it is about something else.
    """
    return (len(_NEGATED.findall(words.clause)) + len(_NEGATED_BETWEEN.findall(words.between))) % 2 == 1


def certainty_of(words: str) -> Certainty:
    """The weakest claim that the words around a statement make for it; ``stated`` where they make none."""
    plain = _MONTH_OF_MAY.sub(" ", words)
    return next((degree for degree, form in _DEGREES if form.search(plain)), "stated")

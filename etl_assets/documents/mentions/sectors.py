"""Economic sectors that a text names, by the words of STIX 2.1's list of industry sectors.

A word such as ``energy`` names a sector only before a word such as ``companies``, or in a list that ends in one.
"""

import re
from collections.abc import Iterable, Iterator

from etl_assets.documents.mentions.cued import Finding
from etl_assets.documents.mentions.found import Found, longest
from etl_assets.documents.mentions.overlaps import Overlaps

_WORDS = {
    "aerospace": r"aerospace|aviation|airlines?|space",
    "automotive": r"automotive",
    "chemical": r"chemicals?",
    "communications": r"media|broadcasting|news media",
    "construction": r"construction",
    "defense": r"defen[cs]e|military|defen[cs]e industrial base",
    "education": r"education(?:al)?|academi[ac]|higher[- ]education|universit(?:y|ies)",
    "energy": r"energy|electric(?:ity)?|power|oil and gas|oil|petroleum|nuclear",
    "entertainment": r"entertainment|gaming|video games?",
    "financial-services": r"financial(?: services?)?|banking|bank|finance|fintech|cryptocurrency|payments?",
    "government": r"government(?:al)?|public|diplomatic|federal",
    "healthcare": r"health ?care|health|medical|hospital",
    "hospitality-leisure": r"hospitality|hotels?|tourism|travel",
    "insurance": r"insurance",
    "manufacturing": r"manufacturing|industrial",
    "mining": r"mining",
    "non-profit": r"non-?profit|humanitarian",
    "pharmaceuticals": r"pharmaceuticals?|biotech(?:nology)?",
    "retail": r"retail|e-?commerce",
    "technology": r"technology|information technology|IT|software|high[- ]tech|tech|semiconductor|cyber ?security",
    "telecommunications": r"telecommunications?|telecom",
    "transportation": r"transport(?:ation)?|logistics|shipping|maritime|rail(?:way)?",
    "utilities": r"utilit(?:y|ies)|water",
    "water": r"water and wastewater|wastewater",
    "agriculture": r"agricultur(?:e|al)|food and agriculture|food",
    "infrastructure": r"critical infrastructure",
}
LEAST = 0.5
"""Probability from which a span of the labeller counts; chosen on train texts that were left out of training."""
WHOLE = 0.9
"""Probability from which a span of the labeller that holds a phrase is taken in place of it; chosen likewise."""
_ALONE = {
    "financial-services": r"financial institutions?|banks|credit unions|financial services",
    "healthcare": r"hospitals|health ?care",
    "retail": r"e-?commerce|retailers",
    "defense": r"defen[cs]e contractors?|defen[cs]e industrial base",
    "government": r"government (?:agenc(?:y|ies)|entit(?:y|ies)|bod(?:y|ies)|organi[sz]ations?|institutions?)"
    r"|embass(?:y|ies)|ministries|public administrations?",
    "education": r"universities|schools|academia",
    "aerospace": r"airlines",
    "infrastructure": r"critical infrastructures?",
    "telecommunications": r"telecommunications|telecoms",
    "utilities": r"public utilities",
    "energy": r"oil and gas",
}
_HEAD = (r"(?:sectors?|industr(?:y|ies)|compan(?:y|ies)|organi[sz]ations?|institutions?|firms?|verticals?"
         r"|contractors?|providers?|manufacturers?|operators|agencies|entities|enterprises|businesses"
         r"|facilities|suppliers)")  # fmt: skip
_ANY = "|".join(f"(?:{forms})" for forms in _WORDS.values())
_ITEM = rf"(?:{_ANY}|[a-z]+(?:al|ing|ment))"
_LIST = re.compile(
    rf"\b(?:{_ANY})(?:(?:,|,? and|,? or|,? as well as|/|\u2019s?) ?(?:the )?\n?{_ITEM}){{0,9}}"
    rf"[ \n](?:[a-z]+[ \n])?{_HEAD}\b",
    re.IGNORECASE,
)
_ONE = re.compile(
    rf"\b(?:{'|'.join(f'(?P<s{n}>{forms})' for n, forms in enumerate(_WORDS.values()))})\b", re.IGNORECASE
)
_NAMES = tuple(_WORDS)
_WHOLE = re.compile(
    rf"\b(?:{'|'.join(f'(?P<s{n}>{forms})' for n, forms in enumerate(_ALONE.values()))})\b", re.IGNORECASE
)
_NAMES_ALONE = tuple(_ALONE)
_IN_A_NAME = re.compile(r"@|\.[\w*]")
"""What a host name or an address begins with is part of it."""


def sectors(text: str) -> Iterator[Found]:
    """Mentions of sectors, ``sector:financial-services``; they may overlap, the longest is meant."""
    for match in _WHOLE.finditer(text):
        if not _IN_A_NAME.match(text, match.end()):
            yield _found(*match.span(), _NAMES_ALONE[int(str(match.lastgroup)[1:])], 0.8)
    for phrase in _LIST.finditer(text):
        inside = list(_ONE.finditer(text, phrase.start(), phrase.end()))
        for match in inside:
            # The last one and what it belongs to are one mention: "energy companies".
            end = phrase.end() if match is inside[-1] and len(inside) == 1 else match.end()
            yield _found(match.start(), end, _NAMES[int(str(match.lastgroup)[1:])], 0.75)


def sectors_read(text: str, read: Iterable[Finding]) -> Iterator[Found]:
    """Spans that the labeller takes for a sector and of which a word says which: ``European banking``.

    ``read`` are the labeller's readings of the page. Where phrases of ``sectors`` stand, those hold, unless the
    labeller is sure of a longer one.
    """
    by_phrase = Overlaps(longest(sectors(text)))
    for one in read:
        if one.kind != "sector" or one.probability < LEAST or _IN_A_NAME.match(text, one.end):
            continue
        phrases = by_phrase.of(one.start, one.end)
        if phrases and not (one.probability >= WHOLE and all(_holds(one, phrase) for phrase in phrases)):
            continue
        named = _WHOLE.search(text, one.start, one.end)
        names = _NAMES_ALONE if named else _NAMES
        named = named or _ONE.search(text, one.start, one.end)
        if named:
            sure = round(0.3 + one.probability * 0.4, 3)
            yield _found(one.start, one.end, names[int(str(named.lastgroup)[1:])], sure)._replace(method="context")


def _holds(one: Finding, phrase: Found) -> bool:
    return one.start <= phrase.start and phrase.end <= one.end


def _found(start: int, end: int, name: str, confidence: float) -> Found:
    return Found(start, end, f"sector:{name}", "sector", name, confidence, "pattern")

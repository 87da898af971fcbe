"""A name without its dress: quotes, line breaks, a possessive, a word that only says what it is."""

import re

from etl_assets.documents.mentions.names import folded

OUTER = " \t\r\n\"'\u201c\u201d\u2018\u2019()[]{}<>*_`,;:.!?|/\\-\u2013\u2014#@&"
"""What may stand around a name and is no part of it."""
POSSESSIVE = re.compile(r"\s?(?:['\u2019]\s?s|['\u2019])$")
_KIND_WORDS = re.compile(
    r"(?:\s+(?:malware|ransomware|trojan|backdoor|botnet|group|gang|team|stealer|loader|inc|ltd|llc|corp))+\.?$", re.I
)


def normal_name(written: str) -> str:
    """A name in small letters on one line, without quotes, a possessive and a word for its kind."""
    return shown_name(folded(written))


def shown_name(written: str) -> str:
    """The same in the letters of the text: what people are shown."""
    plain = " ".join(written.strip(OUTER).split())
    plain = POSSESSIVE.sub("", plain)
    return _KIND_WORDS.sub("", plain) or plain

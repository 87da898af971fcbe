"""Unknown names right beside a word that says what they are: ``the Zorblax malware``, ``a group known as Quuxbear``."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from etl_assets.documents.mentions.vocabulary import kind_of


class Finding(NamedTuple):
    """``text[start:end]`` of one page reads as a name of this kind; ``chain`` says what read it."""

    start: int
    end: int
    kind: str
    probability: float
    chain: str


_NAME = r"(?P<name>[A-Z][A-Za-z0-9]{3,24})"
_CALLED = (r"(?:,?\s+(?:which\s+)?(?:is\s+|was\s+)?(?:also\s+|now\s+)?(?:known\s+as|called|named|dubbed"
           r"|tracked\s+as|codenamed)\s+|\s+)[\"\u201c'\u2018]?")  # fmt: skip
_MALWARE = (r"(?:malware|ransomware|trojan|backdoor|stealer|infostealer|loader|downloader|dropper|botnet|RAT|worm|wiper"
            r"|spyware|rootkit|bootkit|keylogger|implant)")  # fmt: skip
_GROUP = (r"(?:threat\s+actor|threat\s+group|hacking\s+group|hacker\s+group|espionage\s+group|APT\s+group"
          r"|ransomware\s+gang|cybercrime\s+group|intrusion\s+set|adversary)")  # fmt: skip
_TOOL = r"(?:(?:exploit|phishing|builder|building)\s+kit|builder|packer|crypter|miner|framework|toolkit|utility|tool)"
_FLAW = r"(?:vulnerability|flaw|bug|exploit)"
_FORMS = (
    ("tool", re.compile(rf"\b{_NAME}['\"\u201d\u2019]?\s+(?:open[- ]source\s+|hacking\s+)?{_TOOL}(?:s\b|\b)")),
    ("malware", re.compile(rf"\b{_NAME}['\"\u201d\u2019]?\s+(?:banking\s+|malicious\s+)?{_MALWARE}(?:s\b|\b)")),
    ("malware", re.compile(rf"\b(?i:{_MALWARE})(?:\s+family|\s+variant|\s+strain)?{_CALLED}{_NAME}\b")),
    ("group", re.compile(rf"\b(?i:{_GROUP}){_CALLED}{_NAME}\b")),
    ("group", re.compile(rf"\b{_NAME}['\"\u201d\u2019]?\s+(?:threat\s+(?:actors?|group)|hacking\s+group|APT|gang)\b")),
    ("vulnerability", re.compile(rf"\b{_NAME}['\"\u201d\u2019]?\s+{_FLAW}\b(?!\s+kit)")),
    ("vulnerability", re.compile(rf"\b{_FLAW}{_CALLED}{_NAME}\b")),
)  # fmt: skip
PROBABILITY = 0.7


def cued(text: str) -> Iterator[Finding]:
    """Names of malware, groups, tools and vulnerabilities beside a cue; words that English has are for the labeller.

    Capitals alone before "tool" or "vulnerability" say of what sort it is (``SAST``, ``XSS``), and a capital in front
    whose it is (``Citrix``); ``BlueKeep`` is coined.
    """
    for kind, form in _FORMS:
        for match in form.finditer(text):
            name = match.group("name")
            if kind_of(name) == "unknown" and _may_be(kind, name):
                yield Finding(match.start("name"), match.end("name"), kind, PROBABILITY, "cue")


def _may_be(kind: str, name: str) -> bool:
    if kind == "vulnerability":
        return not name.isupper() and not name[1:].islower()
    return not (name.lower().endswith(("ware", "based", "ing")) or (kind == "tool" and name.isupper()))

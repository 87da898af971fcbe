"""What the form of a word, and the words beside it, say of whom it belongs to: an ``attack`` is no verb behind
``the``, ``the developed malware`` develops nothing, and who ``machines downloading <M>`` are no name says."""

import re

from etl_assets.documents.relations.masking import MARK

_NOUN = re.compile(r"(?:attack|breach|compromise|hack|strike|hit|target|impact|exploit)\Z", re.IGNORECASE)
_VERBAL = re.compile(
    r"(?:\b(?:to|may|might|can|could|will|would|shall|should|must|not|do|does|did|they|we|you|who|that|which|and|or"
    r"|then|also)|\w+ly|n['\u2019]t|[a-rt-z]s)\s+\Z",
    re.IGNORECASE,
)
_ONTO = re.compile(r"(?:\s*\([^()]{0,30}\))?\s+(?:campaigns?\s+)?(?:on|against|at|of|in|into|across)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(?:the|an?|this|these|those|its|their|our|newly)\s+(?:\w+ly\s+)?\Z", re.IGNORECASE)
_OWN = (r"campaigns?|activit(?:y|ies)|attacks?|operations?|samples?|variants?|versions?|groups?|gangs?|actors?"
        r"|operators?|affiliates?|members|hackers|developers|authors|payloads?|infections?|emails?|messages|servers?"
        r"|malware|ransomware|trojans?|backdoors?|loaders?|downloaders?|droppers?|stealers?|botnets?|bots?|rats?"
        r"|worms?|scripts?|modules?|stagers?|implants?|kits?|tools?|framework|family|families|intrusions?|waves?"
        r"|apps?|applications?|code|infrastructure")  # fmt: skip
_OTHERS = re.compile(
    r"\b(?:the|these|those|any|all|other|some|many|several|of|for|from|with|on)\s+(?:[\w-]+\s+){0,2}?"
    rf"(?!(?:{_OWN})\b)[a-z]{{3,}}(?<!ly)(?<!ing)\s*\Z",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"\b(?:same|similar|in\s+common|compar\w+|unlike|than|resembl\w+)\b|\band\s+to\s|,\s*to\s", re.IGNORECASE
)
_PREPOSITION = re.compile(r"\b(?:on|in|at|for|from|with|within|against|under|between|via|through|of)\b", re.IGNORECASE)
_ACT = re.compile(r"(?:attacks?|breach|compromise|intrusion|campaign)\Z", re.IGNORECASE)
_FINITE = re.compile(r"\b(?:is|are|was|were|been|be|being|gets?|got)\b", re.IGNORECASE)
_MASKED_AS = re.compile(
    r"\b(?:(?:pos|masquerad|disguis|present|advertis)\w*|pretend\w*|purport\w*|claim\w*)\s+(?:\w+\s+)?(?:as|to\s+be)\s+"
    r"(?:[^\s,.;]+\s+){0,4}\W?\Z|\b(?:imitat|impersonat|spoof)\w*\s+(?:[^\s,.;]+\s+){0,2}\W?\Z",
    re.IGNORECASE,
)
_BY = re.compile(r"ed\s+by\s+(?:the\s+)?\Z", re.IGNORECASE)


def is_noun(text: str, word: re.Match[str]) -> bool:
    """Whether a word that is a verb and a noun is a noun here: no subject or helping verb stands before it."""
    return _NOUN.match(word.group()) is not None and _VERBAL.search(_before(text, word)) is None


def reaches_onto(text: str, word: re.Match[str], thing: re.Match[str]) -> bool:
    """Whether a noun such as ``attack`` is one on this thing: ``attack on <O>``, nothing between but its own words."""
    gap = text[word.end() : thing.start()]
    return _ONTO.match(gap) is not None and "," not in gap and len(MARK.sub("", gap)) <= 40


def is_adjective(text: str, word: re.Match[str]) -> bool:
    """Whether a participle stands before its noun: ``the recently developed malware``."""
    return word.group().lower().endswith("ed") and _ARTICLE.search(_before(text, word)) is not None


def has_other_subject(gap: str, word: re.Match[str]) -> bool:
    """Whether ``-ing`` belongs to the noun right before it, which is not the name before that or a word for it."""
    return word.group().lower().split()[0].endswith("ing") and _OTHERS.search(gap) is not None


def leads_away(between: str) -> bool:
    """Whether the words from a verb to a thing say that it is another: ``in common with``, ``and to``."""
    return _AWAY.search(between) is not None


def belongs_to_another(gap: str, word: re.Match[str]) -> bool:
    """Whether what stands between a thing and ``infected by`` is what was infected: ``<S> site on a computer``.

    With ``was`` before the participle the first noun is meant. Before a noun, ``attack by``, the thing stands at once.
    """
    plain = MARK.sub("", gap)
    if _ACT.match(word.group()):
        return re.search(r"\b(?:the|an?|this|that|its|their)\b", plain, re.IGNORECASE) is not None
    return _FINITE.search(plain) is None and _PREPOSITION.search(plain) is not None


def is_pretended(text: str, mark: re.Match[str]) -> bool:
    """Whether somebody only goes by this name: ``posing as <G>``."""
    return _MASKED_AS.search(_before(text, mark)) is not None


def is_agent(text: str, mark: re.Match[str]) -> bool:
    """Whether the mark says by whom something before it was done, so that ``that`` behind it is about the something."""
    return _BY.search(_before(text, mark)) is not None


def _before(text: str, match: re.Match[str]) -> str:
    """The words right before a match: as many as any of the forms here reads."""
    return text[max(0, match.start() - 80) : match.start()]

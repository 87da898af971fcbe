"""Where in a masked sentence the actor before a verb stands, and the things after it: clauses and lists."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from etl_assets.documents.relations.attachment import has_other_subject, is_agent, is_pretended, leads_away
from etl_assets.documents.relations.certainty import Around
from etl_assets.documents.relations.masking import MARK
from etl_assets.documents.relations.triggers import ACTIONS

_LONGEST_BEFORE = 80
_LONGEST_AFTER = 70
_REPORTED = (r"sa(?:y|ys|id)|report(?:s|ed)|identif(?:y|ies|ied)|discover(?:s|ed)|observ(?:es?|ed)|found"
             r"|releas(?:es?|ed)"
             r"|warn(?:s|ed)?|publish(?:es|ed)|describ(?:es?|ed)|analy[sz](?:es?|ed)|detect(?:s|ed)|track(?:s|ed)"
             r"|arrest(?:s|ed)|indict(?:s|ed)|became|becom(?:es?)|receiv(?:es?|ed)|believ(?:es?|ed)"
             r"|note[sd]?")  # fmt: skip
_ACTION = re.compile(rf"\b(?:{'|'.join(ACTIONS)})\b", re.IGNORECASE)
_VERB = re.compile(rf"\b(?:{'|'.join(ACTIONS)}|{_REPORTED})\b", re.IGNORECASE)
_LISTED = re.compile(r"\s*(?:['\u2019]s\s+)?(?:[a-z-]+\s+)?(?:,|and|or|,\s*and|/|&)\s*(?:the\s+)?", re.IGNORECASE)
_ALIKE = {"G": "G", "C": "C", "M": "MUQ", "U": "MUQ", "Q": "MUQ"}
_BREAK_BEFORE = re.compile(
    r";|\.\s|:\s|\s[\u2013\u2014]\s|\b(?:while|whereas|but(?! not limited to)|although|though|however)\b", re.IGNORECASE
)
_BREAK_AFTER = re.compile(
    r";|\.\s|:\s|\s[\u2013\u2014]\s|\b(?:which|who|whose|that|while|whereas|but(?! not limited to)|although|though"
    r"|after|before|because|since|when|where|unless|until|if|so|than|like|unlike|similar|not(?! limited to))\b",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"^\s*(?:\([^)]*\)\s*)?(?:[a-z-]+\s+){0,2},?\s*(?:which|that|who)\b", re.IGNORECASE)
_JOINED = re.compile(
    r"(?:,|\band\b|\bor\b|\bthen\b|\bby\b|\bbefore\b|\bwhile\b)\s*(?:(?:also|then|later|subsequently|has|have"
    r"|had|was|were"
    r"|been|may|might|could|can|is|are|will|\w+ly)\s+)*$",
    re.IGNORECASE,
)
_INFINITIVE = re.compile(r"\bto\s*$", re.IGNORECASE)
_MEANWHILE = re.compile(
    r"\b(?:in|during|as\s+part\s+of)\s+(?:\w+\s+){1,3}?(?:campaigns?|attacks?|operations?|intrusions?)\s*\Z",
    re.IGNORECASE,
)
"""``used <M> in a campaign against``: whose campaign it is, the sentence's subject says."""
_BE = re.compile(
    r"\b(?:is|are|was|were|been|be|being|gets?|got)\s+(?:(?:\w+ly|also|not|then|first|still)\s+){0,2}$", re.IGNORECASE
)
_OTHER_NOUN = re.compile(
    r"\b(?:the|this|these|those|its|their|an?)\s+(?:[\w-]+\s+){0,3}?(?:groups?|gang|actors?|adversar(?:y|ies)"
    r"|attackers?"
    r"|hackers?|malware|trojan|ransomware|backdoor|campaign|compan(?:y|ies)|researchers?|users?|victims?"
    r"|emails?|documents?)\b"
    r"|\b(?:they|it|we|researchers|analysts|experts|victims|users)\b",
    re.IGNORECASE,
)
_GLUE = re.compile(
    r"^(?:['\u2019]s)?\s*(?:\((?:[^()]{0,30})\))?\s*(?:[a-z][a-z/-]*\s+){0,3}?(?:[a-z/-]+)?\s*"
    r"(?:,(?:\s*(?:and|or|as well as))?|\band\b|\bor\b|&|/|\bas well as\b|\balong with\b|\btogether with\b"
    r"|\bincluding\b"
    r"|\bsuch as\b|\bin addition to\b|\bplus\b|\()\s*(?:[a-z][a-z/-]*\s+){0,4}$",
    re.IGNORECASE,
)
_OWNER = re.compile(r"['\u2019]s\s")
_LAST_WORD = re.compile(r"\w+\Z")
_NEXT_WORD = re.compile(r"\s+(?:\w+ly\s+)?(\w+)")
_INSIDE = re.compile(
    r"^(?:['\u2019]s)?\s*(?:[\w-]+\s+){0,4}(?:in|across|throughout|within|of|and|from)\s+(?:the\s+)?$", re.IGNORECASE
)


class Place(NamedTuple):
    """A mark and how surely it has its part: 1 beside the verb, less through lists, chains and long ways."""

    mark: re.Match[str]
    weight: float


def is_acted_on(text: str, verb: re.Match[str]) -> bool:
    """Whether a verb is in the passive, so that what stands before it does not act: ``was used``, ``used by``."""
    if verb.group().lower().split()[0].endswith("ing"):
        return False
    return _BE.search(text, max(0, verb.start() - 40), verb.start()) is not None or bool(
        re.match(r"\s+(?:\w+\s+)?by\b", text[verb.end() : verb.end() + 30])
    )


def actor_before(text: str, verb: re.Match[str], letters: str, *, straight: bool) -> Place | None:
    """The mark of one of these letters that the verb belongs to; ``straight``: ``X used Y to hit Z`` is about X,
    otherwise about Y."""
    position = verb.start()
    begin = max((match.end() for match in _BREAK_BEFORE.finditer(text, 0, position)), default=0)
    weight = 1.0
    for mark in reversed(list(MARK.finditer(text, begin, position))):
        if mark.group(1) not in letters:
            continue
        gap = text[mark.end() : position]
        plain = MARK.sub("", gap)
        if len(plain) > _LONGEST_BEFORE:
            return None
        if _is_object(text, begin, mark):
            if _RELATIVE.match(gap):
                return Place(mark, weight * 0.95)
            of_all = _INFINITIVE.search(plain) or _MEANWHILE.search(plain)
            if (of_all and straight) or _JOINED.search(plain):
                weight = min(weight, 0.93)
                continue
            return Place(mark, weight * 0.9) if len(plain) <= 25 and "," not in plain else None
        if has_other_subject(gap, verb) or is_pretended(text, mark) or (is_agent(text, mark) and _RELATIVE.match(gap)):
            return None
        return _judged(text, mark, gap, plain, weight)
    return None


def _judged(text: str, mark: re.Match[str], gap: str, plain: str, weight: float) -> Place | None:
    """A mark that is no object: the actor, unless another verb or noun comes between it and the verb."""
    between = _VERB.search(plain)
    if between is not None:
        if not any(form.search(plain) for form in (_JOINED, _INFINITIVE, _MEANWHILE)) or _RELATIVE.match(gap):
            return None
        weight *= 0.92
        plain = plain[: between.start()]
    if _OTHER_NOUN.search(plain) and not re.match(r"^\s*,\s*(?:an?|the)\b[^,]*,\s*", plain):
        return None
    if re.search(r"\b(?:like|unlike|than|to|against|with|from)\s*$", text[: mark.start()], re.IGNORECASE):
        return None
    return Place(mark, weight * (0.93 if len(plain) > 30 else 1.0))


def _is_object(text: str, begin: int, mark: re.Match[str]) -> bool:
    """Whether a verb right before a mark has it as its object, or the list that it ends."""
    before = MARK.sub("", text[begin : mark.start()])
    verbs = list(_ACTION.finditer(before))
    if not verbs:
        return False
    way = before[verbs[-1].end() :]
    if len(way) > 40 or _BREAK_AFTER.search(way) or re.search(r"\bby\b", way):
        return False
    if re.search(r",\s*(?:the\s)?$", way) is None:
        return True
    previous = [
        one for one in MARK.finditer(text, begin, mark.start()) if one.group(1) in _ALIKE.get(mark.group(1), "")
    ]
    return bool(
        previous and _LISTED.fullmatch(text, previous[-1].end(), mark.start()) and _is_object(text, begin, previous[-1])
    )


def things_after(text: str, position: int, letters: str, *, into: bool, reach: int = _LONGEST_AFTER) -> Iterator[Place]:
    """The marks of these letters that stand behind the verb that ends at ``position``: the first, and its list.

    ``into``: a place or sector behind ``in`` or ``of`` belongs to them as well.
    """
    stop = _end_of_clause(text, position)
    weight, at, taken = 1.0, position, False
    for mark in MARK.finditer(text, position, stop):
        gap = text[at : mark.start()]
        at = mark.end()
        if mark.group(1) in "GCMU" and _OWNER.match(text, at):
            continue  # what is meant is theirs
        if not taken:
            way = text[position : mark.start()]
            if len(MARK.sub("", way)) > reach or leads_away(way):
                return
            if mark.group(1) not in letters:
                if mark.group(1) in "GC":
                    return  # what follows is said of that actor
                continue
            weight = 0.94 if len(MARK.sub("", text[position : mark.start()])) > 30 else 1.0
        else:
            glued = (
                _GLUE.match(gap) is not None or (into and _INSIDE.match(gap) is not None) or gap in (" ", "-", "'s ")
            )
            if not glued or _acts_itself(text, position, mark.end()):
                return
            if mark.group(1) not in letters:
                continue
            weight *= 0.97
        taken = True
        yield Place(mark, weight)


def _acts_itself(text: str, position: int, end: int) -> bool:
    """Whether what a name of a list does is told right behind it: ``<M> dropping <M> as well as <M> dropping``."""
    said, verb = _LAST_WORD.search(text[max(0, position - 30) : position]), _NEXT_WORD.match(text, end)
    if said is None or verb is None or _ACTION.fullmatch(verb.group(1)) is None:
        return False
    return verb.group(1) == said.group() or verb.group(1).endswith("s")


def _end_of_clause(text: str, position: int) -> int:
    stop = len(text)
    for form in (_BREAK_AFTER, _VERB):
        match = form.search(text, position)
        if match is not None:
            stop = min(stop, match.start())
    return stop


def has_verb(words: str) -> bool:
    """Whether a verb of action or report is among the words."""
    return _VERB.search(words) is not None


def clause_around(text: str, start: int, end: int) -> Around:
    """The words that decide on negation and certainty: from the clause before ``start`` to ``end``, without marks."""
    begin = max((match.end() for match in _BREAK_BEFORE.finditer(text, 0, start)), default=0)
    return Around(MARK.sub(" ", text[begin:end]), MARK.sub(" ", text[start:end]))

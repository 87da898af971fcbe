"""The words that state a relation, and between which types of things they do. Letters are those of ``masking``."""

import re
from typing import NamedTuple

from etl_assets.documents.relations.statement import Kind

ACTORS = "GCMU"


class Trigger(NamedTuple):
    """``subjects`` act on ``objects``. ``passive`` forms stand between the thing acted on and ``by`` the actor."""

    kind: Kind
    form: re.Pattern[str]
    subjects: str
    objects: str
    passive: re.Pattern[str] | None = None


def _words(*forms: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(forms)})\b", re.IGNORECASE)


_CALL = r"call(?:s|ed|ing)?(?! (?:itself|themselves))"
_USE = (
    r"us(?:es?|ed|ing)", r"utili[sz](?:es?|ed|ing)", r"leverag(?:es?|ed|ing)", r"employ(?:s|ed|ing)?",
    r"deploy(?:s|ed|ing)?", r"deliver(?:s|ed|ing)?", r"distribut(?:es?|ed|ing)", r"install(?:s|ed|ing)?",
    r"drop(?:s|ped|ping)?", r"download(?:s|ed|ing)?", r"execut(?:es?|ed|ing)", r"load(?:s|ed|ing)?",
    r"spread(?:s|ing)?", r"weaponi[sz](?:es?|ed|ing)", r"abus(?:es?|ed|ing)", r"adopt(?:s|ed|ing)?",
    r"rel(?:y|ies|ied|ying)(?: \w+)? (?:up)?on", r"ma(?:kes?|de|king) use of", r"incorporat(?:es?|ed|ing)",
    r"purchas(?:es?|ed|ing)", r"r[ua]n(?:s|ning)?", r"sen(?:ds?|t|ding)", r"perform(?:s|ed|ing)?",
    r"conduct(?:s|ed|ing)?",
    r"creat(?:es?|ed|ing)", r"develop(?:s|ed|ing)?", r"launch(?:es|ed|ing)?", r"operat(?:es?|ed|ing)",
    r"implement(?:s|ed|ing)?", r"push(?:es|ed|ing)?", r"introduc(?:es?|ed|ing)", r"inject(?:s|ed|ing)?",
    r"inclu(?:des?|ded|ding)", r"mov(?:es?|ed|ing) to", r"switch(?:es|ed|ing)? to", r"attempt(?:s|ed|ing)?",
    r"ha(?:s|ve|d) the ability to", r"can", r"capable of", r"support(?:s|ed|ing)?", r"carr(?:y|ies|ied|ying) out",
    r"contain(?:s|ed|ing)?", _CALL, r"via",
)  # fmt: skip
_USED = (r"(?:used|utili[sz]ed|leveraged|employed|deployed|delivered|distributed|installed|dropped|downloaded"
         r"|executed"
         r"|loaded|spread|weaponi[sz]ed|abused|adopted|operated|developed|created|launched|run|pushed|sent"
         r"|injected)")  # fmt: skip
_TARGET = (
    r"target(?:s|ed|ing)?", r"attack(?:s|ed|ing)?", r"hits?", r"hitting", r"compromis(?:es?|ed|ing)",
    r"breach(?:es|ed|ing)?",
    r"infect(?:s|ed|ing)?", r"victimi[sz](?:es?|ed|ing)", r"focus(?:es|ed|ing)?(?: \w+)? on",
    r"str(?:ikes?|uck|iking)",
    r"hack(?:s|ed|ing)?", r"infiltrat(?:es?|ed|ing)", r"sp(?:y|ies|ied|ying) on", r"against", r"aim(?:s|ed|ing)? at",
    r"threaten(?:s|ed|ing)?", r"set (?:its|their) sights on", r"extort(?:s|ed|ing)?", r"penetrat(?:es?|ed|ing)",
    r"impact(?:s|ed|ing)?", r"affect(?:s|ed|ing)?", r"disrupt(?:s|ed|ing)?", r"intru(?:sions?|ded) into",
    r"(?:campaigns?|operations?|activity|phishing|espionage)(?: \w+)? (?:on|in|at)",
    r"victims? (?:in|include[sd]?|across)",
)  # fmt: skip
_TARGETED = (r"(?:targeted|attacked|hit|compromised|breached|infected|victimi[sz]ed|struck|hacked|infiltrated"
             r"|extorted|penetrated|affected|impacted|attacks?|breach|compromise|intrusion|campaign)")  # fmt: skip
_EXPLOIT = (
    r"exploit(?:s|ed|ing|ation)?(?: of)?", r"leverag(?:es?|ed|ing)", r"us(?:es?|ed|ing)", r"abus(?:es?|ed|ing)",
    r"tak(?:es?|ing) advantage of", r"took advantage of", r"weaponi[sz](?:es?|ed|ing)", r"utili[sz](?:es?|ed|ing)",
    r"scan(?:s|ned|ning)? for", r"via", r"through",
)  # fmt: skip
_EXPLOITED = r"(?:exploited|leveraged|used|abused|weaponi[sz]ed|targeted|utili[sz]ed)"
_OF = (
    r"attribut(?:es?|ed|ing|able|ion)(?: \w+)? to", r"work of", r"on behalf of",
    r"(?:sponsored|backed|funded|run) by",
    r"affiliated (?:with|to)", r"work(?:s|ed|ing) (?:for|on behalf of)", r"linked to", r"tied to",
    r"origin(?:ates?|ated|ating) (?:from|in)",
    r"part of", r"subordinate to", r"under the direction of", r"believed to be (?:from|based in|in)",
    r"based (?:in|out of)",
    r"operat(?:es|ing) (?:from|out of)", r"operated by", r"orchestrated by", r"conducted by", r"carried out by",
    r"led by",
    r"authored by", r"controlled by", r"owned by", r"developed by", r"created by", r"written by",
)  # fmt: skip
_SAME = (
    r"(?:also |formerly |previously |otherwise |better |commonly )?(?:known|tracked|referred to|identified"
    r"|named|called)(?: \w+){0,3} as",
    r"a\.?k\.?a\.?", r"alias(?:es)?(?: of)?", r"overlap(?:s|ped|ping)?(?: \w+){0,2} with",
    r"similar(?:ities)? (?:to|with)",
    r"variants? of", r"version of", r"successors? (?:of|to)", r"predecessors? (?:of|to)", r"fork of",
    r"based on", r"derived from",
    r"associated with", r"related to", r"relat(?:es|ing) to", r"linked to", r"tied to", r"connected to",
    r"connections? to",
    r"links? (?:to|between|with)", r"ties (?:to|with)", r"shar(?:es?|ed|ing)(?: \w+){0,4} with",
    r"evolved (?:from|into)", r"call(?:s|ed|ing)? (?:itself|themselves)",
    r"rebrand(?:s|ed|ing)?(?: \w+)? (?:of|as|to)", r"belong(?:s|ed|ing)? to", r"part of",
    r"collaborat(?:es?|ed|ing|ion) with",
    r"partner(?:s|ed|ing|ship)? with", r"formerly", r"dubbed", r"sub-?group of", r"spin-?off of", r"affiliates? of",
    r"work(?:s|ed|ing) with", r"cooperat(?:es?|ed|ing|ion) with", r"resembl(?:es?|ed|ing)", r"replac(?:es?|ed|ing)",
)  # fmt: skip
_REACH = (
    r"communicat(?:es?|ed|ing|ion|ions) (?:with|to)", r"connect(?:s|ed|ing|ions?)? (?:to|back to|with)",
    r"beacon(?:s|ed|ing)? to",
    r"contact(?:s|ed|ing)?", r"hosted (?:on|at)", r"resolv(?:es?|ed|ing) to",
    r"(?:C2|C&C|command and control)[^.;]{0,30}",
    r"download(?:s|ed|ing)?(?: \w+){0,3} from", r"served from", r"delivered (?:from|via)",
    r"exfiltrat(?:es?|ed|ing)[^.;]{0,30} to",
    r"redirect(?:s|ed|ing)? (?:to|users to|victims to)",
)  # fmt: skip
_FLAW = (
    r"(?:vulnerabilit(?:y|ies)|flaws?|bugs?|weakness(?:es)?|issues?|exploits?)(?: \w+){0,3} (?:in|of|for|within"
    r"|affecting)",
    r"affect(?:s|ed|ing)?", r"impact(?:s|ed|ing)?", r"in", r"of",
)  # fmt: skip

ACTIONS: tuple[str, ...] = tuple(
    form
    for form in (*_USE, *_TARGET, *_EXPLOIT)
    if form not in (r"against", r"via", r"through", r"can", r"capable of", _CALL)
)
"""Patterns of the verbs that begin a clause of their own."""
WEAK = re.compile(
    r"\b(?:can|via|through|in|of|inclu\w+|support\w*|mov\w+ to|switch\w* to|against|impact\w*|part of|sen\w+"
    r"|creat\w+|run\w*"
    r"|based on|version of|contain\w*|call\w*|attempt\w*|C2.*|command.*)$", re.IGNORECASE,
)  # fmt: skip
"""Triggers that are often read otherwise."""

TRIGGERS: tuple[Trigger, ...] = (
    Trigger("EXPLOITS", _words(*_EXPLOIT), ACTORS, "V", _words(_EXPLOITED)),
    Trigger("USES", _words(*_USE), ACTORS, "MUQ", _words(_USED)),
    Trigger("TARGETS", _words(*_TARGET), ACTORS, "OLSP", _words(_TARGETED)),
    Trigger("ATTRIBUTED_TO", _words(*_OF), "CM", "G"),
    Trigger("ATTRIBUTED_TO", _words(*_OF), "GC", "LO"),
    Trigger("RELATES_TO", _words(*_SAME), "G", "G"),
    Trigger("RELATES_TO", _words(*_SAME), "MU", "MU"),
    Trigger("RELATES_TO", _words(*_SAME), "M", "G"),
    Trigger("RELATES_TO", _words(*_SAME), "G", "M"),
    Trigger("RELATES_TO", _words(*_REACH), "MUGC", "I"),
    Trigger("RELATES_TO", _words(r"resolv(?:es?|ed|ing) to", r"hosted (?:on|at)", r"redirect(?:s|ed)? to"), "I", "I"),
    Trigger("RELATES_TO", _words(*_FLAW), "V", "P"),
)

"""How severe a text says a vulnerability is: CVSS scores and vectors, and the words of the same scale.

Only what is stated: a bare ``critical`` is no severity, and a score is not worked out from a vector.
"""

import re
from collections.abc import Iterator

from etl_assets.documents.mentions.found import Found

_SCORE = re.compile(
    r"\bCVSS(?:[ -]?v?[234](?:\.[01])?)?(?:[ ,:=\n-]|\bbase\b|\bscores?\b|\brating\b|\bof\b|\bis\b|\bwas\b|\bwith\b"
    r"|\ba\b|\bseverity\b|\bv\d(?:\.\d)?\b|\(|\)){1,14}(?P<score>10(?:\.0)?|\d\.\d)(?![\d.])"
    r"|\b(?:base|severity) score(?: of|:| is)? (?P<plain>10\.0|\d\.\d)(?![\d.])",
    re.IGNORECASE,
)
_VERSION = re.compile(r"CVSS[ -]?v?(?:2\.0|3\.[01]|4\.0)", re.IGNORECASE)
_WORD = re.compile(
    r"\b(?P<before>critical|high|medium|moderate|low)[ -]severity\b"
    r"|\bseverity(?: rating| level)?(?: is| of|:)? ?\n?(?P<after>critical|high|medium|moderate|low)\b"
    r"|(?<=\d\.\d)[ ,(]{1,3}(?P<beside>critical|high|medium|low)\b",
    re.IGNORECASE,
)
_VECTOR = re.compile(r"(?:CVSS:[34]\.[01]/)?AV:[NALP](?:/(?:A[CTRUV]|PR|UI|[SCIAEM]|V[CIA]|S[CIA]|RL|RC|Au):[A-Z]){5,}")
_BANDS = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"), (0.0, "none"))


def severities(text: str) -> Iterator[Found]:
    """Stated severities as entities ``severity:critical`` and vectors as ``cvss:CVSS:3.1/AV:N/...``."""
    lowered = text.lower()
    if "cvss" in lowered or "score" in lowered:
        for match in _SCORE.finditer(text):
            group = "score" if match.group("score") else "plain"
            if _VERSION.fullmatch(match.group()):
                continue
            score = float(match.group(group))
            word = next(name for least, name in _BANDS if score >= least)
            yield _found(match.start(group), match.end(group), word, 0.9)
    if "severity" in lowered or "cvss" in lowered:
        for match in _WORD.finditer(text):
            group = match.lastgroup or "before"
            word = match.group(group).lower()
            yield _found(match.start(group), match.end(group), "medium" if word == "moderate" else word, 0.85)
    if "AV:" in text:
        for match in _VECTOR.finditer(text):
            yield Found(*match.span(), f"cvss:{match.group()}", "cvss", match.group(), 0.97, "pattern")


def _found(start: int, end: int, word: str, confidence: float) -> Found:
    return Found(start, end, f"severity:{word}", "severity", word, confidence, "pattern")

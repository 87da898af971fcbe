"""How indicators are made harmless in reports, and how the original is read back.

Spellings met in the wild: ``hxxp``, ``1.2.3[.]4``, ``evil(.)com``, ``evil{.}com``, ``evil[dot]com``, ``evil\\.com``,
``evil[.com``, ``user[@]evil.com``, ``user [at] evil.com``, ``hxxps[:]//``, ``http[://]``, and all of these with
blanks around the brackets, as tokenised texts have them.
"""

import re

BRACKETED_DOT = r"[ ]?[\[({][ ]?(?:\.|,|[dD][oO0][tT])[ ]?[\])}][ ]?"
HALF_BRACKETED_DOT = r"[ ]?\[[ ]?\.(?=\w)|(?<=\w)\.\](?=\w)"
DOT = rf"(?:\.|\\\.|{BRACKETED_DOT}|{HALF_BRACKETED_DOT})"
"""One dot between labels, plain or defanged."""

AT = r"(?:@|[ ]?[\[({][ ]?(?:@|[aA][tT])[ ]?[\])}][ ]?)"
COLON = r"(?:[ ]?\[:\]|\(:\)|\\?[ ]?:)"
SLASHES = r"(?:[ ]?//|\\/\\/|\[//\]|\[/\]\[/\]|/\[/\])"
SCHEME_END = rf"(?:[ ]?\[://\]|\[:/\]/|{COLON}{SLASHES})"

LABEL = r"[^\W_]++(?:[-_]++[^\W_]++)*+"
"""One label of a host name in any alphabet. Possessive: a run of characters is read once."""

DOTTED = rf"{LABEL}(?:{DOT}{LABEL})++"

_DOTS = re.compile(rf"{BRACKETED_DOT}|\\\.|{HALF_BRACKETED_DOT}")
_ATS = re.compile(r"[ ]?[\[({][ ]?(?:@|[aA][tT])[ ]?[\])}][ ]?")
_COLONS = re.compile(r"[\[(]:[\])]")
_SCHEME_END = re.compile(rf"\A([a-zA-Z*]+){SCHEME_END}[ ]?")


def refanged(raw: str) -> str:
    """A host name, address or e-mail address as it was before it was made harmless."""
    if raw.isascii() and raw.replace(".", "").replace("-", "").isalnum():
        return raw
    return _COLONS.sub(":", _ATS.sub("@", _DOTS.sub(".", raw)))


def is_defanged(raw: str) -> bool:
    """Whether a dot or a scheme was rewritten: nobody does that to a file name or a version number."""
    return _DOTS.search(raw) is not None or raw[:4].lower() in ("hxxp", "hxtp", "htxp")


def refanged_url(raw: str) -> str:
    """A URL as it was before it was made harmless; one without a scheme stays without."""
    raw = raw.replace("\r", "").replace("\n", "").replace("\\_", "_").replace("\\-", "-").replace("\\/", "/")
    begin = _SCHEME_END.match(raw)
    rest = refanged(raw[begin.end() :] if begin else raw)
    if begin is None:
        return rest
    scheme = begin.group(1).lower()
    scheme = {"fxp": "ftp"}.get(scheme, "https" if scheme[0] == "h" and scheme.endswith("s") else scheme)
    return f"{'http' if scheme[0] == 'h' and not scheme.endswith('s') else scheme}://{rest}"

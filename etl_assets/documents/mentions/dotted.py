"""Host names and IPv4 addresses: runs of labels with dots between them, and what speaks for and against each."""

import re
from collections.abc import Iterator

from etl_assets.documents.mentions.defanging import DOT, DOTTED, is_defanged, refanged
from etl_assets.documents.mentions.found import Found, entity
from etl_assets.documents.mentions.hosts import (
    FILE_EXTENSIONS,
    ascii_host,
    has_known_suffix,
    is_ipv4,
    looks_like_package,
    without_next_sentence,
    written_like_a_host,
)
from etl_assets.documents.mentions.urls import TAIL, read_url, trimmed_end

_DOT_INSIDE = re.compile(r"\.(?=\w)|[\[({][ ]?(?:[.,]|[dD][oO0][tT])[ ]?[\])}]|\[[ ]?\.(?=\w)|\.\](?=\w)")
_RUN = re.compile(rf"({DOTTED})((?::\d{{1,5}})?/(?=[\w?#%~]){TAIL})?")
_ADDRESS = re.compile(rf"[0-9]{{1,3}}(?:{DOT}[0-9]{{1,3}}){{3}}")
_ADDRESS_RANGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3}){3})-([0-9]{1,3}(?:\.[0-9]{1,3}){3})")
_VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver|\bversions?|\breleases?|\bbuild|\bfirmware|\bupdate|\bpatch|\bprior to|\bbefore|\bthrough|\bsection"
    r"|\bsec|\bchapter|\bclause|\btable|\bfigure|\bappendix|\bstep|§|[A-Za-z]/|≤|<=?"
    r"|\b\d+(?:\.\d+){1,3}(?:,| and| or| to))"
    r"[.:]?\s*$",
    re.IGNORECASE,
)
_VERSION_AFTER = re.compile(
    r"\s{0,2}(?:and|or|,)?\s{0,2}(?:earlier|later|prior|below|above|older|newer)\b|-rc|-beta|\+", re.IGNORECASE
)
_ADDRESS_NEAR = re.compile(
    r"\bIPs?\b|\bIPv4|address|server|\bhosts?\b|\bC2\b|\bC&C\b|\bport\b|connect|proxy|gateway|subnet|ping|resolv|network|DNS",
    re.IGNORECASE,
)
_HOST_NEAR = re.compile(
    r"\b(?:domains?|sites?|websites?|hosts?|hostnames?|C2|C&C|DNS|resolv\w+|registered|visit)\b", re.IGNORECASE
)

_FIELD_NAMES = frozenset(
    "app cat city code codes company contact country data date day domains email engineer events family group host id "
    "info land link media name network page phone place plus product properties report reviews select services site "
    "social software space store study support systems team technology tel time tools top training vote zone".split()
)
"""Top-level domains that are also what fields are called: ``document.publisher.name: CISA`` is the path of a value."""


def dotted(text: str) -> Iterator[Found]:
    """Host names and IPv4 addresses: the runs of labels around every dot that has a word on its right.

    Dots are rare and cheap to search for; trying a pattern at every word was half as fast.
    """
    floor = 0
    for dot in _DOT_INSIDE.finditer(text):
        if dot.start() < floor:
            continue
        run = _RUN.match(text, _label_start(text, dot.start(), floor))
        if run is None:
            floor = dot.start() + 1
            continue
        floor = run.end()
        following = text[run.end(1) : run.end(1) + 1]
        if following in ("@", "_") and following:
            continue
        if run.group(1)[-1].isdigit() and "xn--" not in run.group(1):
            yield from _addresses(text, run)
        else:
            yield from _host(text, run)


def _label_start(text: str, dot: int, floor: int) -> int:
    """Where the label before a dot begins, not before ``floor``; blanks and brackets before the dot are skipped."""
    while dot > floor and text[dot - 1] in "[\\ ":
        dot -= 1
    start = dot
    while start > floor and (text[start - 1].isalnum() or text[start - 1] in "-_"):
        start -= 1
    while start < dot and text[start] in "-_":
        start += 1
    return start


def _host(text: str, run: re.Match[str]) -> Iterator[Found]:
    raw = run.group(1) if run.group(2) else without_next_sentence(run.group(1))
    host = ascii_host(refanged(raw))
    if host is None or not has_known_suffix(host):
        return
    start, end = run.start(), run.start() + len(raw)
    confidence = _host_confidence(text, start, end, raw, bool(run.group(2)))
    if confidence == 0:
        return
    whole = trimmed_end(text, start, run.end()) if run.group(2) else end
    if whole > end + 1:
        yield from read_url(text, start, whole)
    else:
        yield entity(start, end, "domain", host, confidence)


def _host_confidence(text: str, start: int, end: int, raw: str, has_path: bool) -> float:
    """How sure a dotted word is a host name; 0 if it reads as a file, code, a package or a sentence."""
    if is_defanged(raw):
        return 0.98
    before, after = text[start - 1 : start], text[end : end + 1]
    if before in ("\\", "$", "%", "@", "&", "#", "=") or after in ("(", "\\", "=", "["):
        return 0
    earlier = text[max(0, start - 2) : max(0, start - 1)]
    if (before == "." and earlier != "*") or (before == "/" and earlier not in ("/", " ", "")):
        return 0
    labels = raw.split(".")
    if labels[0].lower() == "www":
        return 0.97
    near = _HOST_NEAR.search(text, max(0, start - 50), start) is not None
    capitals_fit = written_like_a_host(labels) or (near and labels[-1].islower() and len(labels) == 2)
    if looks_like_package(labels) or not capitals_fit or "_" in labels[-2]:
        return 0
    if labels[-1] in _FIELD_NAMES and len(labels) > 2 and _is_key(text, start, end):
        return 0
    if labels[-1].lower() in FILE_EXTENSIONS:
        return 0.6 if near or len(labels) > 3 or (has_path and len(labels[-1]) == 2) else 0
    if len(labels[-1]) > 3 and len(labels) == 2 and labels[-1] != "info":
        # The new top-level domains are words: ``itr.next`` and ``obj.call`` are code.
        return 0.85 if near or has_path else 0.7 if len(labels[0]) > 3 else 0
    return 0.95 if near or has_path or len(labels) > 2 else 0.9


def _is_key(text: str, start: int, end: int) -> bool:
    """Whether a word stands where the key of ``key: value`` does: alone between a line's start and a colon."""
    return text[start - 1 : start] in ("", "\n") and text[end : end + 2] in (": ", ":\n", ":")


def _addresses(text: str, run: re.Match[str]) -> Iterator[Found]:
    raw, start = run.group(1), run.start()
    if text[start - 1 : start] == ".":
        return
    both = _ADDRESS_RANGE.fullmatch(raw)
    if both and all(is_ipv4(address) for address in both.groups()):
        for group in (1, 2):
            yield entity(start + both.start(group), start + both.end(group), "ipv4", both.group(group), 0.95)
        return
    address = refanged(raw)
    if _ADDRESS.fullmatch(raw) is None or not is_ipv4(address):
        return
    confidence = _address_confidence(text, start, run.end(1), raw, address)
    if confidence and (run.group(2) or "").lstrip(":0123456789")[1:2].isalpha():
        yield from read_url(text, start, trimmed_end(text, start, run.end()))
    elif confidence:
        yield entity(start, run.end(1), "ipv4", address, confidence)


def _address_confidence(text: str, start: int, end: int, raw: str, address: str) -> float:
    """How sure four numbers are an address; 0 if they read as a version or the number of a section."""
    if raw != address:
        return 0.99
    before = text[max(0, start - 60) : start]
    if _VERSION_BEFORE.search(before, max(0, len(before) - 24)) or _VERSION_AFTER.match(text, end, end + 30):
        return 0
    octets = [int(part) for part in address.split(".")]
    if max(octets) >= 100 or text[end : end + 1] in ("/", ":"):
        return 0.97
    # Four small numbers are mostly the number of a section: only a cue right before them counts.
    reach = 25 if max(octets) < 32 else 60
    if _ADDRESS_NEAR.search(before, max(0, len(before) - reach)) or _ADDRESS_NEAR.search(text, end, end + 25):
        return 0.9
    if max(octets) < 32 or re.search(r"[A-Za-z)]\s$", before):
        return 0
    return 0.8

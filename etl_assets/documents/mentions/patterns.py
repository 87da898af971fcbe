"""Indicators found by their form: addresses, host names, URLs, e-mail addresses, hashes, CVE and CWE ids.

One mention a span, the longest: the host of a URL or of an e-mail address is no mention of its own, because nobody
wrote it down as one; ``related`` in ``edges`` names it, so that a graph can join the two.

Every quantifier that could be read in two ways is possessive or bounded, so the time is linear in the text.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence

from etl_assets.documents.mentions.defanging import (
    AT,
    DOT,
    DOTTED,
    LABEL,
    SCHEME_END,
    is_defanged,
    refanged,
    refanged_url,
)
from etl_assets.documents.mentions.found import Found, entity, longest
from etl_assets.documents.mentions.hosts import (
    FILE_EXTENSIONS,
    ascii_host,
    has_known_suffix,
    looks_like_package,
    written_like_a_host,
)

_TAIL = r"(?:[^\s,<>\"“”‘’«»`|^{}\\\[\]]|,(?![ ]|h[tx]{2}ps?:)|\\[._/\-]|\[[.:,]\]|\[dot\]|\[\d*+\])*+"
_URL = re.compile(
    r"[hHsSfFwWtTuU](?<![A-Za-z0-9].)(?:(?<=[hH])[tTxX*]{2}[pP][sS]?|(?<=[sS])[fF][tT][pP]|(?<=[fF])[tTxX][pP][sS]?"
    r"|(?<=[wW])[sS]{1,2}|(?<=[tT])[cC][pP]|(?<=[uU])[dD][pP])"
    rf"{SCHEME_END}[ ]?(?:{DOTTED}|{LABEL}|\[[0-9a-fA-F:.]++\])(?:(?<=[-=&%?_])\n(?=[a-z0-9]{{2}})|{_TAIL}){{1,4}}"
)
_EMAIL = re.compile(rf"(?<![\w.+%-])([\w.+%'-]{{1,64}}+){AT}({DOTTED})(?!@)")
_HOST = re.compile(rf"((?<!\w){DOTTED})(?![\w@])((?::\d{{1,5}})?/(?=[\w?#%~]){_TAIL})?")
_IPV4 = re.compile(
    rf"[0-9](?<![\w.].)[0-9]{{0,2}}(?:{DOT}[0-9]{{1,3}}){{3}}(?!\w|\.\d|-\d+\.\d+\.\d)((?::\d{{1,5}})?/(?=[a-zA-Z]){_TAIL})?"
)
_IPV4_RANGE = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})-(\d{1,3}(?:\.\d{1,3}){3})(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{0,4}(?::|\[:\])){2,7}+(?:[0-9a-fA-F]{1,4}|\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
_HEX = re.compile(r"[0-9a-fA-F](?<![0-9A-Za-z].)[0-9a-fA-F]{7,127}+(?![0-9A-Za-z])")
_LINE_BREAK = re.compile(r"[ ]?\r?\n[ ]?")
_TWO_COLONS = re.compile(r":\]?[0-9a-fA-F]{0,4}+\[?:")
_DASH = "[-\u2010-\u2015\u2212\u00ad]"
_CVE = re.compile(rf"(?<![A-Za-z0-9])CVE(?:{_DASH}|[ ])\n?((?:19|20)\d\d)[ ]?{_DASH}[ ]?\n?(\d{{4,7}})(?!\d)", re.IGNORECASE)
_CWE = re.compile(rf"(?<![A-Za-z0-9])CWE(?:{_DASH}|[ ])\n?(\d{{1,4}})(?!\d)", re.IGNORECASE)

_HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}

_VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver|\bversions?|\breleases?|\bbuild|\bfirmware|\bupdate|\bpatch|\bprior to|\bbefore|\bthrough|\bsection"
    r"|\bsec|\bchapter|\bclause|\btable|\bfigure|\bappendix|\bstep|§|[A-Za-z]/|≤|<=?|\b\d+(?:\.\d+){1,3}(?:,| and| or| to))"
    r"[.:]?\s*$",
    re.IGNORECASE,
)
_VERSION_AFTER = re.compile(r"\s*(?:and|or|,)?\s*(?:earlier|later|prior|below|above|older|newer|and (?:earlier|prior))\b|-rc|-beta|\+", re.I)
_ADDRESS_NEAR = re.compile(
    r"\bIPs?\b|\bIPv4|address|server|\bhosts?\b|\bC2\b|\bC&C\b|\bport\b|connect|proxy|gateway|subnet|ping|resolv|network|DNS",
    re.IGNORECASE,
)
_HOST_NEAR = re.compile(r"\b(?:domains?|sites?|websites?|hosts?|hostnames?|C2|C&C|DNS|resolv\w+|registered|visit)\b", re.IGNORECASE)


def indicators(text: str) -> list[Found]:
    """Every indicator in a text, in order, none overlapping another."""
    found = list(_urls(text))
    # What stands inside a URL is read once: reports of indicators are one third URLs.
    rest = _blanked(text, found)
    for finder in (_emails, _dotted_names, _ipv4s, _ipv6s, _hashes, _numbered):
        found.extend(finder(rest))
    return longest(found)


def _blanked(text: str, found: Sequence[Found]) -> str:
    """``text`` with blanks instead of what was found, which is in order and does not overlap."""
    if not found:
        return text
    pieces, position = [], 0
    for mention in found:
        pieces += [text[position : mention.start], " " * (mention.end - mention.start)]
        position = mention.end
    return "".join([*pieces, text[position:]])


def _urls(text: str) -> Iterator[Found]:
    if "//" not in text and "\\/" not in text and "[/" not in text:
        return
    for match in _URL.finditer(text):
        start, end = match.start(), _trimmed_end(text, match.start(), match.end())
        yield from _url(text, start, end)


def _url(text: str, start: int, end: int) -> Iterator[Found]:
    url = refanged_url(text[start:end])
    scheme, separator, rest = url.rpartition("://") if "://" not in url[8:] else url.partition("://")
    cut = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    credentials, at, address = authority.rpartition("@")
    host, colon, port = (address, "", "") if address.startswith("[") else address.partition(":")
    normal = host if host.startswith("[") else ascii_host(host)
    if not normal or not (port.isdigit() or not port):
        return
    known = normal.startswith("[") or _is_ipv4(normal) or has_known_suffix(normal)
    path = "" if path == "/" else path
    yield entity(start, end, "url", f"{scheme}{separator}{credentials}{at}{normal}{colon}{port}{path}", 0.98 if known else 0.7)


def _trimmed_end(text: str, start: int, end: int) -> int:
    """Without the punctuation of the sentence around: a closing bracket stays if it was opened inside."""
    before = text[start - 1 : start]
    while end > start:
        last = text[end - 1]
        if last in ".,;:!?'*…\u200b" or (last == "_" and before == "_"):
            end -= 1
        elif last == ")" and text.count("(", start, end) < text.count(")", start, end):
            end -= 1
        elif last == "]" and text.endswith(("[.]", "[,]", "[:]"), start, end):
            end -= 3
        else:
            break
    return end


def _emails(text: str) -> Iterator[Found]:
    if "@" not in text and "at]" not in text and "at)" not in text and "AT]" not in text:
        return
    for match in _EMAIL.finditer(text):
        local = match.group(1)
        start = match.start() + len(local) - len(local.lstrip("'.-"))
        local = local.strip("'.-")
        bracketed = text[match.start() + len(match.group(1))] != "@"
        named = _suffixed(match.group(2))
        host = ascii_host(refanged(named))
        if local and host and has_known_suffix(host) and not (bracketed and text[match.end(1)] == " " and "." in local[-1:]):
            end = match.start(2) + len(named)
            yield entity(start, end, "email", f"{local.lower()}@{host}", 0.97)


def _suffixed(raw: str) -> str:
    """``raw`` without a last label that begins the next sentence: ``evil.com.The``."""
    head, dot, last = raw.rpartition(".")
    if dot and "." in head and last[:1].isupper() and not last.isupper() and not has_known_suffix(f"x.{last.lower()}"):
        return head
    return raw


def _dotted_names(text: str) -> Iterator[Found]:
    for match in _HOST.finditer(text):
        raw = match.group(1)
        if raw[-1].isdigit() and "xn--" not in raw:
            continue
        raw = raw if match.group(2) else _suffixed(raw)
        host = ascii_host(refanged(raw))
        if host is None or not has_known_suffix(host):
            continue
        start, end = match.start(), match.start() + len(raw)
        confidence = _host_confidence(text, start, end, raw, bool(match.group(2)))
        if confidence == 0:
            continue
        if match.group(2):
            whole = _trimmed_end(text, start, match.end())
            if whole > end + 1:
                yield from _url(text, start, whole)
                continue
        yield entity(start, end, "domain", host, confidence)


def _host_confidence(text: str, start: int, end: int, raw: str, has_path: bool) -> float:
    """How sure a dotted word is a host name; 0 if it reads as a file, code, a package or a sentence."""
    if is_defanged(raw):
        return 0.98
    before, after = text[start - 1 : start], text[end : end + 1]
    if before in ("\\", "$", "%", "@", "&", "#", "=") and before or after in ("(", "\\", "=", "["):
        return 0
    if (before == "." and text[start - 2 : start - 1] != "*") or (before == "/" and text[start - 2 : start - 1] not in ("/", " ", "")):
        return 0
    labels = raw.split(".")
    if labels[0].lower() == "www":
        return 0.97
    if looks_like_package(labels) or not written_like_a_host(labels) or "_" in labels[-2]:
        return 0
    near = _HOST_NEAR.search(text, max(0, start - 50), start) is not None
    if labels[-1].lower() in FILE_EXTENSIONS:
        return 0.6 if near or (has_path and len(labels[-1]) == 2) else 0
    if len(labels[-1]) > 3 and len(labels) == 2 and labels[-1] not in _CLASSIC_LONG:
        return 0.85 if near or has_path else 0.7
    return 0.95 if near or has_path or len(labels) > 2 else 0.9


_CLASSIC_LONG = ("info",)


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _ipv4s(text: str) -> Iterator[Found]:
    for match in _IPV4_RANGE.finditer(text):
        for group in (1, 2):
            if _is_ipv4(match.group(group)):
                yield entity(match.start(group), match.end(group), "ipv4", match.group(group), 0.95)
    for match in _IPV4.finditer(text):
        start, end = match.start(), match.start(1) if match.group(1) else match.end()
        raw = text[start:end]
        address = refanged(raw)
        if not _is_ipv4(address):
            continue
        confidence = _address_confidence(text, start, end, raw, address)
        if confidence and match.group(1):
            yield from _url(text, start, _trimmed_end(text, start, match.end()))
        elif confidence:
            yield entity(start, end, "ipv4", address, confidence)


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
    if _ADDRESS_NEAR.search(before) or _ADDRESS_NEAR.search(text, end, end + 25):
        return 0.9
    if max(octets) < 32 or re.search(r"[A-Za-z)]\s$", before):
        return 0
    return 0.8


def _ipv6s(text: str) -> Iterator[Found]:
    if _TWO_COLONS.search(text) is None:
        return
    for match in _IPV6.finditer(text):
        raw = match.group()
        address = raw.replace("[:]", ":")
        groups = [group for group in address.split(":") if group]
        if not groups or (len(groups) < 3 and address != "::1" and not any(len(g) > 1 and re.search(r"\d", g) for g in groups)):
            continue
        try:
            normal = ipaddress.IPv6Address(address)
        except ValueError:
            continue
        if "::" in address and not re.search(r"\d", address):
            continue
        yield entity(match.start(), match.end(), "ipv6", normal.compressed, 0.95 if len(groups) > 2 else 0.8)


def _hashes(text: str) -> Iterator[Found]:
    """Digests of exact length, also where a narrow column broke one over up to four lines."""
    pieces: list[re.Match[str]] = []
    for match in _HEX.finditer(text):
        raw = match.group()
        kind = _HASHES.get(len(raw))
        if kind:
            # Two lines of 32 are two MD5 digests, not one SHA-256: a whole digest joins nothing.
            pieces.clear()
            if _reads_as_digest(raw):
                yield entity(match.start(), match.end(), kind, raw.lower(), 0.97)
            continue
        if pieces and _LINE_BREAK.fullmatch(text, pieces[-1].end(), match.start()) is None:
            pieces.clear()
        pieces = [*pieces[-3:], match]
        whole = "".join(piece.group() for piece in pieces)
        kind = _HASHES.get(len(whole))
        if kind and _reads_as_digest(whole):
            yield entity(pieces[0].start(), match.end(), kind, whole.lower(), 0.9)
            pieces.clear()


def _reads_as_digest(raw: str) -> bool:
    """Digests have digits and letters; a row of zeros or a long number is none."""
    return not raw.isdigit() and not raw.isalpha() and len(set(raw.lower())) > 5


def _numbered(text: str) -> Iterator[Found]:
    lowered = text.lower()
    if "cve" in lowered:
        for match in _CVE.finditer(text):
            yield entity(match.start(), match.end(), "cve", f"CVE-{match.group(1)}-{match.group(2)}", 0.99)
    if "cwe" in lowered:
        for match in _CWE.finditer(text):
            yield entity(match.start(), match.end(), "cwe", f"CWE-{int(match.group(1))}", 0.99)

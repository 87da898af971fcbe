"""Indicators found by their form: addresses, host names, URLs, e-mail addresses, hashes, CVE and CWE ids.

One mention a span, the longest: the host of a URL or of an e-mail address is no mention of its own, because nobody
wrote it down as one; ``related`` in ``edges`` names it, so that a graph can join the two.

Every quantifier that could be read in two ways is possessive or bounded, so the time is linear in the text.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence

from etl_assets.documents.mentions.defanging import AT, DOTTED, refanged
from etl_assets.documents.mentions.dotted import dotted
from etl_assets.documents.mentions.found import Found, entity, longest
from etl_assets.documents.mentions.hosts import ascii_host, has_known_suffix, without_next_sentence
from etl_assets.documents.mentions.urls import urls

_EMAIL = re.compile(rf"(?<![\w.+%-])([\w.+%'-]{{1,64}}+){AT}({DOTTED})(?!@)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9a-fA-F]{0,4}(?::|\[:\])){2,7}+(?:[0-9a-fA-F]{1,4}|\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])"
)
_HEX = re.compile(r"[0-9a-fA-F](?<![0-9A-Za-z].)[0-9a-fA-F]{7,127}+(?![0-9A-Za-z])")
_LINE_BREAK = re.compile(r"[ ]?\r?\n[ ]?")
_TWO_COLONS = re.compile(r":\]?[0-9a-fA-F]{0,4}+\[?:")
_DASH = "[-\u2010-\u2015\u2212\u00ad]"
_CVE = re.compile(
    rf"(?<![A-Za-z0-9])CVE(?:{_DASH}|[ ])\n?((?:19|20)\d\d)[ ]?{_DASH}[ ]?\n?(\d{{4,7}})(?!\d)", re.IGNORECASE
)
_CWE = re.compile(rf"(?<![A-Za-z0-9])CWE(?:{_DASH}|[ ])\n?(\d{{1,4}})(?!\d)", re.IGNORECASE)

_HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


def indicators(text: str) -> list[Found]:
    """Every indicator in a text, in order, none overlapping another."""
    found = list(urls(text))
    # What stands inside a URL is read once: reports of indicators are one third URLs.
    rest = _blanked(text, found)
    for finder in (_emails, dotted, _ipv6s, _hashes, _numbered):
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


def _emails(text: str) -> Iterator[Found]:
    if "@" not in text and "at]" not in text and "at)" not in text and "AT]" not in text:
        return
    for match in _EMAIL.finditer(text):
        local = match.group(1)
        start = match.start() + len(local) - len(local.lstrip("'.-"))
        local = local.strip("'.-")
        named = without_next_sentence(match.group(2))
        host = ascii_host(refanged(named))
        if local and host and has_known_suffix(host):
            end = match.start(2) + len(named)
            yield entity(start, end, "email", f"{local.lower()}@{host}", 0.97)


def _ipv6s(text: str) -> Iterator[Found]:
    if _TWO_COLONS.search(text) is None:
        return
    for match in _IPV6.finditer(text):
        raw = match.group()
        address = raw.replace("[:]", ":")
        groups = [group for group in address.split(":") if group]
        if not _reads_as_address(address, groups):
            continue
        try:
            normal = ipaddress.IPv6Address(address)
        except ValueError:
            continue
        yield entity(match.start(), match.end(), "ipv6", normal.compressed, 0.95 if len(groups) > 2 else 0.8)


def _reads_as_address(address: str, groups: list[str]) -> bool:
    """Not ``::``, not ``a::b`` of C++, not ``face::add``."""
    if address == "::1":
        return True
    return re.search(r"\d", address) is not None and (len(groups) > 2 or any(len(group) > 1 for group in groups))


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

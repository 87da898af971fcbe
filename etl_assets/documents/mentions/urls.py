"""URLs with a scheme, and the trimming and reading that URLs without one share."""

import re
from collections.abc import Iterator

from etl_assets.documents.mentions.defanging import DOTTED, LABEL, SCHEME_END, refanged_url
from etl_assets.documents.mentions.found import Found, entity
from etl_assets.documents.mentions.hosts import ascii_host, has_known_suffix, is_ipv4

TAIL = r"(?:[^\s,<>\"“”‘’«»`|^{}\\\[\]]|,(?![ ]|h[tx]{2}ps?:)|\\[._/\-]|\[[.:,]\]|\[dot\]|\[\d*+\])*+"
"""What may follow the host. A comma followed by a blank or another URL ends it; so do quotes and brackets."""

_URL = re.compile(
    r"[hHsSfFwWtTuU](?<![A-Za-z0-9].)(?:(?<=[hH])[tTxX*]{2}[pP][sS]?|(?<=[sS])[fF][tT][pP]|(?<=[fF])[tTxX][pP][sS]?"
    r"|(?<=[wW])[sS]{1,2}|(?<=[tT])[cC][pP]|(?<=[uU])[dD][pP])"
    rf"{SCHEME_END}(?:[ ]?{DOTTED}|{LABEL}|\[[0-9a-fA-F:.]++\])(?:(?<=[-=&%?_])\n(?=[a-z0-9]{{2}})|{TAIL}){{1,4}}"
)


def urls(text: str) -> Iterator[Found]:
    """Every URL that begins with a scheme, in order."""
    if "//" not in text and "\\/" not in text and "[/" not in text:
        return
    for match in _URL.finditer(text):
        start, end = match.start(), trimmed_end(text, match.start(), match.end())
        yield from read_url(text, start, end)


def read_url(text: str, start: int, end: int) -> Iterator[Found]:
    """The URL written in a span: scheme and host in lower case, the host in punycode, the rest as it is.

    A lone ``/`` after the host is left out. A URL written without a scheme keeps none. A host whose top-level domain
    does not exist is less sure. Nothing comes of a span without a host, or with a port that is no number.
    """
    url = refanged_url(text[start:end])
    scheme, separator, rest = url.partition("://")
    if not scheme.isalpha():
        scheme, separator, rest = "", "", url
    cut = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    credentials, at, place = authority.rpartition("@")
    host, colon, port = _host_and_port(place)
    normal = host if host.startswith("[") else ascii_host(host)
    if not normal or not (port.isdigit() or not port):
        return
    known = normal.startswith("[") or is_ipv4(normal) or has_known_suffix(normal)
    path = "" if path == "/" else path
    address = f"{scheme}{separator}{credentials}{at}{normal}{colon}{port}{path}"
    yield entity(start, end, "url", address, 0.98 if known else 0.7)


def _host_and_port(place: str) -> tuple[str, str, str]:
    if place.startswith("["):
        host, bracket, rest = place.partition("]")
        return (host + bracket, *rest.partition(":")[1:])
    return place.partition(":")


def trimmed_end(text: str, start: int, end: int) -> int:
    """Without the punctuation of the sentence around: a closing bracket stays if it was opened inside."""
    before = text[start - 1 : start]
    unopened = text.count(")", start, end) - text.count("(", start, end)
    while end > start:
        last = text[end - 1]
        if last in ".,;:!?'*…\u200b" or (last == "_" and before == "_"):
            end -= 1
        elif last == ")" and unopened > 0:
            end, unopened = end - 1, unopened - 1
        elif last == "]" and text.endswith(("[.]", "[,]", "[:]"), start, end):
            end -= 3
        else:
            break
    return end

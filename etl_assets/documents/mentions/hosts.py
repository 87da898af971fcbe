"""Which dotted words are host names. The list of top-level domains is IANA's, see ``data/NOTICE.md``."""

from functools import cache
from importlib import resources
from ipaddress import IPv4Address

FILE_EXTENSIONS = frozenset(
    "ai app as bar boo cab cam cat cc cfd cpa dev dot fit gd gdn ink java jl js la lnk map md mk mobi mov mp ms nc ng"
    " pa ph pl pm prof ps pub py rs sc sh so ss st sv sy tf ts uno vb vi wiki zip".split()
)
"""Top-level domains that end file names or code more often than host names; they need context."""

CLASSIC = frozenset("com net org info biz gov mil edu int".split())

_PACKAGE_ROOTS = CLASSIC | frozenset("android androidx java javax kotlin".split())


@cache
def top_level_domains() -> frozenset[str]:
    """Every top-level domain, in lower case, internationalised ones as ``xn--``."""
    text = resources.files(__package__).joinpath("data/tlds.txt").read_text("ascii")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def ascii_host(host: str) -> str | None:
    """A host name in lower case and punycode (IDNA 2008, then 2003 as browsers do), or None if it cannot be one."""
    host = host.lower().rstrip(".")
    if len(host) > 253:
        return None
    if not host.isascii():
        host = _punycode(host)
    if not host or len(host) > 253 or any(len(label) > 63 for label in host.split(".")):
        return None
    return host


def _punycode(host: str) -> str:
    import idna

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        pass
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def has_known_suffix(host: str) -> bool:
    """Whether a host in lower case ends in a top-level domain that exists."""
    name, _, suffix = host.rpartition(".")
    return bool(name) and suffix in top_level_domains()


def looks_like_package(labels: list[str]) -> bool:
    """Java and Android package names start where host names end: ``com.android.vending``, ``org.example.app``."""
    return len(labels) > 2 and labels[0].lower() in _PACKAGE_ROOTS and labels[-1].lower() not in CLASSIC


def written_like_a_host(labels: list[str]) -> bool:
    """Whether capitals and digits fit a plain host name, not ``System.Net``, ``ASP.NET`` or ``end.it``."""
    *names, suffix = labels
    if suffix.isupper():
        return all(name.isupper() for name in names) and len(max(names, key=len)) > 4
    if suffix.isascii() and not suffix.islower():
        return False
    if suffix in CLASSIC:
        return True
    if len(names) == 1 and names[0].isdigit():
        return False
    return not any(name[0].isupper() and name.isalpha() for name in names)


def without_next_sentence(raw: str) -> str:
    """``raw`` without a last label that begins the next sentence: ``evil.com.The``."""
    head, dot, last = raw.rpartition(".")
    if dot and "." in head and last[:1].isupper() and not last.isupper() and not has_known_suffix(f"x.{last.lower()}"):
        return head
    return raw


def is_ipv4(host: str) -> bool:
    """Whether these are four numbers from 0 to 255 without leading zeros."""
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True

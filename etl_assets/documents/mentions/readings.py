"""What the labeller and the cues read as names in the pages of a document, and which of it counts."""

import re
from collections.abc import Iterable, Mapping, Sequence

from etl_assets.documents.mentions.borders import KINDS as NAMED_BY_GRAMMAR
from etl_assets.documents.mentions.cued import Finding, cued
from etl_assets.documents.mentions.found import Found
from etl_assets.documents.mentions.labeller import Labelled, packaged
from etl_assets.documents.mentions.names import Hit
from etl_assets.documents.mentions.overlaps import Overlaps
from etl_assets.documents.mentions.tagging import tags_of
from etl_assets.documents.mentions.tokens import Token, sequences
from etl_assets.documents.mentions.vocabulary import kind_of
from etl_assets.documents.mentions.written import OUTER, POSSESSIVE, normal_name

THREATS = ("malware", "group", "tool")
LEAST: Mapping[tuple[str, str], float] = {
    ("both", "malware"): 0.7, ("both", "organisation"): 0.4, ("reports", "malware"): 0.7, ("reports", "group"): 0.4,
    ("reports", "tool"): 0.5, ("reports", "organisation"): 0.4, ("reports", "location"): 0.4, ("posts", "product"): 0.4,
    ("posts", "vulnerability"): 0.5, ("cue", "malware"): 0.5, ("cue", "group"): 0.5,
    ("cue", "tool"): 0.5, ("cue", "vulnerability"): 0.5,
}  # fmt: skip
"""From which probability a chain's finding of a kind counts; chosen on train texts that were left out of training."""
SEEN_ALONE = 0.99
WITNESS: Mapping[str, float] = {"reports": 0.3, "posts": 0.9, "cue": 0.5}
"""What another chain must give malware that only ``both`` is sure of, and not this sure: chosen in the same way."""
FAINTEST = 0.15
"""The labeller is asked for everything that has at least this probability."""
SMALL = 0.8
"""A name in small letters, which could be a plain word that the lists lack, needs this probability."""
PRODUCTS = 0.5
"""What a finding of a product counts beside one of a threat in the same words: the chain that finds products has
read blog posts alone, and takes new malware for an app."""

_ARTICLE = re.compile(r"(?:The|A|An|This)\s+")
_CODE = re.compile(r"[|*<>={}\[\]\\%_\"`]|://|^[TGSMC]\d{4}\b|\n\s*\n|\s[\n]|#\S|\.\w+\(")
_ABBREVIATED = re.compile(r"\b(?:Inc|Ltd|Corp|Co|(?:[A-Z]\.)+[A-Z])$")


def readings(
    pages: Sequence[str], taken: Sequence[Sequence[Found]], named: Sequence[Sequence[Found]],
    hits: Sequence[Sequence[Hit]],
) -> list[list[Finding]]:  # fmt: skip
    """By page, everything that has some probability, overlapping or not; see ``recognised`` for the arguments."""
    parts: list[list[Token]] = []
    tags: list[list[str]] = []
    page_of: list[int] = []
    for page, text in enumerate(pages):
        of_page = sequences(text, taken[page])
        parts += of_page
        tags += tags_of(of_page, named[page], hits[page])
        page_of += [page] * len(of_page)
    found: list[list[Finding]] = [list(cued(text)) for text in pages]
    for chain, labelled in packaged().label(parts, tags, least=FAINTEST).items():
        for page, tokens, names in zip(page_of, parts, labelled, strict=True):
            spans = (_finding(pages[page], tokens, one, chain) for one in names)
            found[page] += [one for one in spans if one.start < one.end]
    return found


def _finding(text: str, tokens: Sequence[Token], labelled: Labelled, chain: str) -> Finding:
    """The span without punctuation, a possessive and words of grammar at its ends; empty where nothing is left."""
    start, end = tokens[labelled.first].start, tokens[labelled.last - 1].end
    raw = text[start:end]
    start += len(raw) - len(raw.lstrip(OUTER))
    written = raw.strip(OUTER)
    possessive = POSSESSIVE.search(written)
    if possessive and labelled.kind != "location":
        written = written[: possessive.start()]
    dot = raw.rstrip().endswith(".") and _ABBREVIATED.search(written)
    end = start + len(written) + int(bool(dot))
    if labelled.kind in NAMED_BY_GRAMMAR:
        start, end = packaged().borders.within(text, start, end)
    return Finding(start, end, labelled.kind, labelled.probability, chain)


def counting(text: str, read: Sequence[Finding]) -> list[Finding]:
    """The readings of one page that are names, in order, none overlapping another: the more probable stays."""
    together = Overlaps(read)
    found = [one for one in read if _is_probable(one, together) and _is_name(text, one)]
    threats = Overlaps(one for one in found if one.kind in THREATS)
    taken: Overlaps[Finding] = Overlaps()
    kept = []
    for one in sorted(found, key=lambda one: (-_weight(one, threats), one.start - one.end, one)):
        if not taken.of(one.start, one.end):
            taken.add(one)
            kept.append(one)
    return sorted(kept)


def _is_probable(one: Finding, together: Overlaps[Finding]) -> bool:
    """Of ``both`` alone malware needs more than of the others, or another chain that sees it too."""
    if one.probability < LEAST.get((one.chain, one.kind), 2):
        return False
    if one.chain != "both" or one.kind != "malware" or one.probability >= SEEN_ALONE:
        return True
    return any(
        other.kind == one.kind and other.probability >= WITNESS.get(other.chain, 2)
        for other in together.of(one.start, one.end)
    )


def _is_name(text: str, one: Finding) -> bool:
    """Whether a span can be a name at all: not code, a cell border, a path, or plain words in small letters."""
    written = text[one.start : one.end]
    if not 2 <= len(written) <= 80 or not any(map(str.isalpha, written)) or _CODE.search(written):
        return False
    before, after = text[max(0, one.start - 1) : one.start], text[one.end : one.end + 1]
    if before in ("\\", "/", "_", "%", "=") or after in ("\\", "_", "="):
        return before == "/" and one.kind in ("location", "organisation")
    if written == written.lower() and not any(map(str.isdigit, written)):
        return one.kind in THREATS and one.probability >= SMALL and kind_of(written.split()[0]) == "unknown"
    # "The" and "End" begin sentences.
    plain = len(written) <= 3 and kind_of(written) == "frequent"
    return one.kind not in THREATS or not (plain or _ARTICLE.match(written))


def _weight(one: Finding, threats: Overlaps[Finding]) -> float:
    return one.probability * (PRODUCTS if one.kind == "product" and threats.of(one.start, one.end) else 1)


def settled_kinds(pages: Sequence[str], findings: Sequence[Sequence[Finding]]) -> dict[str, str]:
    """The kind that each name of a document has: the one that its findings speak for together."""
    weight: dict[str, dict[str, float]] = {}
    for text, page in zip(pages, findings, strict=True):
        for one in page:
            of_name = weight.setdefault(key_of(text, one), {})
            of_name[one.kind] = of_name.get(one.kind, 0.0) + one.probability
    for kinds in weight.values():
        if "product" in kinds and not kinds.keys().isdisjoint(THREATS):
            kinds["product"] *= PRODUCTS
    return {name: max(kinds, key=lambda kind: (kinds[kind], kind)) for name, kinds in weight.items()}


def key_of(text: str, one: Finding) -> str:
    """The name that a finding is known by in its document."""
    return normal_name(text[one.start : one.end])


def threats_alone(findings: Iterable[Finding]) -> list[Finding]:
    """Those of threats."""
    return [one for one in findings if one.kind in THREATS]

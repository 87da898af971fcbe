"""Names that no list holds, and names that only their sentence tells apart: the labeller's findings, linked.

A finding that is spelled like a thing of the catalogue of the same kind is that thing. Any other is an entity of its
own (NIL): its id is its type and its name in small letters, and it is less sure.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from etl_assets.documents.mentions.cued import Finding, cued
from etl_assets.documents.mentions.found import Found
from etl_assets.documents.mentions.labeller import Labelled, packaged
from etl_assets.documents.mentions.names import Hit, Proof, folded
from etl_assets.documents.mentions.places import place_of
from etl_assets.documents.mentions.tagging import DOUBTFUL, tags_of
from etl_assets.documents.mentions.tokens import Token, sequences
from etl_assets.documents.mentions.vocabulary import kind_of

THREATS = ("malware", "group", "tool")
LEAST: Mapping[tuple[str, str], float] = {
    ("both", "malware"): 0.4, ("both", "organisation"): 0.4, ("reports", "malware"): 0.4, ("reports", "group"): 0.4,
    ("reports", "tool"): 0.5, ("reports", "organisation"): 0.4, ("reports", "location"): 0.4, ("posts", "product"): 0.4,
    ("posts", "vulnerability"): 0.5, ("cue", "malware"): 0.5, ("cue", "group"): 0.5,
}  # fmt: skip
"""From which probability a chain's finding of a kind counts; chosen on train texts that were left out of training."""
SUPPORT = 0.15
"""A name of the catalogue that is spelled like a word and stands beside no cue needs this from the labeller."""
SMALL = 0.8
"""A name in small letters, which could be a plain word that the lists lack, needs this probability."""
ALONE = 0.9
"""Probability that a threat's name needs where the document names none of the catalogue, and no cue is beside it."""
PRODUCTS = 0.5
"""What a finding of a product counts beside one of a threat in the same words: the chain that finds products has
read blog posts alone, and takes new malware for an app."""
REPEATED = 0.6
"""Least confidence of a name whose other places in the document are mentions as well."""
_KIND_WORDS = re.compile(
    r"(?:\s+(?:malware|ransomware|trojan|backdoor|botnet|group|gang|team|stealer|loader|inc|ltd|llc|corp))+\.?$", re.I
)
_POSSESSIVE = re.compile(r"\s?(?:['\u2019]\s?s|['\u2019])$")
_CODE = re.compile(r"[|*<>={}\[\]\\%_\"`]|://|^[TGSMC]\d{4}\b|\n\s*\n|\s[\n]|#\S|\.\w+\(")
_OUTER = " \t\r\n\"'\u201c\u201d\u2018\u2019()[]{}<>*_`,;:.!?|/\\-\u2013\u2014#@&"


def recognised(
    pages: Sequence[str], taken: Sequence[Sequence[Found]], named: Sequence[Sequence[Found]],
    hits: Sequence[Sequence[Hit]],
) -> list[list[Found]]:  # fmt: skip
    """The names of one document, by page and in order, none overlapping another or ``taken``.

    ``taken`` are the mentions by pattern, ``named`` the catalogue's names that were judged right, ``hits`` all that
    are spelled like one of its names: by page, in order.
    """
    read = _read(pages, taken, named, hits)
    findings = [_apart(one for one, chain in page if one.probability >= LEAST.get((chain, one.kind), 2)
                       and _is_name(text, one)) for text, page in zip(pages, read, strict=True)]  # fmt: skip
    kinds = _settled(pages, findings)
    credible = _credible(pages, named, hits, [[one for one, _ in page if one.kind in THREATS] for page in read])
    findings = _in_company(pages, findings, credible)
    found = []
    for page, text in enumerate(pages):
        own = [_linked(text, one, hits[page]) for one in findings[page] if kinds[_key(text, one)] == one.kind]
        found.append(_merged(credible[page], own, taken[page]))
    return _repeated(pages, found, taken)


def _read(
    pages: Sequence[str], taken: Sequence[Sequence[Found]], named: Sequence[Sequence[Found]],
    hits: Sequence[Sequence[Hit]],
) -> list[list[tuple[Finding, str]]]:  # fmt: skip
    """By page, everything the labeller gives some probability, and the chain that does."""
    parts: list[list[Token]] = []
    tags: list[list[str]] = []
    page_of: list[int] = []
    for page, text in enumerate(pages):
        of_page = sequences(text, taken[page])
        parts += of_page
        tags += tags_of(of_page, named[page], hits[page])
        page_of += [page] * len(of_page)
    found: list[list[tuple[Finding, str]]] = [[(one, "cue") for one in cued(text)] for text in pages]
    for chain, labelled in packaged().label(parts, tags, least=SUPPORT).items():
        for page, tokens, names in zip(page_of, parts, labelled, strict=True):
            found[page] += [(_finding(pages[page], tokens, one), chain) for one in names]
    return found


def _in_company(
    pages: Sequence[str], findings: Sequence[Sequence[Finding]], credible: Sequence[Sequence[Found]]
) -> list[list[Finding]]:
    """In a document that names no threat of the catalogue, only such new ones as have a cue or are very likely.

    Most documents are about something else, and their names of classes and products look like names of malware.
    """
    if any(one.entity_type in THREATS for page in credible for one in page):
        return [list(page) for page in findings]
    with_cue = {_key(text, one) for text in pages for one in cued(text)}
    return [
        [one for one in page if one.kind not in THREATS or one.probability >= ALONE or _key(text, one) in with_cue]
        for text, page in zip(pages, findings, strict=True)
    ]


def _credible(
    pages: Sequence[str],
    named: Sequence[Sequence[Found]],
    hits: Sequence[Sequence[Hit]],
    read: Sequence[Sequence[Finding]],
) -> list[list[Found]]:
    """The catalogue's names without those that read as other words; of several meanings the one that fits.

    A doubtful name is kept if the labeller, which is not told of it, sees a threat at one of its places.
    """
    found: list[list[Found]] = []
    supported: set[str] = set()
    for page, own in enumerate(named):
        by_span = {(hit.start, hit.end): hit for hit in hits[page]}
        best = [_at(one, read[page]) for one in own]
        supported.update(
            one.entity_id
            for one, seen in zip(own, best, strict=True)
            if seen is not None or not _is_doubtful(pages[page][one.start : one.end], one)
        )
        found.append(
            [_reread(one, by_span.get((one.start, one.end)), seen) for one, seen in zip(own, best, strict=True)]
        )
    return [
        [new for one, new in zip(own, renewed, strict=True) if one.entity_id in supported]
        for own, renewed in zip(named, found, strict=True)
    ]


def _is_doubtful(written: str, one: Found) -> bool:
    """Whether a name of the catalogue is a word of English as well and no word beside it says what it is."""
    plain = written.isalpha() and kind_of(written) != "unknown"
    return plain and one.entity_type in THREATS and one.confidence <= DOUBTFUL


def _at(one: Found, read: Sequence[Finding]) -> Finding | None:
    """The most probable finding of a threat that overlaps a mention."""
    here = [other for other in read if other.start < one.end and one.start < other.end]
    return max(here, key=attrgetter("probability"), default=None)


def _reread(one: Found, hit: Hit | None, best: Finding | None) -> Found:
    """The meaning of the kind that the labeller sees, where a name has one of that kind and is read as another."""
    if hit is None or best is None or best.kind == one.entity_type or best.probability < 0.5:
        return one
    readings = [name.entry for name in hit.names if name.entry.entity_type == best.kind]
    if len(readings) != 1:
        return one
    entry = readings[0]
    return one._replace(entity_id=entry.entity_id, entity_type=entry.entity_type, name=entry.name)


def _finding(text: str, tokens: Sequence[Token], labelled: Labelled) -> Finding:
    """The span without punctuation and a possessive at its ends."""
    start, end = tokens[labelled.first].start, tokens[labelled.last - 1].end
    raw = text[start:end]
    start += len(raw) - len(raw.lstrip(_OUTER))
    written = raw.strip(_OUTER)
    possessive = _POSSESSIVE.search(written)
    if possessive and labelled.kind != "location":
        written = written[: possessive.start()]
    dot = raw.rstrip().endswith(".") and re.search(r"\b(?:Inc|Ltd|Corp|Co|(?:[A-Z]\.)+[A-Z])$", written)
    return Finding(start, start + len(written) + int(bool(dot)), labelled.kind, labelled.probability)


def _is_name(text: str, one: Finding) -> bool:
    """Whether a span can be a name at all: not code, a cell border, a path, or plain words in small letters."""
    written = text[one.start : one.end]
    if not 2 <= len(written) <= 80 or not any(map(str.isalpha, written)) or _CODE.search(written):
        return False
    if text[max(0, one.start - 1) : one.start] in ("\\", "/", "_", "%", "=") or text[one.end : one.end + 1] in (
        "\\",
        "_",
        "=",
    ):
        return one.kind in ("location", "organisation") and text[one.start - 1 : one.start] == "/"
    if written == written.lower() and not any(map(str.isdigit, written)):
        return one.kind in THREATS and one.probability >= SMALL and kind_of(written.split()[0]) == "unknown"
    # "The" and "End" begin sentences.
    return one.kind not in THREATS or len(written) > 3 or kind_of(written) != "frequent"


def _apart(findings: Iterable[Finding]) -> list[Finding]:
    """Of overlapping findings the more probable; in order."""
    found = list(findings)
    threats = [one for one in found if one.kind in THREATS]
    taken: list[Finding] = []
    for one in sorted(found, key=lambda one: (-_weight(one, threats), one.start - one.end, one)):
        if not _overlapping(one, taken):
            taken.append(one)
    return sorted(taken)


def _overlapping(one: Finding, others: Iterable[Finding]) -> bool:
    return any(one.start < other.end and other.start < one.end for other in others)


def _weight(one: Finding, threats: Sequence[Finding]) -> float:
    return one.probability * (PRODUCTS if one.kind == "product" and _overlapping(one, threats) else 1)


def _key(text: str, one: Finding) -> str:
    return normal_name(text[one.start : one.end])


def normal_name(written: str) -> str:
    """A name in small letters on one line, without quotes, a possessive and a word for its kind."""
    plain = " ".join(folded(written).strip(_OUTER).split())
    plain = _POSSESSIVE.sub("", plain)
    return _KIND_WORDS.sub("", plain) or plain


def _settled(pages: Sequence[str], findings: Sequence[Sequence[Finding]]) -> dict[str, str]:
    """The kind that each name of a document has: the one that its findings speak for together."""
    weight: dict[str, dict[str, float]] = {}
    for text, page in zip(pages, findings, strict=True):
        for one in page:
            of_name = weight.setdefault(_key(text, one), {})
            of_name[one.kind] = of_name.get(one.kind, 0.0) + one.probability
    for kinds in weight.values():
        if "product" in kinds and not kinds.keys().isdisjoint(THREATS):
            kinds["product"] *= PRODUCTS
    return {name: max(kinds, key=lambda kind: (kinds[kind], kind)) for name, kinds in weight.items()}


def _linked(text: str, one: Finding, hits: Sequence[Hit]) -> Found:
    written = text[one.start : one.end]
    if one.kind == "location":
        place = place_of(_POSSESSIVE.sub("", written)) or place_of(written.split("-")[0])
        if place is not None:
            return Found(one.start, one.end, f"location:{place.code}", "location", place.name, 0.9, "context")
    entry = _entry(one, hits)
    if entry is not None:
        sure = round(min(0.5 + one.probability * 0.4, 0.85), 3)
        return Found(entry.start, entry.end, entry.entity_id, entry.entity_type, entry.name, sure, "context")
    name = normal_name(written)
    sure = round(0.2 + one.probability * 0.6, 3)
    # Two documents may write a name differently: what is shown must come of the id alone.
    return Found(one.start, one.end, f"{one.kind}:{name}", one.kind, name, sure, "context")


def _entry(one: Finding, hits: Sequence[Hit]) -> Found | None:
    """The catalogue's thing of this kind that the finding is spelled like, its own span given; the longest hit."""
    inside = [hit for hit in hits if one.start <= hit.start and hit.end <= one.end]
    for hit in sorted(inside, key=lambda hit: (hit.start - hit.end, hit.start)):
        readings = [name for name in hit.names if _fits(one.kind, name.entry.entity_type)]
        if len(readings) == 1 and readings[0].proof is not Proof.CATALOGUE:
            entry = readings[0].entry
            return Found(hit.start, hit.end, entry.entity_id, entry.entity_type, entry.name, 0, "context")
    return None


def _fits(kind: str, entity_type: str) -> bool:
    return kind == entity_type or {kind, entity_type} == {"malware", "tool"}


def _merged(named: Sequence[Found], own: Sequence[Found], taken: Sequence[Found]) -> list[Found]:
    """The catalogue's names first, then what overlaps neither them nor the mentions by pattern."""
    kept = sorted(named)
    blocked = sorted([*kept, *taken])
    ends = [one.end for one in blocked]
    for one in own:
        place = bisect_left(ends, one.start + 1)
        if place == len(blocked) or blocked[place].start >= one.end:
            kept.append(one)
    return sorted(kept)


def _repeated(
    pages: Sequence[str], found: Sequence[Sequence[Found]], taken: Sequence[Sequence[Found]]
) -> list[list[Found]]:
    """With the other places where a name that was recognised stands, written alike."""
    sure: dict[str, Found] = {}
    for text, page in zip(pages, found, strict=True):
        for one in page:
            written = text[one.start : one.end]
            named = one.method == "context" and one.entity_type in THREATS and one.confidence >= REPEATED
            if named and _is_telling(written) and (written not in sure or sure[written].confidence < one.confidence):
                sure[written] = one
    if not sure:
        return [list(page) for page in found]
    names = "|".join(re.escape(written) for written in sorted(sure, key=len, reverse=True))
    form = re.compile(rf"(?<![\w.\\/-])(?:{names})(?![\w\\/])(?!\.\w)")
    return [
        _merged(page, [_again(match, sure) for match in form.finditer(text)], by_pattern)
        for text, page, by_pattern in zip(pages, found, taken, strict=True)
    ]


def _again(match: re.Match[str], sure: Mapping[str, Found]) -> Found:
    one = sure[match.group()]
    return one._replace(start=match.start(), end=match.end(), confidence=round(one.confidence * 0.9, 3))


def _is_telling(written: str) -> bool:
    """Whether the letters alone make the name: no word of English is written so."""
    words = re.findall(r"[^\W\d_]+", written)
    return len(written) > 3 and (len(words) > 1 or all(kind_of(word) in ("unknown", "rare") for word in words))

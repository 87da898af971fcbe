"""Names that no list holds, and names that only their sentence tells apart: what was read, linked.

A finding that is spelled like a thing of the catalogue of the same kind is that thing. Any other is an entity of its
own (NIL): its id is its type and its name in small letters, it is shown as the document writes it most often, and it
is less sure.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter

from etl_assets.documents.mentions.cued import Finding, cued
from etl_assets.documents.mentions.found import Found
from etl_assets.documents.mentions.names import Hit, Proof
from etl_assets.documents.mentions.overlaps import Overlaps
from etl_assets.documents.mentions.places import place_of
from etl_assets.documents.mentions.readings import THREATS, counting, key_of, settled_kinds, threats_alone
from etl_assets.documents.mentions.tagging import DOUBTFUL
from etl_assets.documents.mentions.vocabulary import kind_of
from etl_assets.documents.mentions.written import POSSESSIVE, shown_name
from etl_assets.documents.mentions.written import normal_name as normal_name

ALONE = 0.9
"""Probability that a threat's name needs where the document names none of the catalogue, and no cue is beside it."""
CARRIED = (*THREATS, "organisation", "vulnerability")
"""Kinds whose names hold wherever a document writes them alike: places and products are common words too often."""
REPEATED = 0.6
"""Least confidence of a name whose other places in the document are mentions as well."""


def recognised(
    pages: Sequence[str], taken: Sequence[Sequence[Found]], named: Sequence[Sequence[Found]],
    hits: Sequence[Sequence[Hit]], read: Sequence[Sequence[Finding]],
) -> list[list[Found]]:  # fmt: skip
    """The names of one document, by page and in order, none overlapping another or ``taken``.

    ``taken`` are the mentions by pattern, ``named`` the catalogue's names that were judged right, ``hits`` all that
    are spelled like one of its names, ``read`` what ``readings`` gives for them: by page, in order.
    """
    findings = [counting(text, page) for text, page in zip(pages, read, strict=True)]
    kinds = settled_kinds(pages, findings)
    credible = _credible(pages, named, hits, read)
    findings = _in_company(pages, findings, credible)
    found = []
    for page, text in enumerate(pages):
        spelled = Overlaps(hits[page])
        own = [_linked(text, one, spelled) for one in findings[page] if kinds[key_of(text, one)] == one.kind]
        found.append(_merged(credible[page], own, taken[page]))
    return _as_written(pages, _repeated(pages, found, taken))


def _as_written(pages: Sequence[str], found: Sequence[Sequence[Found]]) -> list[list[Found]]:
    """Names of no catalogue in the form that the document writes most often, the first of equals.

    Another document may write the name otherwise: the id is the same, and each states its own form.
    """
    forms: dict[str, Counter[str]] = {}
    for text, page in zip(pages, found, strict=True):
        for one in page:
            if one.method == "context" and one.entity_id == f"{one.entity_type}:{one.name}":
                forms.setdefault(one.entity_id, Counter())[shown_name(text[one.start : one.end])] += 1
    shown = {entity_id: counted.most_common(1)[0][0] for entity_id, counted in forms.items()}
    return [[one._replace(name=shown.get(one.entity_id, one.name)) for one in page] for page in found]


def _in_company(
    pages: Sequence[str], findings: Sequence[Sequence[Finding]], credible: Sequence[Sequence[Found]]
) -> list[list[Finding]]:
    """In a document that names no threat of the catalogue, only such new ones as have a cue or are very likely.

    Most documents are about something else, and their names of classes and products look like names of malware.
    """
    if any(one.entity_type in THREATS for page in credible for one in page):
        return [list(page) for page in findings]
    with_cue = {key_of(text, one) for text in pages for one in cued(text)}
    return [
        [one for one in page if one.kind not in THREATS or one.probability >= ALONE or key_of(text, one) in with_cue]
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
        threats = Overlaps(threats_alone(read[page]))
        best = [max(threats.of(one.start, one.end), key=attrgetter("probability"), default=None) for one in own]
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


def _reread(one: Found, hit: Hit | None, best: Finding | None) -> Found:
    """The meaning of the kind that the labeller sees, where a name has one of that kind and is read as another."""
    if hit is None or best is None or best.kind == one.entity_type or best.probability < 0.5:
        return one
    readings = [name.entry for name in hit.names if name.entry.entity_type == best.kind]
    if len(readings) != 1:
        return one
    entry = readings[0]
    return one._replace(entity_id=entry.entity_id, entity_type=entry.entity_type, name=entry.name)


def _linked(text: str, one: Finding, spelled: Overlaps[Hit]) -> Found:
    written = text[one.start : one.end]
    if one.kind == "location":
        place = place_of(POSSESSIVE.sub("", written)) or place_of(written.split("-")[0])
        if place is not None:
            return Found(one.start, one.end, f"location:{place.code}", "location", place.name, 0.9, "context")
    entry = _entry(one, spelled)
    if entry is not None:
        sure = round(min(0.5 + one.probability * 0.4, 0.85), 3)
        return Found(entry.start, entry.end, entry.entity_id, entry.entity_type, entry.name, sure, "context")
    name = normal_name(written)
    sure = round(0.2 + one.probability * 0.6, 3)
    return Found(one.start, one.end, f"{one.kind}:{name}", one.kind, name, sure, "context")


def _entry(one: Finding, spelled: Overlaps[Hit]) -> Found | None:
    """The catalogue's thing of this kind that the finding is spelled like, its own span given; the longest hit."""
    inside = [hit for hit in spelled.of(one.start, one.end) if one.start <= hit.start and hit.end <= one.end]
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
            named = one.method == "context" and one.entity_type in CARRIED and one.confidence >= REPEATED
            if named and _is_telling(written) and (written not in sure or sure[written].confidence < one.confidence):
                sure[written] = one
    if not sure:
        return [list(page) for page in found]
    from ahocorasick_rs import AhoCorasick, MatchKind

    names = AhoCorasick(sorted(sure), matchkind=MatchKind.LeftmostLongest)
    return [
        _merged(page, _again(text, names.find_matches_as_indexes(text), sure), by_pattern)
        for text, page, by_pattern in zip(pages, found, taken, strict=True)
    ]


_BEFORE = re.compile(r"[\w.\\/-]\Z")
_AFTER = re.compile(r"[\w\\/]|\.\w")


def _again(text: str, places: Sequence[tuple[int, int, int]], sure: Mapping[str, Found]) -> list[Found]:
    """Mentions at the places that are whole words and no part of a path."""
    found = []
    for _, start, end in places:
        if not _BEFORE.search(text, max(0, start - 1), start) and not _AFTER.match(text, end):
            one = sure[text[start:end]]
            found.append(one._replace(start=start, end=end, confidence=round(one.confidence * 0.9, 3)))
    return found


def _is_telling(written: str) -> bool:
    """Whether the letters alone make the name: no everyday word of English is written so."""
    kinds = {kind_of(word) for word in re.findall(r"[^\W\d_]+", written)}
    if len(written) <= 3:
        return len(written) == 3 and written.isalpha() and written.isupper()
    several = bool(re.search(r"[^\W\d_][^\w]+[^\W\d_]", written))
    known = {"unknown", "rare", "proper"} if written[0].isupper() else {"unknown", "rare"}
    return several or written.isupper() or kinds <= known

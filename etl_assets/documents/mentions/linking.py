"""Which thing of the catalogue a name in a document means, if any, judged by spelling, neighbours and document."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter

from etl_assets.documents.mentions.catalogue import Catalogue, Entry
from etl_assets.documents.mentions.found import Found, longest
from etl_assets.documents.mentions.names import Hit, Name, Proof

_ATTACK_ID = re.compile(
    r"[TGSMC](?<![A-Za-z0-9_.\\$#-].)(?:(?<=T)(?:\d{4}(?:[./]\d{3})?|A0\d{3})|(?<=[GSMC])\d{4})(?![A-Za-z0-9_])(?![.-]\d)"
)
_ID_KINDS = {"G": "group", "S": "malware", "M": "mitigation", "C": "campaign"}
_ATTACK_NEAR = re.compile(r"att&ck|mitre|technique|tactic|\bTTPs?\b|mitigation|software id|group id", re.IGNORECASE)

_CUES = {
    "group": r"groups?|actors?|apt|adversar(?:y|ies)|operators?|gang|hackers?|collective|intrusion set|team|attributed"
    r"|nation-state|cybercriminals|syndicate|cartel|espionage|campaigns by|tracked as|tracks as",
    "malware": r"malware|backdoors?|trojans?|ransomware|rats?|implants?|loaders?|botnets?|bots?|worm|wiper|spyware"
    r"|payloads?|stealers?|infostealers?|downloaders?|droppers?|rootkits?|bootkit|webshell|keylogger"
    r"|adware|stalkerware|strains?|infections?|infected with|exploit kit|variants?|raas|affiliates",
    "tool": r"tools?|toolkit|utility|utilities|frameworks?|post-exploitation|open-source|commands?|executable",
    "campaign": r"campaigns?|operations?|operation",
}
_BESIDE = {
    kind: (
        re.compile(rf"\b(?:{words}|(?:also )?(?:known|dubbed|called|named|tracked) as|dubbed|aka|a\.k\.a\.)"
                   r"[\s\"'“‘(*_,:\[-]{1,4}$", re.IGNORECASE),
        re.compile(rf"[\s\"'”’)*_\]-]{{1,4}}(?:[a-z]+ )?(?:{words})\b", re.IGNORECASE),
    )
    for kind, words in _CUES.items()
}  # fmt: skip
_NEAR = {kind: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for kind, words in _CUES.items()}


def attack_ids(text: str, catalogue: Catalogue) -> list[Found]:
    """ATT&CK ids. One the catalogue does not hold (older, newer or no ATT&CK id at all) is less sure."""
    found = []
    for match in _ATTACK_ID.finditer(text):
        written = match.group().replace("/", ".")
        entry = catalogue.by_attack_id.get(written)
        near = _ATTACK_NEAR.search(text, max(0, match.start() - 300), match.end() + 100) is not None
        if entry is not None:
            sure = 0.97 if near or written[0] == "T" else 0.8
            found.append(_of(entry, match.start(), match.end(), sure, "pattern"))
        elif written[0] == "T" or near:
            kind = "tactic" if written[:2] == "TA" else _ID_KINDS.get(written[0], "technique")
            sure = 0.6 if near else 0.4
            found.append(Found(match.start(), match.end(), f"{kind}:{written}", kind, written, sure, "pattern"))
    return found


def _of(entry: Entry, start: int, end: int, confidence: float, method: str) -> Found:
    return Found(start, end, entry.entity_id, entry.entity_type, entry.name, confidence, method)


def judged(pages: Sequence[str], taken: Sequence[Sequence[Found]], hits: Sequence[Sequence[Hit]]) -> list[list[Found]]:
    """What the hits in the pages of one document mean, one list a page, none overlapping another.

    ``taken`` are the mentions found by pattern on each page, in order; ``hits`` overlap none of them.
    """
    if not any(hits):
        return [[] for _ in pages]
    established = {found.entity_id for page in taken for found in page}
    for text, on_page in zip(pages, hits, strict=True):
        established.update(_plainly_named(text, on_page))
    ids = [[f for f in page if f.entity_type in ("technique", "tactic", "group", "malware", "tool", "mitigation")]
           for page in taken]  # fmt: skip
    return [
        longest(found for hit in on_page if (found := _meaning(text, hit, established, near_ids)) is not None)
        for text, on_page, near_ids in zip(pages, hits, ids, strict=True)
    ]


def outside(hits: Sequence[Hit], taken: Sequence[Found]) -> list[Hit]:
    """The hits that overlap none of ``taken``, which are in order: a name inside a URL or a domain is none."""
    ends = [found.end for found in taken]
    return [
        hit
        for hit in hits
        if (place := bisect_left(ends, hit.start + 1)) == len(taken) or taken[place].start >= hit.end
    ]


def _plainly_named(text: str, hits: Iterable[Hit]) -> Iterable[str]:
    """Ids of entries that a document names beyond doubt: by a spelling of its own, or beside a fitting cue."""
    for hit in hits:
        if len(hit.names) > 1:
            continue
        (name,) = hit.names
        alone = name.proof in (Proof.NONE, Proof.PHRASE)
        fitting = name.proof in (Proof.CAPITALS, Proof.CUE) and _capitalised(text[hit.start : hit.end], name)
        if alone or (fitting and _beside(text, hit, name)):
            yield name.entry.entity_id


def _meaning(text: str, hit: Hit, established: set[str], ids: Sequence[Found]) -> Found | None:
    """The most credible reading of one hit, or None when none is credible."""
    readings = [
        (_belief(text, hit, name, established, ids), _preference(name, established), name) for name in hit.names
    ]
    readings = [reading for reading in readings if reading[0] > 0]
    if not readings:
        return None
    if len(readings) == 1:
        belief, _, name = readings[0]
        return _of(name.entry, hit.start, hit.end, belief, "catalogue")
    ranked = sorted(
        ((_fit(text, hit, name.entry.entity_type), preference, belief, name) for belief, preference, name in readings),
        key=lambda reading: (reading[:3], reading[3].entry.entity_id),
        reverse=True,
    )
    fit, preference, belief, name = ranked[0]
    decided = fit > ranked[1][0] or preference[0] > ranked[1][1][0]
    return _of(name.entry, hit.start, hit.end, round(belief * (0.9 if decided else 0.6), 3), "catalogue")


def _belief(text: str, hit: Hit, name: Name, established: set[str], ids: Sequence[Found]) -> float:
    """How sure one reading is by itself, 0 if it is not credible."""
    written = text[hit.start : hit.end]
    sure = 0.75 if name.derived else 0.95 if written == name.written else 0.9
    if name.proof is Proof.NONE:
        # Five small letters are soon a word of another language: Italian has ``conti``.
        doubtful = len(written) <= 5 and written.isalpha() and written.islower() and written != name.written
        return 0 if doubtful and not _beside(text, hit, name) else sure
    if name.proof is Proof.CATALOGUE:
        return _belief_by_id(hit, name, written, ids)
    if name.proof is Proof.PHRASE:
        return 0.85 if written[0].isupper() else 0.65
    if not _capitalised(written, name):
        known = name.entry.entity_id in established or _beside(text, hit, name)
        return 0.7 if known and len(name.written.split()) > 1 and not name.derived else 0
    if _beside(text, hit, name):
        return 0.85 if name.derived else min(sure, 0.88)
    if name.proof is Proof.CAPITALS:
        return min(sure, 0.8) if not _shouted(text, hit) else 0
    if name.entry.entity_id in established and written != written.lower() and len(written) > 3:
        return 0.65
    return 0


def _belief_by_id(hit: Hit, name: Name, written: str, ids: Sequence[Found]) -> float:
    """Everyday words are believed beside their own id, or capitalised near another one."""
    first = bisect_left(ids, hit.start - 80, key=attrgetter("end"))
    near = ids[first : bisect_left(ids, hit.end + 80, key=attrgetter("start"))]
    if any(found.entity_id == name.entry.entity_id for found in near):
        return 0.95
    if name.entry.entity_type == "mitigation" or not near:
        return 0
    own_line = any(abs(found.start - hit.end) < 40 or abs(hit.start - found.end) < 40 for found in near)
    related = any(found.entity_id.split(".")[0] == name.entry.entity_id.split(".")[0] for found in near)
    return 0.6 if written[0].isupper() and (related or (own_line and name.entry.entity_type == "tactic")) else 0


def _capitalised(written: str, name: Name) -> bool:
    if written == name.written:
        return True
    words = [word for word in re.split(r"[\s-]+", written) if len(word) > 3] or [written]
    if name.proof is Proof.CUE or name.written == name.written.lower():
        return written in (name.written.capitalize(), name.written.upper()) and len(written) > 3
    if len(words) == 1 and name.written.isupper():
        # ELECTRUM is a group, Electrum a wallet: the capitals are the name.
        return written.isupper()
    return all(word[0].isupper() for word in words if word not in ("group", "team"))


def _shouted(text: str, hit: Hit) -> bool:
    """Whether the words around are in capitals as well, so that capitals prove nothing."""
    around = text[max(0, hit.start - 25) : hit.start] + text[hit.end : hit.end + 25]
    letters = [character for character in around if character.isalpha()]
    return len(letters) > 8 and sum(map(str.isupper, letters)) > 0.8 * len(letters)


def _beside(text: str, hit: Hit, name: Name) -> bool:
    """Whether a word that says what kind of thing it is stands right before or after."""
    kind = "malware" if name.entry.entity_type == "malware" else name.entry.entity_type
    kinds = ("malware", "tool") if kind in ("malware", "tool") else (kind,)
    for cue in kinds:
        if cue not in _BESIDE:
            continue
        before, after = _BESIDE[cue]
        if before.search(text, max(0, hit.start - 40), hit.start) or after.match(text, hit.end, hit.end + 40):
            return True
    return False


def _fit(text: str, hit: Hit, entity_type: str) -> int:
    """How well the surroundings fit a kind of thing: 2 a cue beside it, 1 one in reach, 0 none."""
    cue = _NEAR.get(entity_type)
    if cue is None:
        return 0
    before, after = _BESIDE[entity_type]
    if after.match(text, hit.end, hit.end + 40) or before.search(text, max(0, hit.start - 40), hit.start):
        return 2
    return 1 if cue.search(text, max(0, hit.start - 60), hit.end + 60) else 0


def _preference(name: Name, established: set[str]) -> tuple[int, int, int, int, int]:
    """Which of several things of one name is meant when nothing around tells: the better known, the more general."""
    entry = name.entry
    return (
        int(entry.entity_id in established),
        int(not name.derived) + int(name.written == entry.name),
        int(entry.entity_type == "group"),
        int("enterprise-attack" in entry.domains),
        -len(entry.attack_id),
    )

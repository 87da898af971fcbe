"""Quality and speed of mentions beside a plain baseline, in one run: ``python benchmarks/mentions.py [--split train]``.

Data (``ETL_SHARED_DATA``, default ``../shared/data``): AnnoCTR (names and their ATT&CK links), CyNER (indicators).
The rules were tuned on the train splits only; ``--split dev`` (the default) reads AnnoCTR dev and CyNER valid.

Baseline: every catalogue name, case-insensitive, whole words, longest first, the first entry of a name; and for
indicators one textbook regex each, on refanged text.

AnnoCTR: an occurrence is right when its text and its entity are among the links of the document, as often as there.
``NIL`` counts those that are said to be absent from ATT&CK against those marked so. ``names`` counts the text and the
type alone, all of them. Techniques and tactics are
marked as whole clauses, most without their name, and never below the technique: for them each pair of a document and
a technique counts once. CyNER has no types: a found
indicator is right when it overlaps one marked Indicator; recall is over those marked that have the form of an
address, a host name, a URL, an e-mail address or a digest (file and package names and ports are out of scope).
"""

import argparse
import gzip
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from etl_assets.documents.mentions.catalogue import Catalogue, Entry
from etl_assets.documents.mentions.defanging import refanged
from etl_assets.documents.mentions.find import mentions_in
from etl_assets.documents.mentions.found import Found, entity, longest
from etl_assets.documents.mentions.hosts import has_known_suffix

DATA = Path(os.environ.get("ETL_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
KINDS = {"group": "group", "malware": "software", "tool": "software", "technique": "technique", "tactic": "tactic"}
GOLD_KINDS = {"GROUP": "group", "MALWARE": "software", "TOOL": "software", "TECHNIQUE": "technique", "TACTIC": "tactic"}
INDICATORS = ("ipv4", "ipv6", "domain", "url", "email", "md5", "sha1", "sha256", "sha512")
Finder = Callable[[str], list[Found]]
Counts = dict[str, list[int]]


def baseline(catalogue: Catalogue) -> Finder:
    """The plain gazetteer and the textbook regexes, see the module's text."""
    by_name: dict[str, Entry] = {}
    for entry in catalogue.entries:
        for name in (entry.name, *entry.aliases):
            by_name.setdefault(name.lower(), entry)
    names = re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(by_name, key=len, reverse=True))) + r")\b")
    forms = {
        "url": r"h(?:tt|xx)ps?://\S+", "email": r"[\w.]+@[\w.]+\.\w+", "ipv4": r"\d{1,3}(?:\.\d{1,3}){3}",
        "domain": r"(?:[\w-]+\.)+[a-z]{2,}", "md5": r"\b[0-9a-fA-F]{32}\b", "sha1": r"\b[0-9a-fA-F]{40}\b",
        "sha256": r"\b[0-9a-fA-F]{64}\b",
    }  # fmt: skip

    def find(text: str) -> list[Found]:
        found = []
        for match in names.finditer(text.lower()):
            entry = by_name[match.group()]
            found.append(Found(*match.span(), entry.entity_id, entry.entity_type, entry.name, 1, "catalogue"))
        # As long as before, so that spans stay true.
        plain = re.sub(r" ?\[ ?\. ?\] ?", lambda dot: ".".ljust(len(dot.group()), "\x00"), text)
        for kind, form in forms.items():
            found += [entity(*match.span(), kind, match.group(), 1) for match in re.finditer(form, plain)]
        return longest(found)

    return find


def annoctr(split: str) -> Iterator[tuple[str, Counter[tuple[str, str, str]]]]:
    """Text and links of every report; a link is (kind, folded mention, ATT&CK id or "" when absent from ATT&CK)."""
    links: dict[str, Counter[tuple[str, str, str]]] = {}
    with gzip.open(DATA / "annoctr" / split / "linking_mitre.jsonl.gz", "rt", encoding="utf-8") as lines:
        for link in map(json.loads, lines):
            if link["entity_type"] in GOLD_KINDS and (link["entity_class"] == "CE" or link["entity_type"][0] == "T"):
                of_document = links.setdefault(link["document"], Counter())
                known = "attack.mitre.org" in link["label_link"]
                attack_id = ".".join(link["label_link"].rstrip("/").split("/")[4:]) if known else ""
                mention = " ".join(link["mention"].lower().split())
                of_document[GOLD_KINDS[link["entity_type"]], mention, attack_id] += 1
    for path in sorted((DATA / "annoctr" / split / "text").glob("*.txt")):
        yield path.read_text("utf-8"), links.get(path.stem, Counter())


def count_names(find: Finder, split: str) -> tuple[Counts, Counts, Counts]:
    """[right, found, marked] per kind: linked to the marked ATT&CK id; said to be absent from ATT&CK, and marked so;
    and the marked text of the kind alone."""
    linked: Counts = {}
    absent: Counts = {}
    named: Counts = {}
    attack_ids = Catalogue.load().by_attack_id
    for text, marked in annoctr(split):
        found: Counter[tuple[str, str, str]] = Counter()
        for mention in find(text):
            if mention.entity_type in KINDS:
                written = " ".join(text[mention.start : mention.end].lower().split())
                known = mention.entity_id.partition(":")[2] in attack_ids
                found[KINDS[mention.entity_type], written, mention.entity_id.partition(":")[2] if known else ""] += 1
        for kind in set(KINDS.values()):
            gold = Counter({key: n for key, n in marked.items() if key[0] == kind})
            mine = Counter({key: n for key, n in found.items() if key[0] == kind})
            if kind in ("technique", "tactic"):
                _add(linked, kind, _behaviours(mine), _behaviours(gold))
                continue
            _add(linked, kind, *(Counter({key: n for key, n in side.items() if key[2]}) for side in (mine, gold)))
            _add(absent, kind, *(Counter({key: n for key, n in side.items() if not key[2]}) for side in (mine, gold)))
            _add(named, kind, _texts(mine), _texts(gold))
    return linked, absent, named


def _behaviours(keys: Counter[tuple[str, str, str]]) -> Counter[tuple[str, ...]]:
    return Counter({(kind, attack_id.split(".")[0]): 1 for kind, _, attack_id in keys if attack_id})


def _texts(keys: Counter[tuple[str, str, str]]) -> Counter[tuple[str, ...]]:
    texts: Counter[tuple[str, ...]] = Counter()
    for key, count in keys.items():
        texts[key[:2]] += count
    return texts


def _add(counts: Counts, kind: str, found: "Counter[Any]", gold: "Counter[Any]") -> None:
    row = counts.setdefault(kind, [0, 0, 0])
    for place, value in enumerate(((found & gold).total(), found.total(), gold.total())):
        row[place] += value


def cyner(split: str) -> tuple[str, list[tuple[int, int]]]:
    """The tokens joined by blanks (sentences are broken inside ``[ . ]``, so they are joined too), marked spans."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for line in (DATA / "cyner" / f"{split}.txt").read_text("utf-8").splitlines():
        token, _, label = line.rpartition("\t")
        if not token:
            continue
        if label == "B-Indicator":
            spans.append((position, position + len(token)))
        elif label == "I-Indicator" and spans:
            spans[-1] = (spans[-1][0], position + len(token))
        pieces.append(token)
        position += len(token) + 1
    return " ".join(pieces), spans


def in_scope(written: str) -> bool:
    """Whether a marked indicator has one of the forms looked for, by its characters alone."""
    packed = written.replace(" ", "")
    if re.match(r"h(?:tt|xx)ps?:|(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})$", packed):
        return True
    plain = refanged(packed.removesuffix("[."))
    if packed.endswith("[.") or re.fullmatch(r"\d+(?:\.\d+){3}", plain):
        return True
    labels = plain.lower().split(".")
    if labels[0] in ("com", "org", "net") or labels[-1] in ("app", "so", "cab"):
        return False
    return plain.isascii() and has_known_suffix(plain.lower())


def count_indicators(find: Finder, split: str) -> list[int]:
    """[found that are marked, found, marked and found, marked] of CyNER's indicators in scope."""
    text, spans = cyner(split)
    mine = [f for f in find(text) if f.entity_type in INDICATORS]
    gold = [(start, end) for start, end in spans if in_scope(text[start:end])]
    right = [f for f in mine if any(start < f.end and f.start < end for start, end in spans)]
    recalled = [1 for start, end in gold if any(start < f.end and f.start < end for f in mine)]
    return [len(right), len(mine), len(recalled), len(gold)]


def rates(right: int, found: int, recalled: int, marked: int) -> str:
    """Precision, recall and F1 as text; an empty denominator counts as 1."""
    precision, recall = right / max(found, 1), recalled / max(marked, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return f"P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}  ({found} found, {marked} marked)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--split", choices=("train", "dev"), default="dev")
    split = parser.parse_args().split
    begun = time.process_time()
    catalogue = Catalogue.load()
    _ = catalogue.names
    print(f"catalogue built in {time.process_time() - begun:.3f} CPU s")
    finders = {"mentions": lambda text: mentions_in([text], catalogue)[0], "baseline": baseline(catalogue)}
    for name, find in finders.items():
        linked, absent, named = count_names(find, split)
        for kind in sorted(linked):
            right, found, marked = linked[kind]
            print(f"{name:9} AnnoCTR {split} links {kind:10} {rates(right, found, right, marked)}")
            if kind in absent and absent[kind][1]:
                right, found, marked = absent[kind]
                print(f"{name:9} AnnoCTR {split} NIL   {kind:10} {rates(right, found, right, marked)}")
            if kind in named:
                right, found, marked = named[kind]
                print(f"{name:9} AnnoCTR {split} names {kind:10} {rates(right, found, right, marked)}")
        part = "valid" if split == "dev" else "train"
        print(f"{name:9} CyNER {part} indicators {'':9} {rates(*count_indicators(find, part))}")
    texts = [text for text, _ in annoctr(split)]
    speed = {}
    for name, find in finders.items():
        begun = time.process_time()
        for text in texts:
            find(text)
        speed[name] = sum(map(len, texts)) / 1e6 / (time.process_time() - begun)
        print(f"{name:9} {speed[name]:.1f} MB/cpu-s")
    print(f"speed, times the baseline: {speed['mentions'] / speed['baseline']:.1f}")


if __name__ == "__main__":
    main()

"""Entities of every type beside a baseline, in one run: ``python benchmarks/entities.py [--split train]``.

Data (``ETL_SHARED_DATA``, default ``../shared/data``): AnnoCTR (organisations, places, sectors, malware, tools, groups,
dates and their normal forms) and CyNER (malware, products, organisations, vulnerabilities). The labeller was trained,
and every threshold chosen, on the train parts; ``--split dev`` (the default) reads AnnoCTR dev and CyNER valid.

``exact``: both ends of the span and the type are those that people marked. ``touch``: it overlaps one of the type.
People marked CVE numbers as vulnerabilities, so they count as such here. ``NIL``: the same for malware and groups whose
marked name the catalogue does not hold. ``dates``: text and normal form.
Baseline: the catalogue's names alone, as ``mentions`` found them before there was a labeller. Embedding's speed is
measured in the same run on the same text, for the share of its time that mentions and relations take.

``--sample 50`` prints so many indicators and so many other mentions of the shared documents (advisories, standards,
guides, vendor reports), drawn by digest, each entity of a document once, to be judged by a reader, and nothing else.
"""

import argparse
import hashlib
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.find import known_names, mentions_in
from etl_assets.documents.mentions.found import Found
from etl_assets.documents.parsing.parser import parse
from etl_assets.documents.relations.find import relations_in
from etl_assets.documents.relations.statement import Named
from training.annotated import DATA, Annotated, annoctr, cyner

KINDS = {
    "AnnoCTR": {"ORG": "organisation", "LOC": "location", "SECTOR": "sector", "MALWARE": "malware", "TOOL": "tool",
                "GROUP": "group", "DATE": "date"},
    "CyNER": {"Malware": "malware", "System": "product", "Organization": "organisation",
              "Vulnerability": "vulnerability"},
}  # fmt: skip
COUNTED = {"vulnerability": ("vulnerability", "cve")}
"""Types of the product that count as one of the corpora, where it is not the one of the same name."""
INDICATORS = frozenset("ipv4 ipv6 domain url email md5 sha1 sha256 sha512 cve cwe".split())
Spans = list[tuple[int, int]]


def touching(spans: Spans, others: Spans) -> int:
    """How many of ``spans`` overlap one of ``others``."""
    return sum(any(start < end and begin < stop for begin, end in others) for start, stop in spans)


def rates(found: int, marked: int, right: int, recalled: int) -> str:
    precision, recall = right / max(found, 1), recalled / max(marked, 1)
    return f"P {precision:.3f} R {recall:.3f} F1 {2 * precision * recall / max(precision + recall, 1e-9):.3f}"


def compare(
    title: str, documents: Sequence[Annotated], found: Sequence[Sequence[Found]], kinds: dict[str, str]
) -> None:
    """One line a type of entity that people marked."""
    for kind in sorted(set(kinds.values())):
        sums = [0, 0, 0, 0, 0]
        for document, mentions in zip(documents, found, strict=True):
            gold = [(start, end) for start, end, label in document.spans if kinds.get(label) == kind]
            mine = [(one.start, one.end) for one in mentions if one.entity_type in COUNTED.get(kind, (kind,))]
            exact = len(set(gold) & set(mine))
            for place, value in enumerate((len(mine), len(gold), exact, touching(mine, gold), touching(gold, mine))):
                sums[place] += value
        mine_count, gold_count, exact, right, recalled = sums
        if gold_count and mine_count:
            whole, part = (exact, exact), (right, recalled)
            print(f"{title:18} {kind:13} exact {rates(mine_count, gold_count, *whole)}"
                  f"   touch {rates(mine_count, gold_count, *part)}  ({mine_count}/{gold_count})")  # fmt: skip


def unlisted(documents: Sequence[Annotated], found: Sequence[Sequence[Found]], catalogue: Catalogue) -> None:
    """Malware and groups that people marked and the catalogue's names do not touch."""
    listed = {name.lower() for entry in catalogue.entries for name in (entry.name, *entry.aliases)}
    for label, kind in (("MALWARE", "malware"), ("GROUP", "group")):
        gold_count = recalled = mine_count = right = 0
        for document, mentions in zip(documents, found, strict=True):
            gold = [(start, end) for start, end, of in document.spans if of == label]
            nil = [(start, end) for start, end in gold if document.text[start:end].lower() not in listed]
            mine = [(one.start, one.end) for one in mentions if one.entity_type == kind and one.method == "context"]
            gold_count, recalled = gold_count + len(nil), recalled + touching(nil, mine)
            mine_count, right = mine_count + len(mine), right + touching(mine, gold)
        print(f"{'AnnoCTR NIL':18} {kind:13} touch {rates(mine_count, gold_count, right, recalled)}"
              f"  ({mine_count}/{gold_count})")  # fmt: skip


def normal_dates(documents: Sequence[Annotated], found: Sequence[Sequence[Found]], split: str) -> None:
    """The normal forms of each report, as a bag, beside those of the TimeML files; forms other than dates left out."""
    right = mine_count = gold_count = 0
    for document, mentions in zip(documents, found, strict=True):
        text = (DATA / "annoctr" / split / "timeml" / f"{document.name}.tml").read_text("utf-8").partition("<TEXT>")[2]
        gold = re.findall(r'<TIMEX3[^>]*value="(\d{4}(?:-\d\d){0,2})"', text)
        mine = [one.name for one in mentions if one.entity_type == "date"]
        right += sum(min(gold.count(value), mine.count(value)) for value in set(gold))
        mine_count, gold_count = mine_count + len(mine), gold_count + len(gold)
    print(f"{'AnnoCTR TimeML':18} {'date':13} value {rates(mine_count, gold_count, right, right)}")


def embedding_speed(texts: Iterable[str]) -> float:
    """CPU seconds a million code points of the default embedder, on the first 60,000 of them."""
    from etl_assets.backends.onnx_embedder import OnnxEmbedder, minilm_model

    sample = "\n".join(texts)[:60_000]
    pieces = [sample[low : low + 800] for low in range(0, len(sample), 800)]
    with tempfile.TemporaryDirectory() as cache:
        model = OnnxEmbedder(minilm_model(Path(cache)), threads=1)
        model.embed_documents(pieces[:2])
        begun = time.process_time()
        model.embed_documents(pieces)
        return (time.process_time() - begun) / (len(sample) / 1e6)


def speeds(documents: Sequence[Annotated], catalogue: Catalogue) -> None:
    size = sum(len(document.text) for document in documents) / 1e6
    begun = time.process_time()
    found = [mentions_in([document.text], catalogue)[0] for document in documents]
    mentions = (time.process_time() - begun) / size
    begun = time.process_time()
    for document, here in zip(documents, found, strict=True):
        relations_in(document.text, [Named(*one[:6]) for one in here])
    relations = (time.process_time() - begun) / size
    embedding = embedding_speed(document.text for document in documents)
    print(f"CPU seconds a million code points: mentions {mentions:.2f}, relations {relations:.2f}, embedding"
          f" {embedding:.2f}; both stages take {(mentions + relations) / embedding:.2f} of embedding")  # fmt: skip


def read_by_people(catalogue: Catalogue, count: int) -> None:
    """Prints ``count`` indicators and ``count`` other mentions of the shared documents."""
    drawn: list[tuple[bytes, bool, str]] = []
    for path in sorted(path for path in (DATA / "documents" / "docs").rglob("*") if path.is_file()):
        pages = [page.text for page in parse(path, name=path.name, content_type=None).pages]
        seen: set[str] = set()
        for number, (text, found) in enumerate(zip(pages, mentions_in(pages, catalogue), strict=True), start=1):
            for one in found:
                if one.entity_id not in seen:
                    seen.add(one.entity_id)
                    digest = hashlib.sha256(repr((path.name, number, one.start)).encode()).digest()
                    drawn.append((digest, one.entity_type in INDICATORS, shown(path, text, one)))
    for is_indicator in (True, False):
        for _, _, line in sorted(row for row in drawn if row[1] is is_indicator)[:count]:
            print(line)


def shown(path: Path, text: str, one: Found) -> str:
    """A mention in its sentence, on a line."""
    parts = (text[max(0, one.start - 50) : one.start], text[one.start : one.end], text[one.end : one.end + 40])
    before, name, behind = (" ".join(part.split()) for part in parts)
    return f"{one.entity_type:13} {one.confidence:.2f} {path.parent.name:20} {before} [[{name}]] {behind}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--split", choices=("train", "dev"), default="dev")
    parser.add_argument("--sample", type=int, default=0)
    arguments = parser.parse_args()
    split, catalogue = arguments.split, Catalogue.load()
    if arguments.sample:
        read_by_people(catalogue, arguments.sample)
        return
    for corpus, documents in (("AnnoCTR", annoctr(split)), ("CyNER", cyner("valid" if split == "dev" else "train"))):
        alone = [known_names([document.text], catalogue)[1][0] for document in documents]
        found = [mentions_in([document.text], catalogue)[0] for document in documents]
        compare(f"{corpus} baseline", documents, alone, KINDS[corpus])
        compare(corpus, documents, found, KINDS[corpus])
        if corpus == "AnnoCTR":
            unlisted(documents, found, catalogue)
            normal_dates(documents, found, split)
            speeds(documents, catalogue)


if __name__ == "__main__":
    main()

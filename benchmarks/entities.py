"""Entities of every type beside a baseline, in one run: ``python benchmarks/entities.py [--split train]``.

Data (``ETL_SHARED_DATA``, default ``../shared/data``): AnnoCTR (organisations, places, sectors, malware, tools, groups,
dates and their normal forms) and CyNER (malware, products, organisations, vulnerabilities). The labeller was trained,
and every threshold chosen, on the train parts; ``--split dev`` (the default) reads AnnoCTR dev and CyNER valid.

``exact``: both ends of the span and the type are those that people marked. ``touch``: it overlaps one of the type.
``NIL``: the same for malware and groups whose marked name the catalogue does not hold. ``dates``: text and normal form.
Baseline: the catalogue's names alone, as ``mentions`` found them before there was a labeller. Embedding's speed is
measured in the same run on the same text, for the share of its time that mentions and relations take.
"""

import argparse
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
from etl_assets.documents.relations.find import relations_in
from etl_assets.documents.relations.statement import Named
from training.annotated import DATA, Annotated, annoctr, cyner

KINDS = {
    "AnnoCTR": {"ORG": "organisation", "LOC": "location", "SECTOR": "sector", "MALWARE": "malware", "TOOL": "tool",
                "GROUP": "group", "DATE": "date"},
    "CyNER": {"Malware": "malware", "System": "product", "Organization": "organisation",
              "Vulnerability": "vulnerability"},
}  # fmt: skip
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
            mine = [(one.start, one.end) for one in mentions if one.entity_type == kind]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--split", choices=("train", "dev"), default="dev")
    split = parser.parse_args().split
    catalogue = Catalogue.load()
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

"""Relations beside a baseline, in one run: ``python benchmarks/relations.py [--half train] [--sample 50]``.

Data (``ETL_SHARED_DATA``, default ``../shared/data``): the relations that ATT&CK states, each with the sentence it
cites, in two halves by source; the rules were tuned on the ``train`` half and on AnnoCTR train, ``test`` is read.

``named``: the sentence names both ends in a spelling of the catalogue; of these ``found`` are read as the same pair in
the same direction. Most techniques are paraphrased, and cannot be found by name. ``extra`` are pairs that the sentence
gives beside the stated one, many of them true. Baseline: every pair of an actor and another thing of one sentence.

``--sample`` prints relations of reports that nothing was tuned on (AnnoCTR dev, vendor reports), drawn by digest,
to be judged by a reader: precision is what a person says, no figure of this program.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.find import known_names, mentions_in
from etl_assets.documents.relations.find import relations_in
from etl_assets.documents.relations.statement import Named, Statement
from training.annotated import DATA, annoctr
from training.stated_relations import stated_relations

ACTORS = ("group", "malware", "tool", "campaign")
Pair = tuple[str, str]
Reader = Callable[[str, Sequence[Named]], set[Pair]]


def by_rule(text: str, mentions: Sequence[Named]) -> set[Pair]:
    return {(one.subject.entity_id, one.object.entity_id) for one in relations_in(text, mentions) if not one.negated}


def together(text: str, mentions: Sequence[Named]) -> set[Pair]:
    """The baseline: all that stands in one text with an actor before it."""
    del text
    return {
        (one.entity_id, other.entity_id)
        for place, one in enumerate(mentions)
        for other in mentions[place + 1 :]
        if one.entity_type in ACTORS and one.entity_id != other.entity_id
    }


def count(reader: Reader, half: str, catalogue: Catalogue) -> tuple[list[int], float]:
    """[stated, named, found, extra] and seconds of CPU a million code points, mentions not counted."""
    sums, size, spent = [0, 0, 0, 0], 0, 0.0
    for stated in stated_relations(half):
        ids = [catalogue.by_attack_id[one].entity_id for one in (stated.source_id, stated.target_id)
               if one in catalogue.by_attack_id]  # fmt: skip
        by_pattern, by_name, _ = known_names([stated.text], catalogue)
        mentions = [Named(*one[:6]) for one in sorted([*by_pattern[0], *by_name[0]])]
        sums[0] += 1
        if len(ids) < 2 or not set(ids) <= {one.entity_id for one in mentions}:
            continue
        begun = time.process_time()
        pairs = reader(stated.text, mentions)
        spent, size = spent + time.process_time() - begun, size + len(stated.text)
        right = (ids[0], ids[1]) in pairs
        sums[1], sums[2], sums[3] = sums[1] + 1, sums[2] + right, sums[3] + len(pairs) - right
    return sums, spent / (size / 1e6)


def unseen(catalogue: Catalogue) -> Iterator[tuple[str, str, Statement]]:
    texts = {report.name: report.text for report in annoctr("dev")}
    for path in sorted((DATA / "documents" / "docs" / "vendor-reports-text").glob("*.txt")):
        texts[path.stem] = path.read_text("utf-8")
    for name, text in texts.items():
        mentions = [Named(*one[:6]) for one in mentions_in([text], catalogue)[0]]
        yield from ((name, text, one) for one in relations_in(text, mentions))


def shown(name: str, text: str, one: Statement) -> str:
    sentence = " ".join(text[one.start : one.end].split())
    said = f"{'NOT ' if one.negated else ''}{one.certainty}, {one.confidence:.2f}, {one.method}"
    return f"{one.subject.name} {one.kind} {one.object.name} ({said}; {name})\n    {sentence}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--half", choices=("train", "test"), default="test")
    parser.add_argument("--sample", type=int, default=0)
    arguments = parser.parse_args()
    catalogue = Catalogue.load()
    for name, reader in (("relations", by_rule), ("baseline", together)):
        (stated, named, found, extra), speed = count(reader, arguments.half, catalogue)
        print(f"{name:9} ATT&CK {arguments.half}: {stated} stated, {named} named, found {found / named:.3f} of these,"
              f" {extra / named:.2f} extra a sentence; {speed:.2f} CPU s a million code points")  # fmt: skip
    if arguments.sample:
        drawn = sorted(unseen(catalogue), key=lambda one: hashlib.sha256(repr(one[::2]).encode()).digest())
        for one in drawn[: arguments.sample]:
            print(shown(*one))


if __name__ == "__main__":
    main()

"""Trains the technique classifier: ``python -m training.techniques [--cross-validate]``, two minutes on one core.

Data (``ETL_SHARED_DATA``, default ``../shared/data``): TRAM's labelled sentences, the sentences with which ATT&CK
states that a group, malware, tool or campaign uses a technique, ATT&CK's descriptions, and AnnoCTR's train part. What
states no technique is taken from sentences of AnnoCTR's train part that nothing is marked in, and from documents
about no attack. Labels are TRAM's fifty; a sub-technique of one of them counts as it.
"""

import argparse
import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import vstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.svm import LinearSVC

from etl_assets.documents.classification.linear import LinearModel
from etl_assets.documents.classification.techniques import CONTRAST, THRESHOLD
from etl_assets.documents.parsing.parser import parse
from etl_assets.documents.sentences import units
from training.fitting import DATA, blocks_of, matrix, model, write

FILE = "techniques.npz"
NONE = ""
FOLDS = 5
SHORTEST = 15
"""Code points of a sentence that is learned from as a whole."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """``label`` is "" where no technique is stated; ``report`` is what must not be on both sides of a split."""

    text: str
    label: str
    report: str


def tram() -> list[Sentence]:
    """Sentences that people labelled, by report."""
    records = json.loads((DATA / "tram" / "single_label.json").read_text("utf-8"))
    return [Sentence(one["text"], one["label"], one["doc_title"]) for one in records]


def folded(technique: str, labels: frozenset[str]) -> str:
    """The label that a technique of another edition of ATT&CK counts as, "" for none."""
    moved = {"T1574.001": "T1574.002"}.get(technique, technique)
    parent = moved.partition(".")[0]
    return moved if moved in labels else parent if parent in labels else NONE


def attack(labels: frozenset[str]) -> Iterator[Sentence]:
    """What ATT&CK writes about its techniques, names of groups and software taken out."""
    for record in _lines("attack-catalog/relationships.jsonl.gz"):
        if record["type"] == "uses" and record["domain"] == "enterprise-attack" and record["text"]:
            label = folded(record["target_id"], labels)
            yield Sentence(_without_subject(_plain(record["text"]), record["source_name"]), label, "attack")
    for record in _lines("attack-catalog/objects.jsonl.gz"):
        if record["type"] == "attack-pattern" and "enterprise-attack" in record["domains"]:
            label = folded(record["attack_id"], labels)
            yield Sentence(_plain(f"{record['name']}. {record['description']}"), label, "attack")


def annoctr_examples(labels: frozenset[str]) -> Iterator[Sentence]:
    """Techniques marked in AnnoCTR's train part, and the example sentences that its list of techniques has."""
    found = set()
    for record in _lines("annoctr/train/linking_mitre.jsonl.gz"):
        if record["entity_type"] == "TECHNIQUE" and "attack.mitre.org/techniques" in record["label_link"]:
            found.add((record["mention"], _from_link(record["label_link"])))
    for record in _lines("annoctr/mitre_entity.jsonl.gz"):
        if record["entity_type"] == "techniques":
            found.update((_plain(text), _from_link(record["idx"])) for text in record["entity_context"])
    for text, technique in sorted(found):
        yield Sentence(text, folded(technique, labels), "annoctr")
    # Whole sentences in which one is marked: else a whole sentence of a report would look like one that has none.
    for text, is_marked in marked_sentences("train"):
        if is_marked and len(text) > SHORTEST:
            yield Sentence(text, NONE, "annoctr")


def marked_sentences(split: str) -> Iterator[tuple[str, bool]]:
    """Sentences of AnnoCTR, and whether a technique is marked in them, by name or by what is done."""
    words: list[str] = []
    marked = False
    with gzip.open(DATA / "annoctr" / split / "ner.bio.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            columns = line.rstrip("\n").split("\t")
            if len(columns) < 7 or columns[0] == "<DOCSTART>":
                if len(words) > 3:
                    yield " ".join(words), marked
                words, marked = [], False
                continue
            words.append(columns[0])
            marked = marked or "TECHNIQUE" in columns[4] + columns[5] or "TACTIC" in columns[4] + columns[5]


def nothing_stated() -> list[Sentence]:
    """Sentences in which no technique is stated."""
    found = [Sentence(text, NONE, "annoctr") for text, is_marked in marked_sentences("train") if not is_marked]
    for folder in ("nist-sp800", "owasp-cheatsheets", "owasp-top10", "prometheus-docs", "vendor-reports-text"):
        for path in sorted((DATA / "documents" / "docs" / folder).glob("*.[pmt][dx]*")):
            for page in parse(path, name=path.name, content_type=None).pages:
                found += [Sentence(page.text[one.start : one.end], NONE, "documents") for one in units(page.text)]
    return [one for one in found if len(one.text) > SHORTEST]


def fitted(stated: Sequence[Sentence], silent: Sequence[Sentence]) -> LinearModel:
    """Labels are the techniques and, last, "": whether the sentence states one at all."""
    texts = [one.text for one in stated]
    blocks = blocks_of([*texts, *(one.text for one in silent)])
    positive, negative = matrix(blocks, texts), matrix(blocks, [one.text for one in silent])
    labelled = [row for row, one in enumerate(stated) if one.label]
    which = LinearSVC(C=0.3, random_state=0).fit(positive[labelled], [stated[row].label for row in labelled])
    is_one = np.r_[np.ones(positive.shape[0]), np.zeros(negative.shape[0])]

    states = LogisticRegression(C=4, max_iter=300, class_weight="balanced").fit(
        vstack([positive, negative]).tocsr(), is_one
    )
    weights = np.vstack([which.coef_, states.coef_])
    return model(FILE, [*which.classes_, NONE], blocks, weights, np.r_[which.intercept_, states.intercept_])


def out_of_fold(
    reports: Sequence[Sentence], others: Sequence[Sentence], silent: Sequence[Sentence]
) -> tuple[Any, Any, tuple[str, ...]]:
    """Margins of every sentence of ``reports`` and of ``silent`` by models that saw neither it nor its report."""
    groups = [one.report for one in reports]
    parts = np.array([int(hashlib.blake2b(one.text.encode()).hexdigest()[:8], 16) % FOLDS for one in silent])
    margins, quiet, labels = np.zeros((len(reports), 0)), np.zeros((len(silent), 0)), ()
    folds = GroupKFold(FOLDS, shuffle=True, random_state=0).split(reports, groups=groups)
    for fold, (train, test) in enumerate(folds):
        kept = [one for one, part in zip(silent, parts, strict=True) if part != fold]
        one_model = fitted([*(reports[row] for row in train), *others], kept)
        labels = labels or one_model.labels
        if not margins.size:
            margins, quiet = np.zeros((len(reports), len(labels))), np.zeros((len(silent), len(labels)))
        margins[test] = one_model.margins([reports[row].text for row in test])
        quiet[parts == fold] = one_model.margins(
            [one.text for one, part in zip(silent, parts, strict=True) if part == fold]
        )
    return margins, quiet, labels


def calibration(margins: Any, right: Any, labels: tuple[str, ...], quiet: Any) -> dict[str, Any]:
    """How margins become shares: one temperature over the techniques, and a line for whether one is stated."""
    columns = np.array([labels.index(label) for label in right])

    def loss(temperature: float) -> float:
        scaled = temperature * margins[:, :-1]
        scaled = scaled - scaled.max(1, keepdims=True)
        return float(-(scaled[np.arange(len(columns)), columns] - np.log(np.exp(scaled).sum(1))).mean())

    temperature = min(np.arange(0.5, 12, 0.1), key=loss)
    seen = np.vstack([signs_of_one(margins), signs_of_one(quiet)])
    is_one = np.r_[np.ones(len(margins)), np.zeros(len(quiet))]
    line = LogisticRegression(C=1e6, class_weight="balanced").fit(seen, is_one)
    return {"temperature": np.float32(temperature), "stated": np.float32([*line.coef_[0], line.intercept_[0]])}


def signs_of_one(margins: Any) -> Any:
    """What tells that a technique is stated: the margin of that question, that of the likeliest, and its lead."""
    best = margins[:, :-1].max(1, keepdims=True)
    lead = -np.log(np.exp(CONTRAST * (margins[:, :-1] - best)).sum(1))
    return np.c_[margins[:, -1], best, lead]


def scores_of(margins: Any, learned: dict[str, Any]) -> Any:
    """The score of the likeliest technique of each sentence, as ``techniques.ranked`` has it."""
    scaled = learned["temperature"] * (margins[:, :-1] - margins[:, :-1].max(1, keepdims=True))
    *slopes, level = learned["stated"]
    return 1 / np.exp(scaled).sum(1) / (1 + np.exp(-(signs_of_one(margins) @ slopes + level)))


def _lines(file: str) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _from_link(link: str) -> str:
    return ".".join(link.rstrip("/").split("/")[4:])


def _plain(text: str) -> str:
    text = re.sub(r"\(Citation:[^)]*\)", "", text)
    return re.sub(r"</?code>", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)).strip()


def _without_subject(text: str, name: str) -> str:
    said = r"('s)? ?(has been used to|has been used|can be used to|can also|has also|has|can|is able to|have|actors)? ?"
    return re.sub(re.escape(name) + said, "", text, count=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cross-validate", action="store_true", help="figures only; writes nothing")
    reports = tram()
    labels = frozenset(one.label for one in reports)
    others = [*attack(labels), *annoctr_examples(labels)]
    silent = nothing_stated()
    margins, quiet, names = out_of_fold(reports, others, silent)
    right = [one.label for one in reports]
    order = np.argsort(-margins[:, :-1], axis=1, kind="stable")
    ranked = np.array(names)[order]
    first = np.mean(ranked[:, 0] == right)
    third = np.mean([label in row[:3] for label, row in zip(right, ranked, strict=True)])
    learned = calibration(margins, right, names, quiet)
    kept = [scores_of(one, learned) >= THRESHOLD for one in (margins, quiet)]
    print(f"{len(reports)} sentences of TRAM, reports apart: top-1 {first:.4f}, top-3 {third:.4f}; {learned}")
    print(
        f"said to state one: {kept[0].mean():.3f} of them, {kept[1].mean():.3f} of {len(silent)} that state none; ",
        end="",
    )
    print(f"top-1 of those {np.mean((ranked[:, 0] == right)[kept[0]]):.3f}")
    if not parser.parse_args().cross_validate:
        write(fitted([*reports, *others], silent), **learned)


if __name__ == "__main__":
    main()

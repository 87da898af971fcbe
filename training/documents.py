"""Trains what labels documents: ``python -m training.documents [--cross-validate]``, a minute on one core.

Data (``ETL_SHARED_DATA``): reports with labels given by hand (``document_labels.tsv`` beside this file: AnnoCTR,
CISA, and documents about no attack), CISA's CSAF advisories with the sectors that they state outside their text, and
short texts of ATT&CK: descriptions of groups, campaigns and software, labelled by what their sentences say of targets
(weak, a third of the weight). Only rows marked ``train`` are fitted; ``--cross-validate`` tests by report and maker.
"""

import argparse
import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold

from etl_assets.documents.classification.advisories import read_by_model, signs
from etl_assets.documents.classification.evidence import Page, said_in
from etl_assets.documents.classification.label_sets import sectors, threats
from etl_assets.documents.classification.linear import LinearModel
from etl_assets.documents.classification.scoring import figures
from etl_assets.documents.parsing.parser import parse
from training.fitting import DATA, blocks_of, matrix, model, write, write_json

SAID_OFTENER = 1.3
"""How often a sector of advisories is said, times its share of them: a cut by F1 alone rests on a handful of rows.

Measured in five parts with three seeds: macro F1 0.295 so, 0.273 with each sector's own best cut.
"""

LABELS = Path(__file__).parent / "document_labels.tsv"
SECTORS = {
    "Critical Manufacturing": "manufacturing", "Critical Manuacturing": "manufacturing", "Energy": "energy",
    "Chemical and Energy": "energy", "Oil & Gas": "energy", "Nuclear Reactors, Materials, and Waste": "energy",
    "Transportation Systems": "transportation", "Water and Wastewater Systems": "water-utilities",
    "Dams": "water-utilities", "Financial Services": "financial", "Healthcare and Public Health": "healthcare",
    "Government Facilities": "government", "Information Technology": "technology", "Communications": "technology",
    "Communications Sector": "technology",
}  # fmt: skip
"""Critical infrastructure sectors by CISA's names; those not named here have no label."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A document, its labels, and what must not be on both sides of a split."""

    pages: tuple[Page, ...]
    labels: frozenset[str]
    group: str
    weight: float = 1.0

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(page.text for page in self.pages)


@cache
def pages_of(path: str) -> tuple[Page, ...]:
    """Pages of a shared document, as the product reads them."""
    parsed = parse(DATA / path, name=Path(path).name, content_type=None)
    return tuple(
        Page(page.number, page.text, tuple((one.start, one.end) for one in page.headings)) for page in parsed.pages
    )


def reports(split: str, kind: str) -> Iterator[Labelled]:
    """Reports labelled by hand; ``kind`` is ``threats`` or ``sectors``."""
    with LABELS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == split:
                labels = frozenset(row[kind].split(",")) - {""}
                yield Labelled(pages_of(row["path"]), labels, row["path"])


def advisories() -> list[tuple[Labelled, str]]:
    """CISA's advisories with their sectors, and their titles. The group is the first maker."""
    with gzip.open(DATA / "csaf-sectors" / "advisories.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [
        (
            Labelled(
                (Page(1, one["text"]),), frozenset(SECTORS[name] for name in one["sectors"] if name in SECTORS),
                (one["vendors"] or [one["id"]])[0],
            ),
            one["title"],
        )
        for one in records
    ]  # fmt: skip


def short_texts(kind: str) -> Iterator[Labelled]:
    """ATT&CK's descriptions, labelled by what they say themselves: one line reads short texts and long ones."""
    with gzip.open(DATA / "attack-catalog" / "objects.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    for one in records:
        if one["type"] not in ("intrusion-set", "campaign", "malware") or len(one["description"]) < 100:
            continue
        pages = (Page(1, one["description"]),)
        if kind == "sectors":
            said = said_in(pages, sectors())
            labels = {label.name for label, of in zip(sectors().labels, said, strict=True) if of.as_victim >= 1}
        else:
            said = said_in(pages, threats())
            labels = {label.name for label, of in zip(threats().labels, said, strict=True) if of.strength >= 1}
        yield Labelled(pages, frozenset(labels), one["id"], 0.15)


def names_of(kind: str) -> tuple[str, ...]:
    """The labels of a kind, in their order."""
    return tuple(label.name for label in (threats() if kind == "threats" else sectors()).labels)


def rows_of(documents: Sequence[Labelled], kind: str) -> tuple[Any, Any, Any, list[str]]:
    """(figures, yes or no, weight, group), one row for each document and label."""
    names, labels = names_of(kind), threats() if kind == "threats" else sectors()
    table, right, weights, groups = [], [], [], []
    for one in documents:
        for name, row in zip(names, figures(said_in(one.pages, labels), one.pages), strict=True):
            table.append(row)
            right.append(name in one.labels)
            weights.append(one.weight)
            groups.append(one.group)
    return np.array(table), np.array(right), np.array(weights), groups


def best_cut(chances: Any, right: Any) -> float:
    """The chance above which a yes gives the best F1; half way between the two rows that it parts."""
    order = np.argsort(-chances, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + right.sum())
    best = int(np.argmax(f1))
    following = chances[order[min(best + 1, len(order) - 1)]]
    return float((chances[order[best]] + following) / 2)


def line(table: Any, right: Any, weights: Any) -> Any:
    """Weights and, last, the level: a logistic regression in which no evidence counts against its label."""
    wide = np.c_[table, np.ones(len(table))]
    sign = np.where(right, 1.0, -1.0)

    def loss(point: Any) -> tuple[float, Any]:
        margins = sign * (wide @ point)
        slope = -(weights * sign / (1 + np.exp(margins))) @ wide
        slope[:-1] += point[:-1]
        return float((weights * np.logaddexp(0, -margins)).sum() + 0.5 * (point[:-1] ** 2).sum()), slope

    bounds = [(0, None)] * table.shape[1] + [(None, None)]
    return minimize(loss, np.zeros(wide.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x


def chances_by(point: Any, table: Any) -> Any:
    """The chance of each row."""
    return 1 / (1 + np.exp(-(table @ point[:-1] + point[-1])))


def out_of_fold(table: Any, right: Any, weights: Any, groups: list[str]) -> Any:
    """Chances of each row by lines that did not see its document."""
    chances = np.zeros(len(right))
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(table, groups=groups):
        chances[test] = chances_by(line(table[train], right[train], weights[train]), table[test])
    return chances


def by_label(chances: Any, right: Any, cut: float, names: Sequence[str]) -> dict[str, tuple[float, int]]:
    """F1 and the number of documents of each label."""
    found = {}
    for place, name in enumerate(names):
        yes, is_one = chances[place :: len(names)] >= cut, right[place :: len(names)]
        found[name] = (2 * float((yes & is_one).sum()) / max(float(yes.sum() + is_one.sum()), 1.0), int(is_one.sum()))
    return found


def fitted_lines() -> dict[str, dict[str, Any]]:
    """Both lines, with their cuts by documents that the line did not see."""
    lines = {}
    for kind in ("threats", "sectors"):
        known = [*reports("train", kind)]
        if kind == "threats":
            known += [Labelled(one.pages, frozenset({"vulnerability"}), one.group, 0.3) for one, _ in advisories()]
        table, right, weights, groups = rows_of([*known, *short_texts(kind)], kind)
        chances = out_of_fold(table, right, weights, groups)
        trusted = weights > 0.2
        cut = best_cut(chances[trusted], right[trusted])
        own = weights == 1
        print(
            kind,
            f"cut {cut:.3f}",
            {k: f"{f:.2f}/{n}" for k, (f, n) in by_label(chances[own], right[own], cut, names_of(kind)).items()},
        )
        found = line(table, right, weights)
        lines[kind.removesuffix("s")] = {"weights": found[:-1].tolist(), "level": float(found[-1]), "cut": cut}
    return lines


def margins_by(texts: Sequence[str], right: Any, others: Sequence[str]) -> tuple[Any, LinearModel]:
    """Margins of ``others`` by a model of ``texts``; a label with fewer than two examples is never said."""
    blocks = blocks_of(texts, shares=(1.0, 1.0))
    table = matrix(blocks, texts)
    weights, bias = np.zeros((right.shape[1], table.shape[1])), np.full(right.shape[1], -3.0)
    for place in np.flatnonzero(right.sum(0) >= 2):
        found = LogisticRegression(C=3, class_weight="balanced", max_iter=300).fit(table, right[:, place])
        weights[place], bias[place] = found.coef_[0], found.intercept_[0]
    fitted = model("advisories.npz", names_of("sectors"), blocks, weights, bias)
    return fitted.margins(others), fitted


def signs_of(documents: Sequence[Labelled], margins: Any, priors: Any) -> Any:
    """``advisories.signs``, one row for each advisory and label."""
    rows = []
    for one, of_one in zip(documents, margins, strict=True):
        said = said_in(one.pages, sectors())
        rows += [signs(of_one[place], priors[place], said[place], said) for place in range(len(said))]
    return np.array(rows)


def fitted_advisories(documents: Sequence[Labelled]) -> tuple[LinearModel, dict[str, Any]]:
    """The model of advisories, and the line and the cuts of its labels by advisories that it did not see."""
    names = names_of("sectors")
    right = np.array([[name in one.labels for name in names] for one in documents])
    texts = [read_by_model(one.text) for one in documents]
    unseen = np.zeros(right.shape)
    for train, test in KFold(5, shuffle=True, random_state=1).split(texts):
        unseen[test] = margins_by([texts[row] for row in train], right[train], [texts[row] for row in test])[0]
    priors = np.log((right.sum(0) + 1) / (len(right) + 2))
    table = signs_of(documents, unseen, priors)
    found = LogisticRegression(C=1.0).fit(table, right.ravel())
    chances = found.predict_proba(table)[:, 1].reshape(right.shape)
    rates = np.minimum(SAID_OFTENER * right.mean(0), 0.9)
    cuts = [float(np.quantile(chances[:, place], 1 - rate)) for place, rate in enumerate(rates)]
    learned = {
        "line": np.float32([*found.coef_[0], found.intercept_[0]]),
        "priors": np.float32(priors),
        "cuts": np.float32(cuts),
    }
    return margins_by(texts, right, texts[:1])[1], learned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cross-validate", action="store_true", help="figures only; writes nothing")
    write_nothing = parser.parse_args().cross_validate
    lines = fitted_lines()
    advice, learned = fitted_advisories([one for one, _ in advisories()])
    if not write_nothing:
        write_json("scores.json", lines)
        write(advice, **learned)


if __name__ == "__main__":
    main()

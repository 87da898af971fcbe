"""Labels and techniques beside TF-IDF + logistic regression: ``python -m benchmarks.classification [PART...]``.

Data (``ETL_SHARED_DATA``, default ``../shared/data``) and how it is split:

- reports: trained on the rows marked train of ``training/document_labels.tsv``, told on those marked dev. ``all yes``
  counts every (document, label) pair together, ``macro`` is the mean of F1 over labels that dev has at all.
- advisories: 200 of CISA's CSAF files, their text alone, in five parts at random and again by maker; everything that
  is learned is learned without the part that is told on.
- sentences: TRAM in five parts by report; and AnnoCTR's dev part, where a sentence that has no technique marked in it
  should have none.

Baseline, trained on the same texts in the same run: TF-IDF of words and pairs of words, one logistic regression a
label, balanced classes, a yes from an even chance on. Speed: CPU seconds of the stage beside embedding the chunks of
the same reports with the packaged model.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold

from etl_assets.backends.onnx_embedder import OnnxEmbedder, minilm_model
from etl_assets.documents.chunking import structure_chunks
from etl_assets.documents.classification.advisories import sector_scores
from etl_assets.documents.classification.evidence import said_in
from etl_assets.documents.classification.find import classified, default_classifying
from etl_assets.documents.classification.label_sets import sectors, threats
from etl_assets.documents.classification.labelling import labels_of
from etl_assets.documents.classification.linear import LinearModel
from etl_assets.documents.classification.techniques import THRESHOLD, ranked
from training import techniques as training_techniques
from training.documents import Labelled, advisories, fitted_advisories, names_of, reports, short_texts

Table = Any
KINDS = (("threats", threats), ("sectors", sectors))


def baseline(texts: Sequence[str], right: Table, others: Sequence[str]) -> Table:
    """Yes or no for each of ``others`` and each label, see the module's text."""
    counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    known, unknown = counter.fit_transform(texts), counter.transform(others)
    said = np.zeros((len(others), right.shape[1]), bool)
    for place in np.flatnonzero(right.sum(0)):
        one = LogisticRegression(C=10, class_weight="balanced", max_iter=300).fit(known, right[:, place])
        said[:, place] = one.predict(unknown)
    return said


def table_of(documents: Sequence[Labelled], names: Sequence[str]) -> Table:
    """Which document has which label."""
    return np.array([[name in one.labels for name in names] for one in documents])


def told(who: str, said: Table, right: Table, names: Sequence[str]) -> float:
    """Print F1 of each label, of all pairs together and of the labels' mean, which is given back."""

    def f1(yes: Table, true: Table) -> float:
        return 2 * float((yes & true).sum()) / max(float(yes.sum() + true.sum()), 1.0)

    there = [place for place in range(len(names)) if right[:, place].any()]
    each = {names[place]: f1(said[:, place], right[:, place]) for place in there}
    macro = float(np.mean(list(each.values())))
    counts = {names[place]: int(right[:, place].sum()) for place in there}
    words = "  ".join(f"{name} {score:.2f}/{counts[name]}" for name, score in each.items())
    wrong = said & ~right
    print(f"{who:32} macro {macro:.3f}  all {f1(said, right):.3f}  wrong yes {int(wrong.sum())}  {words}")
    return macro


def on_reports() -> None:
    """Reports labelled by hand, dev part."""
    for kind, labels in KINDS:
        names, dev = names_of(kind), [*reports("dev", kind)]
        right = table_of(dev, names)
        known = [*reports("train", kind), *(one for one, _ in advisories()), *short_texts(kind)]
        if kind == "threats":
            known = [*reports("train", kind), *short_texts(kind)]
            known += [Labelled(one.pages, frozenset({"vulnerability"}), one.group) for one, _ in advisories()]
        plain = baseline([one.text for one in known], table_of(known, names), [one.text for one in dev])
        ours = [[one.score >= labels().threshold for one in labels_of(doc.pages, labels())] for doc in dev]
        first = told(f"{kind} of {len(dev)} reports, ours", np.array(ours), right, names)
        second = told(f"{kind} of {len(dev)} reports, baseline", plain, right, names)
        print(f"{kind} of reports: macro F1 {first / max(second, 1e-9):.2f} times the baseline's")


def on_advisories() -> None:
    """Sectors of advisories that do not say them."""
    documents, names = [one for one, _ in advisories()], names_of("sectors")
    right, texts = table_of(documents, names), [one.text for one in documents]
    makers = [one.group for one in documents]
    at_random = KFold(5, shuffle=True, random_state=7).split(texts)
    for how, folds in (("at random", at_random), ("by maker", GroupKFold(5).split(texts, groups=makers))):
        ours, plain = np.zeros(right.shape, bool), np.zeros(right.shape, bool)
        for train, test in folds:
            model, learned = fitted_advisories([documents[row] for row in train])
            fitted = LinearModel(
                model.name, model.labels, model.blocks, model.weights, model.scales, model.bias, learned
            )
            for row in test:
                ours[row] = advised(documents[row], fitted)
            plain[test] = baseline([texts[row] for row in train], right[train], [texts[row] for row in test])
        first = told(f"advisories {how}, ours", ours, right, names)
        second = told(f"advisories {how}, baseline", plain, right, names)
        print(f"sectors of advisories {how}: macro F1 {first / max(second, 1e-9):.2f} times the baseline's")


def advised(document: Labelled, fitted: LinearModel) -> list[bool]:
    """The sectors that the product says, with a model that did not see the advisory."""
    labels = sectors()
    learned = sector_scores(document.pages, said_in(document.pages, labels), labels.threshold, fitted)
    scored = [learned.get(one.label, one.score) for one in labels_of(document.pages, labels)]
    return [score >= labels.threshold for score in scored]


def on_sentences() -> None:
    """Techniques of TRAM's sentences, and silence where AnnoCTR's dev part has none."""
    known = training_techniques.tram()
    labels = frozenset(one.label for one in known)
    others = [*training_techniques.attack(labels), *training_techniques.annoctr_examples(labels)]
    margins, _, names = training_techniques.out_of_fold(known, others, training_techniques.nothing_stated())
    right = np.array([one.label for one in known])
    best = np.array(names)[np.argsort(-margins[:, :-1], axis=1, kind="stable")[:, :3]]
    ours, three = (best[:, 0] == right).mean(), (best == right[:, None]).any(1).mean()
    plain = np.zeros(len(known), bool)
    extra = [one for one in others if one.label]
    folds = GroupKFold(training_techniques.FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(known, groups=[one.report for one in known]):
        seen = [*(known[row] for row in train), *extra]
        counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = LogisticRegression(C=10, max_iter=100)
        model.fit(counter.fit_transform([one.text for one in seen]), [one.label for one in seen])
        plain[test] = model.predict(counter.transform([known[row].text for row in test])) == right[test]
    print(f"techniques of {len(known)} sentences, reports apart: top-1 {ours:.4f}, top-3 {three:.4f}; ", end="")
    print(f"baseline top-1 {plain.mean():.4f}; ratio {ours / plain.mean():.3f}")


def on_silence() -> None:
    """Sentences of AnnoCTR's dev part: which are said to state a technique."""
    sentences = [*training_techniques.marked_sentences("dev")]
    said = np.array([one.scores[0][1] >= THRESHOLD for one in ranked([text for text, _ in sentences])])
    marked = np.array([is_marked for _, is_marked in sentences])
    print(f"AnnoCTR dev: said to state one: {said[marked].mean():.3f} of {marked.sum()} that have one marked, ", end="")
    print(f"{said[~marked].mean():.3f} of {(~marked).sum()} that have none")


def speed() -> None:
    """CPU seconds beside those of embedding."""
    with tempfile.TemporaryDirectory() as cache:
        speed_with(Path(cache))


def speed_with(cache: Path) -> None:
    """CPU seconds of classifying the dev reports of AnnoCTR beside those of embedding their chunks."""
    documents = [one.pages for one in reports("dev", "sectors") if "annoctr" in one.group]
    list(classified(documents[0], default_classifying()))  # what is loaded once
    begun = time.process_time()
    for pages in documents:
        list(classified(pages, default_classifying()))
    ours = time.process_time() - begun
    begun = time.process_time()
    for pages in documents:
        for labels in (threats(), sectors()):
            labels_of(pages, labels)
    alone = time.process_time() - begun
    embedder = OnnxEmbedder(minilm_model(cache), threads=1)
    chunks = [
        page.text[piece.start : piece.end]
        for pages in documents
        for page in pages
        for piece in structure_chunks(page.text, [], tokenizer=embedder.tokenizer)
    ]
    embedder.embed_documents(chunks[:2])
    begun = time.process_time()
    embedder.embed_documents(chunks)
    embedding = time.process_time() - begun
    megabytes = sum(len(page.text) for pages in documents for page in pages) / 1e6
    parts = f"(labels {alone:.2f}, techniques {ours - alone:.2f})"
    print(f"{megabytes:.2f} MB of reports: classifying {ours:.2f} CPU s {parts}, ", end="")
    print(f"embedding {len(chunks)} chunks {embedding:.2f} CPU s; share {ours / embedding:.3f}")


def main() -> None:
    parts = {
        "reports": on_reports,
        "advisories": on_advisories,
        "silence": on_silence,
        "speed": speed,
        "sentences": on_sentences,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="all when none is named")
    for name in parser.parse_args().parts or parts:
        parts[name]()


if __name__ == "__main__":
    main()

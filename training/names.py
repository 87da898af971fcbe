"""Train the labeller of names: ``python -m training.names`` from the root of the repository.

Reads the train parts of AnnoCTR and CyNER (``training/annotated.py``), trains three linear chain conditional random
fields with L-BFGS (python-crfsuite) and writes ``etl_assets/documents/mentions/data/labeller.npz``. Deterministic:
the only chance, which names the lists hide (so that company is learnt too), is drawn by a digest of the name.
"""

import argparse
import hashlib
import io
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycrfsuite

from etl_assets.documents.link_targets import without_targets
from etl_assets.documents.mentions import labeller
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.features import NEIGHBOURS, at_distance, in_document, of_tag, of_word, pairs
from etl_assets.documents.mentions.find import known_names
from etl_assets.documents.mentions.tagging import tags_of
from etl_assets.documents.mentions.tokens import Token, sequences
from training.annotated import Annotated, annoctr, cyner
from training.borders import learnt_borders

REPORTS = {"ORG": "organisation", "LOC": "location", "SECTOR": "sector", "MALWARE": "malware", "TOOL": "tool",
           "GROUP": "group"}  # fmt: skip
POSTS = {"Malware": "malware", "System": "product", "Organization": "organisation", "Vulnerability": "vulnerability"}
SHARED = ("malware", "organisation")
"""What both corpora mark: a chain that learns from both knows more of the world than either."""
Example = tuple[Annotated, Mapping[str, str]]
MODEL = Path(labeller.__file__).parent / "data" / "labeller.npz"
HIDDEN = 0.4
"""Share of the names whose marks are hidden in the second copy of every text, so that company counts too."""
SETTINGS = {"c1": 0.1, "c2": 0.02, "max_iterations": 120, "feature.minfreq": 2}


def seen(text: str, catalogue: Catalogue, *, hidden: float, seed: str) -> tuple[list[list[Token]], list[list[str]]]:
    """A text as the product sees it, with a share of the names in the lists hidden."""
    by_pattern, named, hits = known_names([text], catalogue)
    tokens = sequences(without_targets(text), by_pattern[0])
    shown = [
        [one for one in page if _draw(f"{seed} {text[one.start : one.end].lower()}") >= hidden]
        for page in (named[0], hits[0])
    ]
    return tokens, tags_of(tokens, *shown)


def _draw(name: str) -> float:
    return float(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little") / 2**32)


def features_of(tokens: list[list[Token]], tags: list[list[str]]) -> list[list[list[str]]]:
    """The features of every token, those that ``labeller`` sums."""
    company = in_document(tokens)
    return [
        _of_sequence(sequence, [[*of_word(t.word), *company.get(t.word, ()), *of_tag(tag)]
                                for t, tag in zip(sequence, tagged, strict=True)])
        for sequence, tagged in zip(tokens, tags, strict=True)
    ]  # fmt: skip


def _of_sequence(tokens: list[Token], own: list[list[str]]) -> list[list[str]]:
    found = []
    for place, token in enumerate(tokens):
        here = [
            feature
            for distance in NEIGHBOURS
            if 0 <= place + distance < len(tokens)
            for feature in at_distance(own[place + distance], distance)
        ]
        here += [pairs(tokens[place - 1].word, token.word), *(["glued"] if token.glued else [])] if place else ["first"]
        here.append("+|" + pairs(token.word, tokens[place + 1].word) if place + 1 < len(tokens) else "last")
        found.append(here)
    return found


def labels_of(tokens: list[list[Token]], annotated: Annotated, kinds: Mapping[str, str]) -> list[list[str]]:
    """The BIO label of every token: it belongs to the first marked span of a wanted kind that it overlaps."""
    spans = [(start, end, kinds[label]) for start, end, label in annotated.spans if label in kinds]
    found: list[list[str]] = []
    place = 0
    for sequence in tokens:
        labels, before = [], -1
        for token in sequence:
            while place < len(spans) and spans[place][1] <= token.start:
                place += 1
            inside = place < len(spans) and spans[place][0] < token.end
            labels.append(("I-" if before == place else "B-") + spans[place][2] if inside else "O")
            before = place if inside else -1
        found.append(labels)
    return found


def trained(examples: Iterable[Example]) -> Any:
    """What crfsuite learns from texts and the kinds they mark: ``labels``, ``state_features``, ``transitions``."""
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params({**SETTINGS, "feature.possible_transitions": True})
    catalogue = Catalogue.load()
    for document, kinds in examples:
        for hidden in (0.0, HIDDEN):
            tokens, tags = seen(document.text, catalogue, hidden=hidden, seed=document.name)
            for xs, ys in zip(features_of(tokens, tags), labels_of(tokens, document, kinds), strict=True):
                if xs:
                    trainer.append(xs, ys)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "model"))
        trainer.train(path)
        tagger = pycrfsuite.Tagger()
        tagger.open(path)
        return tagger.info()


def packed(learnt: Mapping[str, Any], borders: tuple[Sequence[str], Sequence[str]]) -> bytes:
    """The chains as one file of arrays: the weights as whole numbers of ``scale``, in order of feature and label.

    ``borders`` are the words at which no name begins, and those at which none ends.
    """
    features = sorted({feature for info in learnt.values() for feature, _ in info.state_features})
    rows = {feature: row for row, feature in enumerate(features)}
    arrays: dict[str, Any] = {"chains": _text(learnt), "features": _text(features)}
    arrays |= {f"borders.{end}": _text(words) for end, words in zip(("first", "last"), borders, strict=True)}
    entries: list[tuple[int, int, float]] = []
    width = 0
    for name, info in learnt.items():
        labels = sorted(info.labels)
        entries += [(rows[one], width + labels.index(label), weight)
                    for (one, label), weight in info.state_features.items() if abs(weight) > 0.005]  # fmt: skip
        arrays |= {f"{name}.labels": _text(labels), f"{name}.steps": _steps(labels, info.transitions)}
        width += len(labels)
    entries.sort()
    weights = np.array([weight for _, _, weight in entries])
    scale = float(np.abs(weights).max() / 32_000)
    arrays |= {
        "rows": np.array([row for row, _, _ in entries], dtype=np.int32), "scale": np.float64(scale),
        "columns": np.array([column for _, column, _ in entries], dtype=np.uint8),
        "weights": np.round(weights / scale).astype(np.int16),
    }  # fmt: skip
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _steps(labels: Sequence[str], transitions: Mapping[tuple[str, str], float]) -> Any:
    """Weights of one label behind another; the inside of a name never begins one."""
    steps = np.zeros((len(labels), len(labels)), dtype=np.float32)
    for before, first in enumerate(labels):
        for after, second in enumerate(labels):
            impossible = second[0] == "I" and first[2:] != second[2:]
            steps[before, after] = -30 if impossible else transitions.get((first, second), 0.0)
    return steps


def _text(lines: Iterable[str]) -> Any:
    return np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)


def _kept(documents: Sequence[Annotated], folds: int) -> list[Annotated]:
    return [one for number, one in enumerate(documents) if not folds or number % folds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folds", type=int, default=0, help="leave every n-th text out, to tune on; 0: train on all")
    parser.add_argument("--output", type=Path, default=MODEL)
    arguments = parser.parse_args()
    reports = [(document, REPORTS) for document in _kept(annoctr("train"), arguments.folds)]
    posts = [(document, POSTS) for document in _kept(cyner("train"), arguments.folds)]
    shared = [(document, {label: kind for label, kind in kinds.items() if kind in SHARED})
              for document, kinds in (*reports, *posts)]  # fmt: skip
    learnt = {}
    for name, examples in (("both", shared), ("posts", posts), ("reports", reports)):
        begun = time.process_time()
        learnt[name] = trained(examples)
        print(f"{name}: {len(examples)} texts, {len(learnt[name].state_features)} weights,"
              f" {time.process_time() - begun:.0f} CPU s", flush=True)  # fmt: skip
    data = packed(learnt, learnt_borders(document for document, _ in (*reports, *posts)))
    arguments.output.write_bytes(data)
    print(f"{arguments.output}: {len(data)} bytes; MODEL_SHA256 of labeller.py is {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()

"""Which words of a text belong to names, by linear chain models (conditional random fields) over word features.

The model is data: ``data/labeller.npz``, made by ``training/names.py``, arrays of numbers and text alone. Its digest
is written here, so that another file is refused before anything of it is used.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from etl_assets.documents.mentions.borders import Borders
from etl_assets.documents.mentions.features import NEIGHBOURS, at_distance, in_document, of_tag, of_word, pairs
from etl_assets.documents.mentions.tokens import Token
from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MODEL_SHA256 = "d009b175c721e67986d22c52cd06c472a0d54e9ad277e7d139a1efec05805466"
_REACH = 4.0
"""A sequence in which no label comes so close to O has no names: most of a text."""
_KNOWN_WORDS = 50_000
_TOGETHER = 64


class Labelled(NamedTuple):
    """Tokens ``first`` to ``last`` (exclusive) of one sequence form a name of this kind, with this probability."""

    first: int
    last: int
    kind: str
    probability: float


@dataclass(frozen=True, slots=True)
class Chain:
    """One model: its labels in BIO form, where their columns of the weights begin, and the weight of each step.

    ``steps[i, j]`` is for label ``j`` right behind label ``i``.
    """

    labels: tuple[str, ...]
    begin: int
    steps: "Floats"


class Labeller:
    """Chains that share their features. ``features`` gives the row of ``weights`` of a feature."""

    def __init__(
        self, features: Mapping[str, int], weights: "Floats", chains: Mapping[str, Chain], borders: Borders
    ) -> None:
        import numpy as np

        self.borders = borders

        self._features = features
        # The last row is nothing: every sum has a part, and none is empty.
        self._weights = np.vstack([weights, np.zeros((1, weights.shape[1]))])
        self._chains = chains
        self._rows_of_word: dict[str, tuple[list[int], ...]] = {}

    def label(
        self, sequences: Sequence[Sequence[Token]], tags: Sequence[Sequence[str]], *, least: float = 0.5
    ) -> dict[str, list[list[Labelled]]]:
        """By chain, the names in each sequence of one document with at least this probability, in order.

        ``tags`` gives, for every token, what the lists of names know of it, "" for nothing.
        """
        lengths = [len(tokens) for tokens in sequences]
        scores = self._scores(sequences, tags, lengths)
        return {name: names(scores, lengths, chain, least) for name, chain in self._chains.items()}

    def _scores(
        self, sequences: Sequence[Sequence[Token]], tags: Sequence[Sequence[str]], lengths: Sequence[int]
    ) -> "Floats":
        """Scores of every label of every chain at every token, the sequences one behind the other."""
        company = in_document(sequences)
        words = [token.word for tokens in sequences for token in tokens]
        marks = [tag for tagged in tags for tag in tagged]
        scores = self._seen(words, lengths, lambda word: self._of_word(word, company.get(word, ())))
        scores += self._seen(marks, lengths, lambda tag: self._at_distances(of_tag(tag)))
        begin = 0
        for tokens in sequences:
            self._add_pairs(scores, begin, tokens)
            begin += len(tokens)
        return scores

    def _seen(
        self, names: Sequence[str], lengths: Sequence[int], rows: "Callable[[str], Sequence[Sequence[int]]]"
    ) -> "Floats":
        """Scores of every place by the names there and next to it, inside its own sequence.

        Each different name is summed up once for each distance; two places of nothing part the sequences.
        """
        import numpy as np

        different = {name: number for number, name in enumerate(dict.fromkeys(names), start=1)}
        numbers = np.fromiter((different[name] for name in names), dtype=np.int64, count=len(names))
        places = np.arange(len(names)) + 2 + 2 * np.repeat(np.arange(len(lengths)), lengths)
        row = np.zeros(len(names) + 2 * len(lengths) + 2, dtype=np.int64)
        row[places] = numbers
        given = [rows(name) for name in different]
        scores = np.zeros((len(names), self._weights.shape[1]))
        for number, distance in enumerate(NEIGHBOURS):
            scores += self._sums([of_name[number] for of_name in given])[row[places + distance]]
        return scores

    def _sums(self, rows: Sequence[Sequence[int]]) -> "Floats":
        """One row of sums for nothing, then one for each list of rows of the weights."""
        import numpy as np

        nothing = len(self._weights) - 1
        flat = [nothing]
        begins = [0]
        for of_name in rows:
            begins.append(len(flat))
            flat += of_name
            flat.append(nothing)
        sums: Floats = np.add.reduceat(self._weights[flat], begins, axis=0)
        return sums

    def _of_word(self, word: str, company: Sequence[str]) -> Sequence[Sequence[int]]:
        """Rows by distance; those of the word itself are kept, its company differs from document to document."""
        rows = self._rows_of_word.get(word)
        if rows is None:
            rows = self._at_distances(of_word(word))
            if len(self._rows_of_word) < _KNOWN_WORDS:
                self._rows_of_word[word] = rows
        more = [self._features[feature] for feature in company if feature in self._features]
        # Company counts for the word alone, not for its neighbours.
        return [[*own, *more] if distance == 0 else own for distance, own in zip(NEIGHBOURS, rows, strict=True)]

    def _at_distances(self, features: Sequence[str]) -> tuple[list[int], ...]:
        known = self._features
        return tuple(
            [known[feature] for feature in at_distance(features, distance) if feature in known]
            for distance in NEIGHBOURS
        )

    def _add_pairs(self, scores: "Floats", begin: int, tokens: Sequence[Token]) -> None:
        features, weights, last = self._features, self._weights, begin + len(tokens) - 1
        for place, feature in ((begin, "first"), (last, "last")):
            if tokens and feature in features:
                scores[place] += weights[features[feature]]
        for place, (before, token) in enumerate(zip(tokens, tokens[1:], strict=False), start=begin + 1):
            pair = pairs(before.word, token.word)
            for feature, at in ((pair, place), (f"+|{pair}", place - 1), ("glued" if token.glued else "", place)):
                if feature in features:
                    scores[at] += weights[features[feature]]


def names(scores: "Floats", lengths: Sequence[int], chain: Chain, least: float) -> list[list[Labelled]]:
    """The names in each sequence; those of similar length are worked on together."""
    import numpy as np

    own = scores[:, chain.begin : chain.begin + len(chain.labels)]
    outside = chain.labels.index("O")
    near = np.delete(own, outside, axis=1).max(axis=1, initial=-np.inf) > own[:, outside] - _REACH
    begins = np.cumsum([0, *lengths])
    open_to_names = [
        number for number, length in enumerate(lengths) if length and near[begins[number] : begins[number + 1]].any()
    ]
    open_to_names.sort(key=lambda number: (lengths[number], number))
    found: list[list[Labelled]] = [[] for _ in lengths]
    for low in range(0, len(open_to_names), _TOGETHER):
        batch = open_to_names[low : low + _TOGETHER]
        together = marginals([own[begins[number] : begins[number + 1]] for number in batch], chain.steps)
        for number, probabilities in zip(batch, together, strict=True):
            found[number] = _spans(probabilities[: lengths[number]], chain, outside, least)
    return found


def marginals(scores: Sequence["Floats"], steps: "Floats") -> "Floats":
    """The probability of every label at every token, by the forward and backward sums.

    Axes are the sequences, their tokens and the labels; behind the end of a shorter sequence stands nothing of use.
    """
    import numpy as np

    lengths = np.array([len(one) for one in scores])
    potentials = np.ones((len(scores), int(lengths.max()), len(steps)))
    for number, one in enumerate(scores):
        potentials[number, : len(one)] = np.exp(one - one.max(axis=1, keepdims=True))
    passage = np.exp(steps - steps.max())
    forward, backward = np.empty_like(potentials), np.ones_like(potentials)
    state = np.ones((len(scores), len(steps)))
    for place in range(potentials.shape[1]):
        state = (state @ passage if place else state) * potentials[:, place]
        state /= state.sum(axis=1, keepdims=True)
        forward[:, place] = state
    state = np.ones((len(scores), len(steps)))
    for place in range(potentials.shape[1] - 1, 0, -1):
        behind = (state * potentials[:, place]) @ passage.T
        state = np.where((place < lengths)[:, None], behind / behind.sum(axis=1, keepdims=True), 1.0)
        backward[:, place - 1] = state
    both: Floats = forward * backward
    both /= both.sum(axis=2, keepdims=True)
    return both


def _spans(probabilities: "Floats", chain: Chain, outside: int, least: float) -> list[Labelled]:
    """Names from the probabilities: a kind's B and I count together, a name begins where B is the likelier."""
    found: list[Labelled] = []
    for place in (probabilities[:, outside] <= 1 - least).nonzero()[0].tolist():
        kind, probability, starts = _kind(probabilities[place].tolist(), chain.labels)
        if probability < least:
            continue
        if found and not starts and found[-1].last == place and found[-1].kind == kind:
            first, _, _, before = found.pop()
            found.append(Labelled(first, place + 1, kind, min(before, probability)))
        else:
            found.append(Labelled(place, place + 1, kind, probability))
    return found


def _kind(row: Sequence[float], labels: Iterable[str]) -> tuple[str, float, bool]:
    """The likeliest kind of name, its probability, and whether its B is likelier than its I."""
    of_kind: dict[str, float] = {}
    begins: dict[str, float] = {}
    for label, probability in zip(labels, row, strict=True):
        if label != "O":
            of_kind[label[2:]] = of_kind.get(label[2:], 0.0) + probability
            begins[label[2:]] = begins.get(label[2:], 0.0) + (probability if label[0] == "B" else 0.0)
    kind = max(of_kind, key=lambda name: (of_kind[name], name))
    return kind, of_kind[kind], begins[kind] * 2 > of_kind[kind]


def read(data: bytes, sha256: str) -> Labeller:
    """The labeller of a model file.

    Raises:
        ConfigError: the bytes are not those of the digest: the installation is damaged.
    """
    import numpy as np

    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ConfigError(f"the model of names has the digest {digest}, not {sha256}; install etl-assets again")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        features = bytes(arrays["features"]).decode().split("\n")
        chains: dict[str, Chain] = {}
        width = 0
        for name in bytes(arrays["chains"]).decode().split("\n"):
            labels = tuple(bytes(arrays[f"{name}.labels"]).decode().split("\n"))
            chains[name] = Chain(labels, width, arrays[f"{name}.steps"].astype(np.float64))
            width += len(labels)
        first, last = (bytes(arrays[f"borders.{end}"]).decode().split("\n") for end in ("first", "last"))
        weights = np.zeros((len(features), width))
        weights[arrays["rows"], arrays["columns"]] = arrays["weights"].astype(np.float64) * float(arrays["scale"])
    return Labeller(
        {feature: row for row, feature in enumerate(features)},
        weights,
        chains,
        Borders(frozenset(first), frozenset(last)),
    )


@cache
def packaged() -> Labeller:
    """The labeller that comes with the package; read once a process."""
    return read(resources.files(__package__).joinpath("data/labeller.npz").read_bytes(), MODEL_SHA256)

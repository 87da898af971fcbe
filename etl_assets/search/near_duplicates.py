"""Documents, and passages of documents, that repeat one another: found by signatures, confirmed by their words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from etl_assets.errors import ConfigError
from etl_assets.ledger.snapshots import VisibleDocument
from etl_assets.protocols.signatures import OutputSignatures, SignatureStore
from etl_assets.search.links import Citation
from etl_assets.search.model import SearchPlaces
from etl_assets.search.published_rows import Row, published_rows
from etl_assets.search.published_tables import Shown, visible_of
from etl_assets.search.shingles import (
    LEAST_SHINGLES,
    SIGNATURE_BYTES,
    candidates,
    hashes,
    jaccard,
    matrix,
    shingles,
    signature,
)
from etl_assets.stages.spec import Json

_Place = tuple[OutputSignatures, int]
"""A chunk: whose it is, and which one."""

USUAL_THRESHOLD = 0.8
LEAST_THRESHOLD = 0.5
_BATCH = 256
_COLUMNS = ("chunk_id", "ordinal", "page", "start", "end", "text")


@dataclass(frozen=True, slots=True)
class Repeated:
    """One document, or a passage of one, that others repeat. ``similarity`` is to the most similar of its group."""

    document_id: str
    tenant: str
    collection: str
    path: str
    title: str
    similarity: float
    passage: Citation | None = None

    def as_json(self) -> dict[str, Json]:
        """Every field; the passage as a citation, or null."""
        plain: dict[str, Json] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        passage = self.passage.as_json() if self.passage else None
        return plain | {"similarity": round(self.similarity, 4), "passage": passage}


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """What repeats one another, by collection and path. ``kind`` is ``document`` or ``passage``."""

    kind: str
    members: tuple[Repeated, ...]

    def as_json(self) -> dict[str, Json]:
        """Plain values."""
        return {"kind": self.kind, "count": len(self.members), "members": [one.as_json() for one in self.members]}


class SignaturesMissing(ConfigError):
    """More documents are new than the caller would wait for."""


class NearDuplicates:
    """Near-duplicates among the visible documents of one tenant, or of one of its collections, at one moment.

    Raises:
        ConfigError: ``threshold`` is not from .5 to 1.
        SignaturesMissing: more than ``most_new`` documents have no signatures yet.
        TransientError: the lake does not hold the rows any more.
    """

    def __init__(
        self, places: SearchPlaces, store: SignatureStore, tenant: str, *, collection: str | None = None,
        threshold: float = USUAL_THRESHOLD, most_new: int | None = None,
    ) -> None:  # fmt: skip
        if not LEAST_THRESHOLD <= threshold <= 1.0:
            raise ConfigError(f"duplicates: threshold {threshold} must be from {LEAST_THRESHOLD} to 1")
        self._places, self._tenant, self._threshold = places, tenant, threshold
        self._shown = {
            document.outputs["chunks"]: (view, document)
            for view, document in visible_of(places, tenant, collection)
            if "chunks" in document.outputs
        }
        self._store = store
        self.computed = _keep_up(places, store, tenant, self._shown, whole_tenant=collection is None, most=most_new)
        self._texts: dict[int, list[Row]] = {}

    def documents(self) -> list[DuplicateGroup]:
        """Groups of documents, largest first. Those without words are nobody's duplicate."""
        held = self._held(chunks=False)
        same = _equal((one.content, place) for place, one in enumerate(held))
        long = [places[0] for places in same if held[places[0]].size >= LEAST_SHINGLES]
        rows = matrix([held[place].document for place in long])
        found = [(long[one], long[other]) for one, other in candidates(rows, self._threshold)]
        self._load(held[place].output_id for pair in found for place in pair)
        links = self._confirmed(found, lambda place: self._words(held[place].output_id))
        links |= {(places[0], other): 1.0 for places in same for other in places[1:]}
        return _largest(
            DuplicateGroup("document", tuple(self._document(held[place], alike) for place, alike in group))
            for group in _groups(links)
        )

    def passages(self) -> list[DuplicateGroup]:
        """Groups of passages in different documents, largest first; what every document repeats is one large group.

        Passages of fewer than 14 words count where they are equal. A document that repeats itself is not told.
        """
        owners: dict[str, list[_Place]] = {}
        for one in self._held(chunks=True):
            for at, content in enumerate(one.contents):
                if one.sizes[at]:
                    owners.setdefault(content, []).append((one, at))
        contents = sorted(owners)
        long = [place for place, content in enumerate(contents) if _size(owners[content][0]) >= LEAST_SHINGLES]
        rows = matrix([_chunk(*owners[contents[place]][0]) for place in long])
        found = [(long[one], long[other]) for one, other in candidates(rows, self._threshold)]
        links = self._confirmed_passages(found, contents, owners)
        alone = {place for place, content in enumerate(contents) if len({o.output_id for o, _ in owners[content]}) > 1}
        groups = [[(place, 1.0 if place in alone else alike) for place, alike in group] for group in _groups(links)]
        grouped = {place for group in groups for place, _ in group}
        groups += [[(place, 1.0)] for place in sorted(alone - grouped)]
        return self._told(groups, contents, owners)

    def of_document(self, document_id: str) -> list[Repeated]:
        """The documents that one repeats or that repeat it, most similar first."""
        import numpy as np

        held = self._held(chunks=False)
        mine = [one for one in held if self._shown[one.output_id][1].document_id == document_id]
        others = [one for one in held if self._shown[one.output_id][1].document_id != document_id]
        if not mine or not others:
            return []
        alike = (matrix([one.document for one in others]) == matrix([mine[0].document])).mean(axis=1)
        near = [others[int(at)] for at in np.flatnonzero(alike >= self._threshold - 0.15)]
        self._load([mine[0].output_id, *(one.output_id for one in near)])
        words = self._words(mine[0].output_id)
        scored = [(jaccard(words, self._words(one.output_id)), one) for one in near]
        told = [
            self._document(one, score) for score, one in scored
            if score >= self._threshold and (min(one.size, mine[0].size) >= LEAST_SHINGLES or score == 1.0)
        ]  # fmt: skip
        return sorted(told, key=lambda one: (-one.similarity, one.collection, one.path))

    def _held(self, *, chunks: bool) -> list[OutputSignatures]:
        """Signatures of what is shown and has words."""
        return [one for one in self._store.read(self._tenant, sorted(self._shown), chunks=chunks) if one.size]

    def _confirmed(
        self, found: Iterable[tuple[int, int]], words: Callable[[int], frozenset[str]]
    ) -> dict[tuple[int, int], float]:
        scored = ((pair, jaccard(words(pair[0]), words(pair[1]))) for pair in found)
        return {pair: score for pair, score in scored if score >= self._threshold}

    def _confirmed_passages(
        self, found: Sequence[tuple[int, int]], contents: Sequence[str], owners: Mapping[str, list[_Place]]
    ) -> dict[tuple[int, int], float]:
        wanted = sorted({place for pair in found for place in pair})
        self._load(owners[contents[place]][0][0].output_id for place in wanted)
        words = {place: shingles(self._text(*owners[contents[place]][0])) for place in wanted}
        return self._confirmed(found, words.__getitem__)

    def _told(
        self, groups: Sequence[Sequence[tuple[int, float]]], contents: Sequence[str],
        owners: Mapping[str, list[_Place]],
    ) -> list[DuplicateGroup]:  # fmt: skip
        self._load(one.output_id for group in groups for place, _ in group for one, _ in owners[contents[place]])
        told = []
        for group in groups:
            members = tuple(
                self._passage(one, at, alike) for place, alike in group for one, at in owners[contents[place]]
            )
            if len({one.document_id for one in members}) > 1:
                told.append(DuplicateGroup("passage", members))
        return _largest(told)

    def _load(self, outputs: Iterable[int]) -> None:
        missing = [self._shown[one][1] for one in sorted(set(outputs) - self._texts.keys())]
        for start in range(0, len(missing), _BATCH):
            part = missing[start : start + _BATCH]
            self._texts.update(_chunk_rows(self._places, part))

    def _words(self, output_id: int) -> frozenset[str]:
        return frozenset().union(*(shingles(row["text"]) for row in self._texts[output_id]))

    def _text(self, one: OutputSignatures, at: int) -> str:
        return str(self._texts[one.output_id][at]["text"])

    def _document(self, one: OutputSignatures, similarity: float) -> Repeated:
        view, document = self._shown[one.output_id]
        title = str(document.record.get("title") or document.path)
        return Repeated(document.document_id, view.tenant, view.collection, document.path, title, similarity)

    def _passage(self, one: OutputSignatures, at: int, similarity: float) -> Repeated:
        whole, row = self._document(one, similarity), self._texts[one.output_id][at]
        version = self._shown[one.output_id][1].version
        cited = Citation(
            whole.document_id, whole.tenant, whole.collection, whole.path, whole.title, version, row["page"],
            row["start"], row["end"], row["text"],
        )  # fmt: skip
        return Repeated(whole.document_id, whole.tenant, whole.collection, whole.path, whole.title, similarity, cited)


def _keep_up(
    places: SearchPlaces, store: SignatureStore, tenant: str, shown: Mapping[int, Shown], *, whole_tenant: bool,
    most: int | None,
) -> int:  # fmt: skip
    """Compute the signatures that are not held yet, and forget those of nobody; how many were computed."""
    known = store.known(tenant)
    if whole_tenant and known - shown.keys():
        store.drop(tenant, known - shown.keys())
    missing = [shown[output][1] for output in sorted(shown.keys() - known)]
    if most is not None and len(missing) > most:
        raise SignaturesMissing(
            f"{len(missing):,} documents were not looked at yet; run: etl-assets document duplicates"
        )
    for start in range(0, len(missing), _BATCH):
        rows = _chunk_rows(places, missing[start : start + _BATCH])
        store.put(tenant, [_signed(output, of_output) for output, of_output in rows.items()])
    return len(missing)


def _chunk_rows(places: SearchPlaces, documents: Sequence[VisibleDocument]) -> dict[int, list[Row]]:
    """By output, its chunks in reading order."""
    rows = published_rows(places, documents, "chunks", _COLUMNS)
    return {
        one.outputs["chunks"]: sorted(rows.get(one.publication, ()), key=lambda row: row["ordinal"])
        for one in documents
    }  # fmt: skip


def _signed(output_id: int, rows: Sequence[Row]) -> OutputSignatures:
    sets = [shingles(row["text"]) for row in rows]
    made = hashes(sets)
    whole = signature(made.min(axis=0)) if rows else b"\xff" * SIGNATURE_BYTES
    contents = tuple(str(row["chunk_id"]).rpartition("-")[0] for row in rows)
    size = len(frozenset().union(*sets))
    content = hashlib.blake2b("\n".join(sorted(contents)).encode(), digest_size=16).hexdigest()
    chunks = b"".join(signature(row) for row in made)
    return OutputSignatures(output_id, whole, size, content, contents, tuple(map(len, sets)), chunks)


def _chunk(one: OutputSignatures, at: int) -> bytes:
    return one.chunks[at * SIGNATURE_BYTES : (at + 1) * SIGNATURE_BYTES]


def _size(place: _Place) -> int:
    one, at = place
    return one.sizes[at]


def _equal(keyed: Iterable[tuple[Hashable, int]]) -> list[list[int]]:
    """Places by what they are equal in, in order of the first."""
    found: dict[Hashable, list[int]] = {}
    for key, place in keyed:
        found.setdefault(key, []).append(place)
    return list(found.values())


def _groups(links: Mapping[tuple[int, int], float]) -> list[list[tuple[int, float]]]:
    """What is linked, directly or by others: (place, similarity to the most similar), by place."""
    above: dict[int, int] = {}
    best: dict[int, float] = {}

    def top(place: int) -> int:
        while above.setdefault(place, place) != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    for (one, other), score in sorted(links.items()):
        above[max(top(one), top(other))] = min(top(one), top(other))
        for place in (one, other):
            best[place] = max(best.get(place, 0.0), score)
    groups: dict[int, list[tuple[int, float]]] = {}
    for place in sorted(best):
        groups.setdefault(top(place), []).append((place, best[place]))
    return list(groups.values())


def _largest(groups: Iterable[DuplicateGroup]) -> list[DuplicateGroup]:
    ordered = [
        DuplicateGroup(one.kind, tuple(sorted(one.members, key=lambda each: (each.collection, each.path))))
        for one in groups
    ]
    return sorted(ordered, key=lambda one: (-len(one.members), one.members[0].collection, one.members[0].path))

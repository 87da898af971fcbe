"""What stands behind an edge of the graph: the sentence that states it, or the passage that names both ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from etl_assets.ledger.snapshots import CollectionView, VisibleDocument
from etl_assets.protocols.graph import Entity, RelationEdge
from etl_assets.search.model import SearchPlaces
from etl_assets.search.published_rows import Row, published_rows
from etl_assets.stages.spec import Json

TOGETHER = "MENTIONED_WITH"
"""The kind of an edge that no sentence states: one document mentions both."""

WIDEST_PASSAGE = 500
"""Code points between two mentions that are still quoted in one piece."""

_REACH = 300
_STOP = re.compile(r"[.!?。！？](?=\s|$)|\n\s*\n")
STATED = 3
"""So many sentences that state the same of two entities are shown."""

_MENTION = ("page", "start", "end", "entity_id", "entity_type", "name", "confidence")
_RELATION = (
    "page", "start", "end", "sentence", "kind", "subject_id", "subject_type", "subject_name", "object_id",
    "object_type", "object_name", "negated", "certainty", "confidence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Citation:
    """``quote`` is ``pages.text[start:end]`` of ``page``, which counts from 1, in code points."""

    document_id: str
    tenant: str
    collection: str
    path: str
    title: str
    version: str
    page: int
    start: int
    end: int
    quote: str

    def as_json(self) -> dict[str, Json]:
        """Every field, under its name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Link:
    """One edge between two entities. ``kind`` is a relation's, such as USES, or MENTIONED_WITH where none is stated.

    ``negated`` and ``certainty`` (stated, likely, possible, alleged) are what the sentence says of it; ``citations``
    are one passage that holds both ends, or one for each end.
    """

    subject: Entity
    object: Entity
    kind: str
    negated: bool
    certainty: str
    confidence: float
    citations: tuple[Citation, ...]

    def as_json(self) -> dict[str, Json]:
        """Plain values; the ends as records of id, type and name."""
        return {
            "subject": entity_json(self.subject),
            "object": entity_json(self.object),
            "kind": self.kind,
            "negated": self.negated,
            "certainty": self.certainty,
            "confidence": round(self.confidence, 4),
            "citations": [one.as_json() for one in self.citations],
        }


def entity_json(entity: Entity) -> dict[str, Json]:
    """``entity_id, entity_type, name``."""
    return {name: getattr(entity, name) for name in Entity.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """One visible document with what it says: rows of pages, mentions and relations."""

    view: CollectionView
    document: VisibleDocument
    texts: Mapping[int, str]
    mentions: Sequence[Row]
    relations: Sequence[Row]

    @property
    def entities(self) -> dict[str, Entity]:
        """What it mentions, by id."""
        return {one["entity_id"]: Entity(one["entity_id"], one["entity_type"], one["name"]) for one in self.mentions}

    def citation(self, page: int, start: int, end: int) -> Citation:
        """The words ``[start:end)`` of a page, cited."""
        return cited(self.view, self.document, page, start, end, self.texts.get(page, "")[start:end])

    def said_of(self, entity_id: str) -> list[Link]:
        """The relations that its sentences state of an entity, in order of page and sentence."""
        ends = ("subject_id", "object_id")
        return [self._stated(one) for one in self.relations if entity_id in (one[name] for name in ends)]

    def passages(self, entity_id: str, limit: int) -> list[Citation]:
        """The first passages that mention an entity, none twice."""
        spans = []
        for one in self.mentions:
            if one["entity_id"] == entity_id:
                low, high = passage(self.texts.get(one["page"], ""), one["start"], one["end"])
                spans.append((one["page"], low, high))
        return [self.citation(*span) for span in sorted(dict.fromkeys(spans))[:limit]]

    def _stated(self, row: Row) -> Link:
        subject = Entity(row["subject_id"], row["subject_type"], row["subject_name"])
        target = Entity(row["object_id"], row["object_type"], row["object_name"])
        where = (self.citation(row["page"], row["start"], row["end"]),)
        return Link(subject, target, row["kind"], row["negated"], row["certainty"], float(row["confidence"]), where)

    def together(self, one: str, other: str) -> list[Link]:
        """That it mentions both entities, where they stand closest; empty if it does not."""
        mine = [row for row in self.mentions if row["entity_id"] == one]
        theirs = [row for row in self.mentions if row["entity_id"] == other]
        if not mine or not theirs:
            return []
        first, second = _nearest(mine, theirs)
        confidence = min(float(first["confidence"]), float(second["confidence"]))
        ends = self.entities
        return [Link(ends[one], ends[other], TOGETHER, False, "stated", confidence, self._around(first, second))]

    def _around(self, first: Row, second: Row) -> tuple[Citation, ...]:
        low, high = min(first["start"], second["start"]), max(first["end"], second["end"])
        if first["page"] == second["page"] and high - low <= WIDEST_PASSAGE:
            return (self.citation(first["page"], *passage(self.texts.get(first["page"], ""), low, high)),)
        return tuple(
            self.citation(row["page"], *passage(self.texts.get(row["page"], ""), row["start"], row["end"]))
            for row in (first, second)
        )


def cited(view: CollectionView, document: VisibleDocument, page: int, start: int, end: int, quote: str) -> Citation:
    """A quote of a visible document, with its place."""
    title = str(document.record.get("title") or document.path)
    return Citation(
        document.document_id, view.tenant, view.collection, document.path, title, document.version, page, start, end,
        quote,
    )  # fmt: skip


def stated_link(one: RelationEdge, view: CollectionView, document: VisibleDocument) -> Link:
    """A relation of the graph, with the sentence of the visible document that states it."""
    where = cited(view, document, one.page, one.start, one.end, one.sentence)
    return Link(one.subject, one.object, one.kind, one.negated, one.certainty, float(one.confidence), (where,))


def told_apart(links: Iterable[Link]) -> list[Link]:
    """At most STATED links of each statement, in their order; what contradicts another is a statement of its own."""
    counts: dict[tuple[str, str, str, bool], int] = {}
    kept = []
    for one in links:
        what = (one.subject.entity_id, one.kind, one.object.entity_id, one.negated)
        counts[what] = counts.get(what, 0) + 1
        if counts[what] <= STATED:
            kept.append(one)
    return kept


def read_documents(places: SearchPlaces, shown: Iterable[tuple[CollectionView, VisibleDocument]]) -> list[ReadDocument]:
    """Visible documents with their published rows, in the order given. A stage that a document lacks gives no rows.

    Raises:
        TransientError: the lake does not hold them any more.
    """
    pairs = list(shown)
    documents = [document for _, document in pairs]
    texts = published_rows(places, documents, "pages", ("page", "text"))
    mentions = published_rows(places, documents, "mentions", _MENTION)
    relations = published_rows(places, documents, "relations", _RELATION)
    return [
        ReadDocument(
            view, document, {row["page"]: row["text"] for row in texts.get(document.publication, ())},
            mentions.get(document.publication, ()), relations.get(document.publication, ()),
        )
        for view, document in pairs
    ]  # fmt: skip


def passage(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence or sentences around ``text[start:end]``, without the white space about them, as a span.

    At most 300 code points are added on either side, so a table without full stops gives a piece of it.
    """
    low, high = max(0, start - _REACH), min(len(text), end + _REACH)
    stops = [one.end() for one in _STOP.finditer(text, low, start)]
    low = stops[-1] if stops else low
    stop = _STOP.search(text, end, high)
    high = stop.end() if stop else high
    while low < start and text[low].isspace():
        low += 1
    while high > end and text[high - 1].isspace():
        high -= 1
    return low, high


def _nearest(mine: Sequence[Row], theirs: Sequence[Row]) -> tuple[Row, Row]:
    """The two mentions that stand closest, on one page before others; of equals the first."""
    ordered = sorted([*mine, *theirs], key=lambda row: (row["page"], row["start"], row["end"], row["entity_id"]))
    pairs = [
        (before, after)
        for before, after in zip(ordered, ordered[1:], strict=False)
        if before["entity_id"] != after["entity_id"]
    ]
    return min(pairs, key=lambda pair: (pair[1]["page"] - pair[0]["page"], pair[1]["start"] - pair[0]["end"]))

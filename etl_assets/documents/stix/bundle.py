"""Rows of mentions and relations of some documents as one STIX 2.1 bundle: a report for each document that refers to
everything found in it, one object an entity, one relationship a statement that is not denied."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from etl_assets.documents.stix.objects import Object, identifier, stix_object

if TYPE_CHECKING:
    import polars as pl

LEAST_CONFIDENCE = 0.5
"""Mentions and relations below it stay out unless the caller asks for them: a bundle is acted on by machines."""
_TYPES = {"USES": "uses", "TARGETS": "targets", "EXPLOITS": "exploits", "ATTRIBUTED_TO": "attributed-to"}
_ALLOWED = {
    "uses": ({"intrusion-set", "campaign", "malware", "tool"}, {"malware", "tool", "attack-pattern", "infrastructure"}),
    "targets": ({"intrusion-set", "campaign", "malware", "tool"},
                {"identity", "location", "vulnerability", "infrastructure"}),
    "exploits": ({"malware"}, {"vulnerability"}),
    "attributed-to": ({"campaign"}, {"intrusion-set"}),
}  # fmt: skip
"""Pairs that the specification names for a type of relationship; another pair is ``related-to``."""


@dataclass(frozen=True, slots=True)
class ReportOf:
    """What a bundle says about a document. ``published_at`` has a time zone; ``labels`` are free words."""

    document_id: str
    title: str
    published_at: datetime
    labels: tuple[str, ...] = ()


def stix_bundle(
    reports: Sequence[ReportOf],
    mentions: "pl.DataFrame",
    relations: "pl.DataFrame",
    *,
    least: float = LEAST_CONFIDENCE,
) -> dict[str, Any]:
    """A bundle as plain JSON values, the same for the same rows in any order.

    ``mentions`` and ``relations`` are rows of these stages, of the documents in ``reports`` and perhaps of others.
    What is denied makes no relationship; ``likely``, ``possible`` and ``alleged`` lower its confidence. Several
    sentences that state the same relation make one, described by the surest. Empty input gives an empty bundle.
    """
    objects: dict[str, Object] = {}
    for report in sorted(reports, key=lambda one: one.document_id):
        objects |= _of_report(report, _of(mentions, report, least), _of(relations, report, least), objects)
    found = [objects[key] for key in sorted(objects)]
    ids = [str(one["id"]) for one in found]
    return {"type": "bundle", "id": identifier("bundle", *ids), "objects": found}


def _of(rows: "pl.DataFrame", report: ReportOf, least: float) -> list[dict[str, Any]]:
    import polars as pl

    mine = rows.filter((pl.col("document_id") == report.document_id) & (pl.col("confidence") >= least))
    return mine.sort("page", "start", "end", *[name for name in ("subject_id", "object_id") if name in mine.columns],
                     maintain_order=True).rows(named=True)  # fmt: skip


def _of_report(
    report: ReportOf, mentions: Sequence[Mapping[str, Any]], relations: Sequence[Mapping[str, Any]],
    known: Mapping[str, Object],
) -> dict[str, Object]:  # fmt: skip
    stamp = report.published_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    entities = _entities(mentions, stamp)
    made: dict[str, Object] = {}
    for one in entities.values():
        earlier = known.get(str(one["id"]))
        made[str(one["id"])] = one if earlier is None else _joined(earlier, one)
    for one in _relationships(relations, entities, stamp):
        earlier = known.get(str(one["id"])) or made.get(str(one["id"]))
        made[str(one["id"])] = one if earlier is None else _joined(earlier, one)
    if made:
        body = report_object(report, sorted(made), stamp)
        made[str(body["id"])] = body
    return made


def _entities(mentions: Iterable[Mapping[str, Any]], stamp: str) -> dict[str, Object]:
    """Objects by entity id. A name that no catalogue knows is given as it is most often written."""
    best: dict[str, float] = {}
    kinds: dict[str, tuple[str, str]] = {}
    written: dict[str, Counter[str]] = {}
    for one in mentions:
        entity_id = one["entity_id"]
        best[entity_id] = max(best.get(entity_id, 0.0), one["confidence"])
        kinds[entity_id] = one["entity_type"], one["name"]
        written.setdefault(entity_id, Counter())[" ".join(one["text"].split())] += 1
    found = {}
    for entity_id, (kind, name) in sorted(kinds.items()):
        shown = name
        if entity_id == f"{kind}:{name}" and kind in ("malware", "group", "tool", "organisation", "product"):
            shown = max(written[entity_id].items(), key=lambda item: (item[1], item[0]))[0]
        made = stix_object(entity_id, kind, shown, stamp=stamp, confidence=round(best[entity_id] * 100))
        if made is not None:
            found[entity_id] = made
    return found


def _relationships(
    relations: Iterable[Mapping[str, Any]], entities: Mapping[str, Object], stamp: str
) -> Iterable[Object]:
    surest: dict[str, Object] = {}
    for one in relations:
        source, target = entities.get(one["subject_id"]), entities.get(one["object_id"])
        if one["negated"] or source is None or target is None:
            continue
        kind = _relationship_type(one["kind"], str(source["type"]), str(target["type"]))
        factor = {"stated": 1.0, "likely": 0.8, "alleged": 0.6, "possible": 0.5}[one["certainty"]]
        made: Object = {
            "type": "relationship", "spec_version": "2.1",
            "id": identifier("relationship", str(source["id"]), kind, str(target["id"])),
            "created": stamp, "modified": stamp, "relationship_type": kind, "source_ref": source["id"],
            "target_ref": target["id"], "confidence": round(one["confidence"] * factor * 100),
            "description": " ".join(one["sentence"].split()),
        }  # fmt: skip
        earlier = surest.get(str(made["id"]))
        surest[str(made["id"])] = made if earlier is None else _joined(earlier, made)
    return surest.values()


def _relationship_type(kind: str, source: str, target: str) -> str:
    named = _TYPES.get(kind, "related-to")
    if named == "exploits" and source != "malware":
        named = "targets"
    sources, targets = _ALLOWED.get(named, (set(), set()))
    return named if source in sources and target in targets else "related-to"


def _joined(first: Object, second: Object) -> Object:
    """The surer of two objects of one id, created when the earlier was and modified when the later was."""
    rank = [
        (int(str(one["confidence"])), str(one.get("description", "")), str(one["created"])) for one in (first, second)
    ]
    surer = first if rank[0] >= rank[1] else second
    times = sorted((str(first["created"]), str(second["created"])))
    latest = max(str(first["modified"]), str(second["modified"]))
    joined: Object = {**surer, "created": times[0], "modified": latest}
    return {**joined, "valid_from": times[0]} if "valid_from" in joined else joined


def report_object(report: ReportOf, object_refs: Sequence[str], stamp: str) -> Object:
    """The STIX report of a document; it must refer to something."""
    made: Object = {
        "type": "report", "spec_version": "2.1", "id": identifier("report", report.document_id), "created": stamp,
        "modified": stamp, "name": report.title, "published": stamp, "report_types": ["threat-report"],
        "object_refs": list(object_refs),
    }  # fmt: skip
    return {**made, "labels": sorted(report.labels)} if report.labels else made

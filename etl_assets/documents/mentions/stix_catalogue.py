"""A catalogue from any STIX 2.1 bundle, alone or beside another one.

STIX 2.1: docs.oasis-open.org/cti/stix/v2.1; what MITRE adds to it: github.com/mitre/cti, USAGE.md.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from etl_assets.documents.mentions.catalogue import ENTITY_TYPES, Catalogue, Entry
from etl_assets.documents.mentions.written import normal_name
from etl_assets.errors import DataError

if TYPE_CHECKING:
    pass

_LONGEST_NAME = 200
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Refused:
    """An object of a bundle that was left out, and why; ``place`` counts the bundle's objects from 0."""

    place: int
    object_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """The records of a bundle in the form ``Catalogue.from_objects`` reads, and what was left out as broken.

    Revoked and deprecated objects, and types that are no entities here, are left out without a word.
    """

    objects: tuple[Mapping[str, Any], ...]
    relationships: tuple[Mapping[str, Any], ...]
    refused: tuple[Refused, ...]

    def catalogue(self) -> Catalogue:
        """The bundle alone; its digest is that of its records."""
        return Catalogue.from_objects(self.objects, self.relationships)

    def added_to(self, base: Catalogue) -> Catalogue:
        """The bundle's objects beside those of ``base``; where both have one of the same id, the bundle's counts."""
        mine = {entry.entity_id for entry in self.catalogue().entries}
        kept = [_record_of(entry) for entry in base.entries if entry.entity_id not in mine]
        stated = [
            {"source_id": _bare(one.source_id), "type": one.kind, "target_id": _bare(one.target_id), "text": one.text}
            for one in base.relationships
        ]
        return Catalogue.from_objects([*kept, *self.objects], [*stated, *self.relationships])


def read_bundle(data: bytes) -> Bundle:
    """The objects of a STIX 2.1 bundle in JSON; a broken one is named and its neighbours are read.

    Raises:
        DataError: the bytes are no JSON, or no bundle with a list of objects.
    """
    try:
        bundle = json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as e:
        raise DataError(f"STIX bundle: it is no JSON: {e}; save it as UTF-8 JSON", reason="stix-bundle") from e
    if not isinstance(bundle, dict) or bundle.get("type") != "bundle" or not isinstance(bundle.get("objects"), list):
        raise DataError(
            'STIX bundle: it is no bundle; expected {"type": "bundle", "objects": [...]}', reason="stix-bundle"
        )
    records: dict[str, dict[str, Any]] = {}
    refused: list[Refused] = []
    for place, one in enumerate(bundle["objects"]):
        kind = one.get("type") if isinstance(one, dict) else None
        if isinstance(kind, str) and kind not in ENTITY_TYPES:
            continue
        try:
            record = _record(one)
        except ValueError as e:
            name = str(one.get("id") or one.get("name") or "") if isinstance(one, dict) else ""
            refused.append(Refused(place, name[:_LONGEST_NAME], str(e)))
            continue
        if record is not None:
            # The newest version of an object counts; bundles may hold several.
            known = records.get(one["id"])
            if known is None or known["modified"] <= record["modified"]:
                records[one["id"]] = record
    stated = _relationships(bundle["objects"], records)
    return Bundle(tuple(records.values()), tuple(stated), tuple(refused))


def _record(one: object) -> dict[str, Any] | None:
    """The record of one object, None where it is revoked, deprecated or a person.

    Raises:
        ValueError: a field that is needed is missing or of another type.
    """
    if not isinstance(one, dict) or not isinstance(one.get("type"), str):
        raise ValueError("it is no object with a type")
    if one.get("revoked") is True or one.get("x_mitre_deprecated") is True:
        return None
    if one["type"] == "identity" and one.get("identity_class", "organization") != "organization":
        return None
    object_id, name = one.get("id"), one.get("name") or (one.get("country") if one["type"] == "location" else None)
    if not isinstance(object_id, str) or not object_id.startswith(f"{one['type']}--"):
        raise ValueError(f"its id {str(object_id)[:60]!r} does not begin with {one['type']}--")
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise ValueError(f"its name must be text of 1 to {_LONGEST_NAME} characters")
    aliases = [*_texts(one, "aliases"), *_texts(one, "x_mitre_aliases")]
    record = {
        "type": one["type"], "id": object_id, "name": name.strip(), "attack_id": _attack_id(one),
        "aliases": [alias for alias in dict.fromkeys(aliases) if alias.strip() and alias != name],
        "domains": _texts(one, "x_mitre_domains"), "tactics": _tactics(one), "modified": str(one.get("modified") or ""),
    }  # fmt: skip
    entity_id = _entity_id(one, record)
    made = {**record, "entity_id": entity_id} if entity_id else record
    if _SURROGATE.search(json.dumps(made, ensure_ascii=False)):
        raise ValueError("its text has half a character, a lone surrogate")
    return made


def _texts(one: Mapping[str, Any], field: str) -> list[str]:
    found = one.get(field) or []
    if not isinstance(found, list) or not all(isinstance(item, str) and len(item) <= _LONGEST_NAME for item in found):
        raise ValueError(f"its {field} must be a list of texts")
    return found


def _references(one: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = one.get("external_references") or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError("its external_references must be a list of objects")
    return found


def _attack_id(one: Mapping[str, Any]) -> str:
    sources = ("mitre-attack", "mitre-mobile-attack", "mitre-ics-attack")
    ids = (item.get("external_id") for item in _references(one) if item.get("source_name") in sources)
    return next((found for found in ids if isinstance(found, str)), "")


def _tactics(one: Mapping[str, Any]) -> list[str]:
    phases = one.get("kill_chain_phases", [])
    if not isinstance(phases, list):
        raise ValueError("its kill_chain_phases must be a list")
    return [str(phase["phase_name"]) for phase in phases if isinstance(phase, dict) and "phase_name" in phase]


def _entity_id(one: Mapping[str, Any], record: Mapping[str, Any]) -> str | None:
    """The id under which the same thing is known without a catalogue: a CVE number, a country, a name."""
    if one["type"] == "vulnerability":
        ids = [record["name"], *(item.get("external_id") for item in _references(one))]
        return next((f"cve:{found.upper()}" for found in ids if str(found).upper().startswith("CVE-")), None)
    if one["type"] == "location":
        code = one.get("country") or one.get("region")
        return f"location:{code}" if isinstance(code, str) and code else f"location:{normal_name(record['name'])}"
    return f"organisation:{normal_name(record['name'])}" if one["type"] == "identity" else None


def _relationships(objects: Iterable[object], records: Mapping[str, Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Those between two objects that were read."""
    ids = {object_id: _bare(str(record.get("entity_id") or "")) or record["attack_id"] or object_id
           for object_id, record in records.items()}  # fmt: skip
    for one in objects:
        if isinstance(one, dict) and one.get("type") == "relationship" and not one.get("revoked"):
            source, target = ids.get(str(one.get("source_ref"))), ids.get(str(one.get("target_ref")))
            if source and target and isinstance(one.get("relationship_type"), str):
                text = one.get("description")
                yield {"source_id": source, "type": one["relationship_type"], "target_id": target,
                       "text": _SURROGATE.sub("\ufffd", text) if isinstance(text, str) else ""}  # fmt: skip


def _bare(entity_id: str) -> str:
    return entity_id.partition(":")[2]


def _record_of(entry: Entry) -> dict[str, Any]:
    """An entry as the record that gives it again."""
    kinds = {kind: stix for stix, kind in ENTITY_TYPES.items()} | {"cve": "vulnerability"}
    return {
        "type": kinds[entry.entity_type], "entity_id": entry.entity_id, "id": _bare(entry.entity_id),
        "name": entry.name, "attack_id": entry.attack_id, "aliases": list(entry.aliases),
        "domains": list(entry.domains), "tactics": list(entry.tactics),
    }  # fmt: skip

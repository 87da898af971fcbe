"""One STIX 2.1 object for each entity, with an id that is the same whoever makes it from the same entity.

docs.oasis-open.org/cti/stix/v2.1: section 2.9 for ids of observables, 4 for domain objects, 9 for patterns.
"""

import json
import re
import uuid
from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = str | int | bool | list[str] | list[dict[str, str]]
Object: TypeAlias = dict[str, Value]

NAMESPACE = uuid.UUID("6f1c4d2e-8a55-5f0b-9c3e-0d2b7a4e1f90")
"""Names of ids made here. Version 5 of RFC 9562, as STIX asks for ids that are the same each time."""

_PATTERNS: Mapping[str, str] = {
    "ipv4": "[ipv4-addr:value = '{}']",
    "ipv6": "[ipv6-addr:value = '{}']",
    "domain": "[domain-name:value = '{}']",
    "url": "[url:value = '{}']",
    "email": "[email-addr:value = '{}']",
    "md5": "[file:hashes.MD5 = '{}']",
    "sha1": "[file:hashes.'SHA-1' = '{}']",
    "sha256": "[file:hashes.'SHA-256' = '{}']",
    "sha512": "[file:hashes.'SHA-512' = '{}']",
}
_REGIONS = frozenset(
    "africa eastern-africa northern-africa western-africa americas northern-america south-america asia central-asia"
    " latin-america-caribbean central-america caribbean eastern-asia southern-asia south-eastern-asia europe oceania"
    " eastern-europe western-europe northern-europe southern-europe".split()
)
_SECTORS = frozenset(
    "agriculture aerospace automotive chemical communications construction defense education energy entertainment"
    " financial-services government healthcare hospitality-leisure infrastructure insurance manufacturing mining"
    " non-profit pharmaceuticals retail technology telecommunications transportation utilities water".split()
)
_ATTACK_URLS = {"T": "techniques", "G": "groups", "S": "software", "C": "campaigns", "M": "mitigations"}


def identifier(kind: str, *parts: str) -> str:
    """The id of an object of this STIX type that stands for these parts."""
    return f"{kind}--{uuid.uuid5(NAMESPACE, json.dumps([kind, *parts], ensure_ascii=False))}"


def stix_object(entity_id: str, entity_type: str, name: str, *, stamp: str, confidence: int) -> Object | None:
    """The object that stands for an entity; None for a type STIX has no object for, such as dates.

    ``stamp`` is the time of creation in STIX's form, ``confidence`` from 0 to 100.
    """
    made = _of_type(entity_id, entity_type, name, stamp)
    if made is None:
        return None
    kind, fields = made
    found: Object = {
        "type": kind, "spec_version": "2.1", "id": identifier(kind, entity_id), "created": stamp, "modified": stamp,
        "confidence": confidence, **fields,
    }  # fmt: skip
    normal = entity_id.partition(":")[2]
    if re.fullmatch(r"(?:T\d{4}(?:\.\d{3})?|[GSCM]\d{4})", normal) and entity_type != "cwe":
        path = f"{_ATTACK_URLS[normal[0]]}/{normal.replace('.', '/')}"
        reference = {"source_name": "mitre-attack", "external_id": normal, "url": f"https://attack.mitre.org/{path}"}
        found["external_references"] = [reference]
    return found


def _of_type(entity_id: str, entity_type: str, name: str, stamp: str) -> tuple[str, Object] | None:
    normal = entity_id.partition(":")[2]
    if entity_type in _PATTERNS:
        pattern = _PATTERNS[entity_type].format(normal.replace("\\", "\\\\").replace("'", "\\'"))
        return "indicator", {
            "name": name, "pattern": pattern, "pattern_type": "stix", "valid_from": stamp,
            "indicator_types": ["unknown"], "description": "Named in a report; not checked further.",
        }  # fmt: skip
    if entity_type == "location":
        place = {"country": normal} if len(normal) == 2 else {"region": normal} if normal in _REGIONS else None
        # A location needs a country, a region or coordinates: of other places only the name is known.
        return None if place is None else ("location", {"name": name, **place})
    if entity_type == "sector":
        sectors: list[str] = [normal] if normal in _SECTORS else []
        return "identity", {"name": name, "identity_class": "class", **({"sectors": sectors} if sectors else {})}
    plain: dict[str, tuple[str, Object]] = {
        "malware": ("malware", {"is_family": True}), "tool": ("tool", {}), "group": ("intrusion-set", {}),
        "campaign": ("campaign", {}), "technique": ("attack-pattern", {}), "mitigation": ("course-of-action", {}),
        "vulnerability": ("vulnerability", {}), "organisation": ("identity", {"identity_class": "organization"}),
    }  # fmt: skip
    if entity_type == "cve":
        return "vulnerability", {"name": name, "external_references": [{"source_name": "cve", "external_id": name}]}
    if entity_type == "product":
        return "infrastructure", {"name": name}
    if entity_type not in plain:
        return None
    kind, fields = plain[entity_type]
    return kind, {"name": name, **fields}

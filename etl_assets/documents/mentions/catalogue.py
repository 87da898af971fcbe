"""The catalogue that mentions are linked to: what it holds, how it is loaded. Matching text is in ``names``."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from etl_assets.documents.mentions.names import NameIndex

ENTITY_TYPES: Mapping[str, str] = {
    "attack-pattern": "technique",
    "course-of-action": "mitigation",
    "campaign": "campaign",
    "intrusion-set": "group",
    "malware": "malware",
    "tool": "tool",
    "x-mitre-tactic": "tactic",
    "vulnerability": "vulnerability",
    "location": "location",
    "identity": "organisation",
}
"""STIX 2.1 object types and what they are called here."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that can be mentioned. ``domains`` are such as ``enterprise-attack``, ``tactics`` short names."""

    entity_id: str
    entity_type: str
    attack_id: str
    name: str
    aliases: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    tactics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relationship:
    """What the catalogue states about two of its things; ``text`` is the sentence it gives, "" without one."""

    source_id: str
    kind: str
    target_id: str
    text: str


class Catalogue:
    """The names and ids that can be found. Immutable; everything costly is built when first asked for."""

    def __init__(self, lines: bytes, digest: str, relationships: bytes = b"") -> None:
        self._lines = lines
        self._relationships = relationships
        self.digest = digest

    @classmethod
    def load(cls) -> "Catalogue":
        """The packaged ATT&CK v18.1 (enterprise, mobile, ICS). One object per process."""
        return _packaged()

    @classmethod
    def from_objects(
        cls, objects: Iterable[Mapping[str, Any]], relationships: Iterable[Mapping[str, Any]] = ()
    ) -> "Catalogue":
        """A catalogue of other objects: records with ``type`` (STIX), ``name``, and where known ``attack_id``, ``id``,
        ``aliases``, ``domains``, ``tactics``; ``entity_id`` where the entity is known by another id. Records of other
        types are passed over. Relationships have ``source_id``, ``type``, ``target_id`` and ``text``.

        Raises:
            ConfigError: a record has no name, or neither ``attack_id`` nor ``id``.
        """
        lines, stated = _json_lines(objects), _json_lines(relationships)
        catalogue = cls(lines, _digest(lines, stated), stated)
        _ = catalogue.entries
        return catalogue

    def _object_lines(self) -> bytes:
        return self._lines

    def _relationship_lines(self) -> bytes:
        return self._relationships

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Everything in it, in the order given."""
        records = (json.loads(line) for line in self._object_lines().splitlines())
        return tuple(_entry(record) for record in records if record.get("type") in ENTITY_TYPES)

    @cached_property
    def by_attack_id(self) -> Mapping[str, Entry]:
        """Entries by their ATT&CK id, such as ``T1059.001``."""
        return {entry.attack_id: entry for entry in self.entries if entry.attack_id}

    @cached_property
    def relationships(self) -> tuple[Relationship, ...]:
        """What it states about pairs of entries, by entity id. Pairs with a thing it does not hold are left out."""
        known = {entry.entity_id.partition(":")[2]: entry.entity_id for entry in self.entries}
        records = (json.loads(line) for line in self._relationship_lines().splitlines())
        return tuple(
            Relationship(known[one["source_id"]], one["type"], known[one["target_id"]], one.get("text") or "")
            for one in records
            if one["source_id"] in known and one["target_id"] in known
        )

    @cached_property
    def names(self) -> "NameIndex":
        """The automaton that finds its names in text."""
        from etl_assets.documents.mentions.names import NameIndex

        return NameIndex(self.entries)


def _json_lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    lines = (json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":")) for record in records)
    return "\n".join(lines).encode()


def _digest(*parts: bytes) -> str:
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest()


class _PackagedCatalogue(Catalogue):
    """Holds the compressed bytes, so that its digest costs a millisecond and no decompression."""

    def __init__(self) -> None:
        data = resources.files(__package__) / "data"
        self._objects_gz = (data / "attack_objects.jsonl.gz").read_bytes()
        self._data = data
        super().__init__(b"", _digest(self._objects_gz))

    def _object_lines(self) -> bytes:
        return gzip.decompress(self._objects_gz)

    def _relationship_lines(self) -> bytes:
        return gzip.decompress((self._data / "attack_relationships.jsonl.gz").read_bytes())


@cache
def _packaged() -> Catalogue:
    return _PackagedCatalogue()


def _entry(record: Mapping[str, Any]) -> Entry:
    name, attack_id = record.get("name"), record.get("attack_id") or ""
    normal = attack_id or record.get("id")
    if not name or not normal:
        raise ConfigError(f"catalogue object {record.get('id') or record.get('name')!r}: it needs a name and an id")
    entity_id = record.get("entity_id") or f"{ENTITY_TYPES[record['type']]}:{normal}"
    return Entry(
        entity_id, entity_id.partition(":")[0], attack_id, name, tuple(record.get("aliases") or ()),
        tuple(record.get("domains") or ()), tuple(record.get("tactics") or ()),
    )  # fmt: skip

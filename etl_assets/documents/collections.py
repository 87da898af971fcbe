"""``collections.yaml``: what a person decides about each collection, and every mistake in it by line and column.

A collection gets, value by value, what stands for it itself, else for its tenant (``tenant/*``), else under
``defaults``, else the built-in default.
"""

import hashlib
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

from etl_assets.documents.collection_fields import DEFAULTS, FIELDS, SECTIONS
from etl_assets.documents.collection_reader import EVERY, Key, read_values
from etl_assets.documents.parameters import CollectionSettings
from etl_assets.errors import ConfigError

FILE_NAME = "collections.yaml"

_EXAMPLE = """For example:
collections:
  acme/*:
    embedder:
      kind: static
  acme/reports:
    chunking:
      max_tokens: 120
    shards: 16
    owners: [team:research]
"""


@dataclass(frozen=True, slots=True)
class _Decided:
    settings: CollectionSettings
    digest: str


@dataclass(frozen=True, slots=True)
class Collections:
    """What is decided about every collection, those not named included."""

    _all: Mapping[Key, _Decided]

    @classmethod
    def read(cls, path: Path) -> "Collections":
        """From a file; one that is missing decides nothing.

        Raises:
            ConfigError: every mistake in it, a line each; or it cannot be read.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as e:
            raise ConfigError(f"{path}: cannot be read ({e.strerror}); check the file and its rights") from e
        return cls.parse(content, name=path.name, folder=path.parent)

    @classmethod
    def parse(cls, content: bytes | str, *, name: str = FILE_NAME, folder: Path | None = None) -> "Collections":
        """From the text of such a file. ``folder`` is where relative paths in it begin (``None``: kept as they are).

        Raises:
            ConfigError: every mistake, one a line, as ``name:line:column: path: problem; what to do``.
        """
        values = read_values(content.encode() if isinstance(content, str) else content, name)
        return cls({key: _decided(found, folder) for key, found in values.items()})

    def of(self, tenant: str, collection: str) -> CollectionSettings:
        """What holds for one collection."""
        return self._decided(tenant, collection).settings

    def with_settings(self, tenant: str, collection: str, settings: CollectionSettings) -> "Collections":
        """The same decisions, but for one collection, which gets ``settings``."""
        decided = _Decided(settings, self.digest_of(tenant, collection))
        return Collections({**self._all, (tenant, collection): decided})

    def digest_of(self, tenant: str, collection: str) -> str:
        """Digest of all that holds for one collection, 32 hex digits: it changes with any of its settings."""
        return self._decided(tenant, collection).digest

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """(tenant, collection) that the file names, sorted; those named by ``tenant/*`` only are left out."""
        return tuple(key for key in self._all if key is not None and key[1] != EVERY)

    def _decided(self, tenant: str, collection: str) -> _Decided:
        exact = self._all.get((tenant, collection))
        return exact or self._all.get((tenant, EVERY)) or self._all[None]


def _decided(values: Mapping[str, object], folder: Path | None) -> _Decided:
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    settings = _built(values)
    if settings.embedder.path is not None and folder is not None:
        resolved = str(folder.absolute() / settings.embedder.path)
        settings = replace(settings, embedder=replace(settings.embedder, path=resolved))
    return _Decided(settings, hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest())


def _built(values: Mapping[str, object]) -> CollectionSettings:
    """The record of flat values: the inverse of ``leaves``."""
    standard = CollectionSettings()
    parts: dict[str, object] = {}
    for part in fields(CollectionSettings):
        default = getattr(standard, part.name)
        if is_dataclass(default):
            inner = {field.name: values[f"{part.name}.{field.name}"] for field in fields(default)}
            parts[part.name] = replace(default, **inner)  # type: ignore[type-var]  # an instance, not a class
        else:
            parts[part.name] = values[part.name]
    return replace(standard, **parts)  # type: ignore[arg-type]  # each value was read by the kind of its own field


def template() -> str:
    """The file that a person starts from: every setting with its default, unit and meaning, as comments and values."""
    lines = [
        "# What is decided about collections. A collection gets, value by value, what stands for it under",
        "# `collections`, else for its tenant (tenant/*), else under `defaults`. What is removed here has the",
        "# same default again. Check the file with: etl-assets status",
        "",
        "defaults:",
    ]
    section = ""
    for name, field in FIELDS.items():
        group, _, leaf = name.rpartition(".")
        if group and group != section:
            lines += ["", f"  # {SECTIONS[group]}", f"  {group}:"]
        section, indent = group, "    " if group else "  "
        comments = textwrap.wrap(field.meaning, 100) + textwrap.wrap(f"Allowed: {field.allowed}.", 100)
        lines += ["", *(f"{indent}# {comment}" for comment in comments)]
        lines.append(f"{indent}{leaf}: {_written(DEFAULTS[name])}")
    lines += ["", "collections: {}", *(f"# {line}".rstrip() for line in _EXAMPLE.splitlines()), ""]
    return "\n".join(lines)


def _written(value: object) -> str:
    """A default as YAML."""
    return json.dumps(value) if not isinstance(value, str) else value

"""From the nodes of ``collections.yaml`` to what holds for every collection, noting each mistake by line and column."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import yaml

from etl_assets.documents.collection_fields import DEFAULTS, FIELDS, MINILM_TOKENS, SECTIONS
from etl_assets.documents.marked_yaml import compose, is_null, pairs, place
from etl_assets.documents.model import NAME
from etl_assets.errors import ConfigError
from etl_assets.fields import Field, Real, Switch, Whole
from etl_assets.protocols.hosted_models import JINA_DEFAULT, checked_jina

EVERY = "*"
"""In place of a collection's name: all collections of the tenant."""

Key = tuple[str, str] | None
"""Whom values are for, (tenant, collection); ``None`` is everybody."""

_STRING = "tag:yaml.org,2002:str"
_SHOWN_CHARACTERS = 60


def read_values(content: bytes, name: str) -> dict[Key, dict[str, object]]:
    """Every setting by its path, for everybody and for each collection that the file names.

    Raises:
        ConfigError: every mistake, one a line, as ``name:line:column: path: problem; what to do``.
    """
    reader = _Reader()
    layers = reader.layers(compose(content, name))
    values: dict[Key, dict[str, object]] = {None: reader.merged(DEFAULTS, layers.pop(None, {}))}
    # "*" sorts before every name, so what holds for a tenant is there before its collections need it.
    for tenant, collection in sorted(key for key in layers if key is not None):
        base = values.get((tenant, EVERY), values[None])
        values[tenant, collection] = reader.merged(base, layers[tenant, collection])
    if reader.problems:
        lines = [f"{name}:{line}:{column}: {problem}" for line, column, problem in sorted(reader.problems)]
        raise ConfigError("\n".join(lines))
    return values


@dataclass(frozen=True, slots=True)
class _Path:
    """A key by its dotted name, and the node where it stands; the whole file has the name ""."""

    name: str
    node: yaml.Node

    def below(self, name: str, node: yaml.Node) -> "_Path":
        """A key inside this one."""
        return _Path(f"{self.name}.{name}" if self.name else name, node)


@dataclass(frozen=True, slots=True)
class _Given:
    """One value as it stands in the file."""

    value: object
    node: yaml.Node
    path: _Path


_Layer = dict[str, _Given]


class _Reader:
    """Walks the nodes, keeps what is right and notes what is not."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, int, str]] = []

    def layers(self, root: yaml.Node | None) -> dict[Key, _Layer]:
        """What stands under ``defaults`` (``None``) and for each collection."""
        found: dict[Key, _Layer] = {}
        for key, node, path in self._entries(root, _Path("", root)) if root is not None else ():
            if key == "defaults":
                found[None] = self._layer(node, path)
            elif key == "collections":
                for name, settings, below in self._entries(node, path):
                    layer = self._layer(settings, below)
                    owner = self._owner(name, below)
                    if owner is not None:
                        found[owner] = layer
            else:
                self._unknown(path, key, ("defaults", "collections"))
        return found

    def merged(self, base: Mapping[str, object], layer: _Layer) -> dict[str, object]:
        """``base`` with a layer on top. A contradiction is noted only where the layer itself takes part in it.

        Another kind of embedder begins without the options of the one that it replaces.
        """
        kind = layer.get("embedder.kind")
        if kind is not None and kind.value != base["embedder.kind"]:
            base = {name: DEFAULTS[name] if name.startswith("embedder.") else value for name, value in base.items()}
        values = {**base, **{name: given.value for name, given in layer.items()}}
        for involved, problem in _contradictions(values):
            culprits = [layer[name] for name in involved if name in layer]
            if culprits:
                last = max(culprits, key=lambda given: place(given.node))
                self._note(last.node, last.path, problem)
        return values

    def _layer(self, node: yaml.Node, path: _Path) -> _Layer:
        layer: _Layer = {}
        for key, value, value_path in self._entries(node, path):
            if key in SECTIONS:
                for name, leaf, leaf_path in self._entries(value, value_path):
                    inside = [field.partition(".")[2] for field in FIELDS if field.startswith(f"{key}.")]
                    if name in inside:
                        self._leaf(layer, f"{key}.{name}", leaf, leaf_path)
                    else:
                        self._unknown(leaf_path, name, inside)
            elif key in FIELDS and "." not in key:
                self._leaf(layer, key, value, value_path)
            else:
                self._unknown(value_path, key, [*SECTIONS, *(field for field in FIELDS if "." not in field)])
        return layer

    def _leaf(self, layer: _Layer, name: str, node: yaml.Node, path: _Path) -> None:
        try:
            layer[name] = _Given(_value(node, FIELDS[name]), node, path)
        except ConfigError as e:
            self._note(node, path, f"{_shown(node)}; use {e}")

    def _entries(self, node: yaml.Node, path: _Path) -> Iterator[tuple[str, yaml.Node, _Path]]:
        """Every key of a mapping once, with its value and path."""
        if not isinstance(node, yaml.MappingNode) and not is_null(node):
            self._note(node, path, f"{_shown(node)}; use a mapping of settings")
        seen: set[str] = set()
        for key, value in pairs(node):
            if not isinstance(key, yaml.ScalarNode):
                self._note(key, path, "a key that is a list or a mapping; use a word")
                continue
            name = str(key.value)
            below = path.below(name, key)
            if name in seen:
                self._note(key, below, "given twice; keep one of them")
            else:
                seen.add(name)
                yield name, value, below

    def _owner(self, name: str, path: _Path) -> tuple[str, str] | None:
        tenant, slash, collection = name.partition("/")
        if slash and NAME.fullmatch(tenant) and (collection == EVERY or NAME.fullmatch(collection)):
            return tenant, collection
        self._note(path.node, path, "not a collection; use tenant/collection or tenant/*, names of a-z, 0-9, _ and -")
        return None

    def _unknown(self, path: _Path, name: str, known: Sequence[str]) -> None:
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        self._note(path.node, path, f"unknown; {advice}")

    def _note(self, node: yaml.Node, path: _Path, problem: str) -> None:
        line, column = place(node)
        self.problems.append((line, column, f"{path.name}: {problem}" if path.name else problem))


def _value(node: yaml.Node, field: Field) -> object:
    if is_null(node) and field.optional:
        return None
    if field.many:
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigError(field.allowed)
        return tuple(_scalar(item, field) for item in node.value)
    return _scalar(node, field)


def _scalar(node: yaml.Node, field: Field) -> object:
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(field.allowed)
    # A quoted number is a text, and a bare `no` or `12` is none.
    plain = isinstance(field.kind, Whole | Real | Switch)
    if (plain and node.style is not None) or (not plain and node.tag != _STRING):
        raise ConfigError(field.allowed)
    try:
        return field.kind.read(str(node.value))
    except ConfigError as e:
        raise ConfigError(field.allowed) from e


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        if is_null(node):
            return "nothing"
        shown = ascii(str(node.value)[:_SHOWN_CHARACTERS])
        return shown if node.style else shown[1:-1]
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _contradictions(values: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
    """(the settings involved, what is wrong) of values that are each allowed, but not together."""
    for part, whole in (("overlap_tokens", "max_tokens"), ("overlap", "size")):
        small, large = values[f"chunking.{part}"], values[f"chunking.{whole}"]
        assert isinstance(small, int) and isinstance(large, int)
        if small >= large:
            yield (
                (f"chunking.{part}", f"chunking.{whole}"),
                f"{part} {small} is not below {whole} {large}; lower {part} or raise {whole}",
            )
    kind, longest = values["embedder.kind"], values["chunking.max_tokens"]
    assert isinstance(longest, int)
    if kind == "minilm" and values["chunking.mode"] == "structure" and longest > MINILM_TOKENS:
        yield (
            ("chunking.max_tokens", "chunking.mode", "embedder.kind"),
            f"max_tokens {longest} is more than the {MINILM_TOKENS} the minilm embedder reads; lower it",
        )
    for name in ("parsing.pdf", "parsing.html"):
        named = values[name]
        assert isinstance(named, tuple)
        if not named or len(set(named)) < len(named):
            yield (name,), "names no extractor, or one twice; name one or more, each once"
    yield from _embedder_contradictions(values)
    if values["classification.model"] is not None and values["classification.classifier"] == "local":
        named = ("classification.classifier", "classification.model")
        yield named, "classifier local takes no model; remove model, or choose classifier jina"


_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "minilm": (),
        "static": (),
        "folder": ("path",),
        "jina": ("model", "dimension", "late_chunking"),
        "openai": ("model", "dimension", "context_tokens", "shorten", "document_prefix", "query_prefix"),
    }
)
"""What each kind of embedder may be told."""

_NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType({"folder": ("path",), "openai": ("model", "dimension")})


def _embedder_contradictions(values: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
    kind = str(values["embedder.kind"])
    for name in (field.removeprefix("embedder.") for field in FIELDS if field.startswith("embedder.")):
        given = values[f"embedder.{name}"]
        if name == "kind":
            continue
        if given is None and name in _NEEDED.get(kind, ()):
            yield ("embedder.kind", f"embedder.{name}"), f"kind {kind} needs a {name}; add {name}"
        elif given not in (None, False) and name not in _OPTIONS[kind]:
            yield ("embedder.kind", f"embedder.{name}"), f"kind {kind} takes no {name}; remove {name}"
    model, dimension = values["embedder.model"], values["embedder.dimension"]
    if kind == "jina":
        try:
            checked_jina(str(model or JINA_DEFAULT), dimension if isinstance(dimension, int) else None)
        except ConfigError as e:
            yield ("embedder.kind", "embedder.model", "embedder.dimension"), str(e)

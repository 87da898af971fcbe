"""YAML with the place of every value, and only the part of YAML that settings need.

Aliases, tags and deep nesting are refused before anything is built from them, so a file cannot cost more than its
length. PyYAML's safe loader does the reading.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from etl_assets.errors import ConfigError

MAX_CHARACTERS = 2_000_000
_MAX_DEPTH = 16


class _Loader(yaml.SafeLoader):
    """The safe loader, without aliases and tags, and with a bound on nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("an alias; write the value out", event)
        if getattr(event, "tag", None) is not None:
            raise _refusal("a tag; write the plain value", event)
        if self.depth >= _MAX_DEPTH:
            raise _refusal("nested too deeply; use the documented settings only", event)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _refusal(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def compose(content: bytes, name: str) -> yaml.Node | None:
    """The root node of one document, or ``None`` of an empty one. ``name`` begins every message.

    Raises:
        ConfigError: ``name:line:column: problem; what to do``, lines and columns counted from 1.
    """
    text = _decoded(content, name)
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{name}:1:1: longer than {MAX_CHARACTERS:,} characters; is this the right file?")
    # The pure loader costs a few milliseconds for a usual file, and its marks and messages are always the same.
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as e:
        line, column = (e.problem_mark.line + 1, e.problem_mark.column + 1) if e.problem_mark else (1, 1)
        raise ConfigError(f"{name}:{line}:{column}: {_advice(e)}") from e
    except yaml.reader.ReaderError as e:
        line, column = _position(text, int(e.position))
        raise ConfigError(f"{name}:{line}:{column}: the character U+{ord(text[e.position]):04X}; remove it") from e


def place(node: yaml.Node) -> tuple[int, int]:
    """Line and column at which a node begins, from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def pairs(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys and values of a mapping in the order of the file; nothing of a node that stands for null."""
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def is_null(node: yaml.Node) -> bool:
    """Whether the node is ``null``, ``~`` or nothing at all."""
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        before = content[: e.start].decode("utf-8-sig")
        line, column = _position(before, len(before))
        raise ConfigError(f"{name}:{line}:{column}: not UTF-8; save the file as UTF-8") from e


def _position(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1


def _advice(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not YAML"
    if "'\\t'" in problem:
        return "a tab; YAML indents with spaces"
    context = f" ({error.context})" if error.context else ""
    return f"{problem}{context}"

"""JSON and JSON lines as readable text, ``path: value``; titles and dates where well-known schemas keep them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Extract, Source, TextBudget
from etl_assets.documents.parsing.text import PageBuilder, clean, decode, one_line
from etl_assets.errors import DataError

_TITLES = (("document", "title"), ("title",), ("name",), ("headline",), ("subject",))
_DATES = (
    ("document", "tracking", "current_release_date"), ("document", "tracking", "initial_release_date"),
    ("modified",), ("dateModified",), ("updated",), ("updated_at",), ("published",), ("datePublished",),
    ("published_at",), ("release_date",), ("created",), ("created_at",), ("date",),
)  # fmt: skip
_SOURCES = (
    ("document", "publisher", "name"), ("publisher", "name"), ("publisher",), ("author", "name"), ("author",),
    ("source",), ("url",),
)  # fmt: skip


class _Object(tuple[tuple[str, Any], ...]):
    """The members of an object in file order, repeated names kept, which a dict would drop."""


def parse_json(source: Source) -> Extract:
    """One page: a line ``path: value`` per value, a blank line where an item of an array begins. Numbers as written.

    Raises:
        DataError: ``truncated``, ``corrupt`` or ``nesting``.
    """
    text, encoding = decode(source.read(), source.charset)
    values = load_values(text)
    builder = PageBuilder(TextBudget())
    group = 0
    for path, value, starts_group in _leaves(values[0] if len(values) == 1 else list(values)):
        group += starts_group
        builder.add(f"{path}: {clean(value)}" if path else clean(value), group=str(group))
    first = values[0]
    return Extract(
        pages=[builder.page(1)],
        method=f"python json {'.'.join(map(str, sys.version_info[:3]))}",
        title=_first_text(first, _TITLES),
        date=iso_date(_first_text(first, _DATES)),
        source=_first_text(first, _SOURCES),
        encoding=encoding,
    )


def load_values(text: str) -> list[Any]:
    """The values of a JSON text, or of JSON lines; at least one.

    Raises:
        DataError: ``truncated``, ``corrupt`` or ``nesting``.
    """
    try:
        try:
            return [loads(text)]
        except json.JSONDecodeError as e:
            lines = [line for line in text.splitlines() if line.strip()]
            if not (e.msg == "Extra data" and len(lines) > 1):
                raise
            return [loads(line) for line in lines]
    except RecursionError as e:
        raise DataError("is JSON nested deeper than any document", reason="nesting") from e
    except json.JSONDecodeError as e:
        reason = "truncated" if e.pos >= len(text.rstrip()) - 1 or "Unterminated" in e.msg else "corrupt"
        raise DataError(f"is not sound JSON: {e.msg} in line {e.lineno}, column {e.colno}", reason=reason) from e


def loads(text: str) -> Any:
    """The value of a JSON text: objects as tuples of members, numbers as they are written."""
    return json.loads(text, object_pairs_hook=_Object, parse_int=str, parse_float=str, parse_constant=str)


def _leaves(root: Any) -> Iterator[tuple[str, str, bool]]:
    """(path, text, whether a new group begins) of every value, in file order, without recursion."""
    stack: list[tuple[str, Any, bool]] = [("", root, True)]
    pending = False
    while stack:
        path, value, starts = stack.pop()
        pending = pending or starts
        if isinstance(value, _Object):
            stack.extend((f"{path}.{key}" if path else key, v, False) for key, v in reversed(value))
        elif isinstance(value, list):
            is_nested = any(isinstance(v, (list, _Object)) for v in value)
            stack.extend((f"{path}[{i}]", v, is_nested) for i, v in reversed(list(enumerate(value))))
        elif value is not None and value != "":
            text = value if isinstance(value, str) else str(value).lower()  # numbers are strings: these are booleans
            yield one_line(path), text, pending
            pending = False


def _first_text(value: Any, paths: tuple[tuple[str, ...], ...]) -> str | None:
    for path in paths:
        at = value
        for key in path:
            at = next((v for k, v in at if k == key), None) if isinstance(at, _Object) else None
        if isinstance(at, str) and at.strip():
            return one_line(at)
    return None

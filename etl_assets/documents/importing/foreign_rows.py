"""From a row of another index to a chunk: where its id, text and vector are, and whether they can be used."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from etl_assets.errors import ConfigError, DataError
from etl_assets.protocols.foreign_index import ForeignRow
from etl_assets.stages.spec import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

USUAL: Mapping[str, Sequence[str]] = {
    "id": ("id", "_id", "chunk_id", "uuid"),
    "text": ("text", "document", "page_content", "content", "chunk"),
    "vector": ("vector", "embedding", "values", "embeddings"),
    "title": ("title",),
    "date": ("date",),
}
"""Under which names a field is looked for where none is given, in this order."""

_NESTED = ("metadata", "payload", "meta")
_ABSENT = object()
_UNIT = 1e-4
_MOST_METADATA = 65_536


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Names that a person gave; ``None`` is the usual one, and for ``document``, ``page`` and ``order`` there is none.

    A name may lead into nested records by dots, as in ``metadata.source``; without dots it is looked for in the row
    and then in its ``metadata`` and ``payload``.
    """

    id: str | None = None
    text: str | None = None
    vector: str | None = None
    document: str | None = None
    page: str | None = None
    order: str | None = None
    title: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class UsableRow:
    """One row that can be used. ``document`` is "" where each row is a document of its own.

    ``vector`` is of unit length, little-endian float32; ``was_unit`` says that it came so. ``order`` sorts the rows of
    a page, before their order in the source.
    """

    id: str
    document: str
    page: int
    order: float | str | None
    text: str
    vector: bytes
    was_unit: bool
    title: str | None
    date: str | None
    metadata: Mapping[str, Json]


def usable(row: ForeignRow, names: FieldNames, dimension: int | None) -> UsableRow:
    """The row as a chunk; ``dimension`` is that of the vectors, where it is known.

    Raises:
        DataError: why it cannot be used; no text of the row is quoted.
    """
    if row.problem:
        raise DataError(row.problem, reason="bad-row")
    record = row.record
    text = _found(record, names.text, "text")
    if not isinstance(text, str) or not text.strip():
        raise DataError("has no text", reason="missing-text")
    identity = _word(_found(record, names.id, "id"))
    if identity is None:
        raise DataError("has no id", reason="missing-id")
    document = _word(lookup(record, names.document)) if names.document is not None else ""
    if document is None:
        raise DataError(f"has no {names.document}, which is to name its document", reason="missing-document")
    vector, was_unit = _unit(_found(record, names.vector, "vector"), dimension)
    return UsableRow(
        storable(identity), storable(document), _page(record, names.page), _order(record, names.order), storable(text),
        vector, was_unit, _word(_found(record, names.title, "title")), _word(_found(record, names.date, "date")),
        _metadata(record, names),
    )  # fmt: skip


def first_rows_fit(rows: Sequence[ForeignRow], names: FieldNames) -> None:
    """Return if some row has each field: names that are wrong shall not put every row in quarantine.

    Raises:
        ConfigError: none has; the message lists the fields that there are.
    """
    sound = [row.record for row in rows if not row.problem]
    for field, given in (("text", names.text), ("vector", names.vector), ("id", names.id)):
        _refuse_absent(sound, field, given)
    for field, given in (("document", names.document), ("page", names.page), ("order", names.order)):
        if given is not None:
            _refuse_absent(sound, field, given)


def lookup(record: Mapping[str, Any], name: str) -> Any:
    """The value under a name, in the row or nested in it; ``None`` where there is none."""
    found = _value(record, name)
    return None if found is _ABSENT else found


def storable(text: str) -> str:
    """``text`` without what no database keeps: NUL, and halves of surrogate pairs."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean if clean.isascii() else clean.encode("utf-8", "replace").decode()


def _refuse_absent(records: Sequence[Mapping[str, Any]], field: str, given: str | None) -> None:
    wanted = (given,) if given is not None else USUAL[field]
    if not records or any(_value(record, name) is not _ABSENT for record in records for name in wanted):
        return
    known = ", ".join(sorted(_names(records[0]))[:40])
    raise ConfigError(
        f"no row has a field {' or '.join(wanted)} for the {field}; the first one has {known}: use --{field}-field NAME"
    )


def _names(record: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in record.items():
        yield above + str(name)
        if isinstance(value, Mapping) and not above.count("."):
            yield from _names(value, f"{above}{name}.")


def _found(record: Mapping[str, Any], given: str | None, field: str) -> Any:
    for name in (given,) if given is not None else USUAL[field]:
        value = _value(record, name)
        if value is not _ABSENT and value is not None:
            return value
    return None


def _value(record: Mapping[str, Any], name: str) -> Any:
    if name in record:
        return record[name]
    head, dot, rest = name.partition(".")
    if dot and isinstance(record.get(head), Mapping):
        found = _value(record[head], rest)
        if found is not _ABSENT:
            return found
    for nested in _NESTED:
        if isinstance(record.get(nested), Mapping):
            found = _value(record[nested], name)
            if found is not _ABSENT:
                return found
    return _ABSENT


def _word(value: Any) -> str | None:
    """An id or a name as text; ``None`` for what is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, date)):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    text = str(value)
    return text if text.strip() else None


def _page(record: Mapping[str, Any], name: str | None) -> int:
    value = lookup(record, name) if name is not None else 1
    try:
        number = int(value) if not isinstance(value, bool) else 0
    except (TypeError, ValueError, OverflowError):
        number = 0
    if not 1 <= number <= 2**31 - 1 or (isinstance(value, float) and value != number):
        raise DataError(f"its {name} is no page number from 1 on", reason="bad-page")
    return number


def _order(record: Mapping[str, Any], name: str | None) -> float | str | None:
    value = lookup(record, name) if name is not None else None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    return value if isinstance(value, str) else (float(value) if math.isfinite(value) else None)


def _unit(value: Any, dimension: int | None) -> tuple[bytes, bool]:
    """A vector at unit length, and whether it had it."""
    import numpy as np

    if value is None:
        raise DataError("has no vector", reason="missing-vector")
    vector = _numbers(value)
    if dimension is not None and vector.size != dimension:
        raise DataError(f"its vector has {vector.size} numbers, the model's have {dimension}", reason="wrong-dimension")
    length = float(np.linalg.norm(vector))
    if not math.isfinite(length):
        raise DataError("its vector holds a number that is not finite", reason="not-finite")
    if length == 0.0:
        raise DataError("its vector is zero and has no direction", reason="zero-vector")
    was_unit = abs(length - 1.0) <= _UNIT
    return (vector if was_unit else vector / length).astype("<f4").tobytes(), was_unit


def _numbers(value: Any) -> NDArray[np.float64]:
    import numpy as np

    if isinstance(value, (str, bytes, Mapping)):
        raise DataError("its vector is no list of numbers", reason="bad-vector")
    try:
        vector = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise DataError("its vector is no list of numbers", reason="bad-vector") from e
    if vector.ndim != 1 or vector.size == 0:
        raise DataError("its vector is no list of numbers", reason="bad-vector")
    return vector


def _metadata(record: Mapping[str, Any], names: FieldNames) -> Mapping[str, Json]:
    """What else the row says, as JSON; what has no such form, and what is too long, is left out."""
    used = {name for field in ("id", "text", "vector") for name in _used(record, getattr(names, field), field)}
    kept = _plain({name: value for name, value in record.items() if name not in used})
    if not isinstance(kept, dict) or len(json.dumps(kept)) > _MOST_METADATA:
        return {}
    return kept


def _used(record: Mapping[str, Any], given: str | None, field: str) -> tuple[str, ...]:
    for name in (given,) if given is not None else USUAL[field]:
        if name in record:
            return (name,)
        if given is not None and "." in name:
            return (name.partition(".")[0],) if field == "vector" else ()
    return ()


def _plain(value: Any) -> Json:
    if isinstance(value, str):
        return storable(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {storable(str(name)): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, (datetime, date)) else None

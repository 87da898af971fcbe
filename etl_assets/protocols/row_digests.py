"""One digest for everything that an index holds of a row, computed alike from what was given and from what is stored.

It covers the searched value and every column that searches filter by, whatever columns a row has: so a column that is
added to the rows is covered from then on. The ids of a row are no part of it; they are read back as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

# As for ``protocols/indexes.py``: a command that only asks the ledger needs neither.
if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

IDS = frozenset({"publication", "document_id", "chunk_id"})
"""Columns that name a row."""

EPOCH = date(1970, 1, 1)
VALUES = frozenset({"vector", "text"})
"""Columns that are searched; a row has one of them."""


def row_digests(rows: pa.Table | pa.RecordBatch) -> list[str]:
    """``row_digest`` of each row, in order; ``vector`` is a fixed-size list of float32, without nulls."""
    names = rows.schema.names
    (value,) = VALUES.intersection(names)
    others = [name for name in names if name not in IDS and name != value]
    days = frozenset(name for name in others if str(rows.schema.field(name).type) == "date32[day]")
    known: dict[tuple[object, ...], str] = {}  # rows of one document have the same attributes
    digests = []
    columns = [_hashables(rows.column(name)) for name in others]
    for attributes, content in zip(zip(*columns, strict=True), _contents(rows.column(value)), strict=True):
        if (told := known.get(attributes)) is None:
            named = dict(zip(others, attributes, strict=True))
            told = known[attributes] = _attributes_digest(named | {name: _date_of(named[name]) for name in days})
        digests.append(hashlib.blake2b(content, digest_size=16).hexdigest() + told)
    return digests


def row_digest(value: str | NDArray[np.float32], attributes: Mapping[str, object]) -> str:
    """Digest of one row, in hex: BLAKE2b-128 over its text or vector, then BLAKE2b-128 over its attributes.

    A text counts by its UTF-8 bytes, a vector by its little-endian float32 bytes, a zero without its sign. An attribute
    that is ``None``, or an empty list, counts as one that is not there, which an empty text does not. Order and
    repetition inside a list do not count: no filter sees them.
    """
    content = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else _unsigned(value).tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest() + _attributes_digest(attributes)


def _hashables(column: pa.ChunkedArray | pa.Array) -> list[object]:
    """The values of a column of attributes; dates as days since 1970, since 100,000 dates take 0.1 s to make."""
    import pyarrow as pa

    if pa.types.is_list(column.type):
        return [values if values is None else tuple(values) for values in column.to_pylist()]
    return list((column.cast(pa.int32()) if pa.types.is_date32(column.type) else column).to_pylist())


def _contents(column: pa.ChunkedArray | pa.Array) -> Iterator[bytes | memoryview]:
    import pyarrow as pa

    for part in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        if not pa.types.is_fixed_size_list(part.type):
            yield from part.cast(pa.binary()).to_pylist()
            continue
        width = 4 * part.type.list_size
        flat = _unsigned(part.flatten().to_numpy(zero_copy_only=False)).data.cast("B")
        yield from (flat[start : start + width] for start in range(0, len(flat), width))


def _unsigned(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the sign of a zero, which a store that keeps numbers as JSON may drop, and no search can tell."""
    import numpy as np

    given = np.ascontiguousarray(numbers, dtype="<f4")
    return given if given.all() else given + np.float32(0)


def _attributes_digest(attributes: Mapping[str, object]) -> str:
    present = {name: _plain(one) for name, one in attributes.items() if one is not None and one not in ((), [])}
    canonical = json.dumps(present, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    return sorted(set(value), key=repr) if isinstance(value, list | tuple) else value


def _date_of(days: object) -> object:
    try:
        return EPOCH + timedelta(days=days) if isinstance(days, int) else days
    except OverflowError:
        return f"day {days}"

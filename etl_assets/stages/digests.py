"""The digest of a document's rows at a stage: equal digests mean that nothing downstream has to run again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

EMPTY = hashlib.blake2b(b"", digest_size=16).hexdigest()
"""The digest of an output without rows."""


def output_digests(rows: "pl.DataFrame", columns: Sequence[str]) -> dict[str, str]:
    """BLAKE2b-128 (hex) of each document's rows in their order, over ``columns``; every value is length-prefixed.

    ``rows`` has ``document_id``. Lists of float32 count as their little-endian bytes, other nested values as JSON.
    """
    encoded = [_encoded(rows[name]) for name in columns]
    hashers: dict[str, hashlib.blake2b] = {}
    for i, document in enumerate(rows["document_id"].to_list()):
        hasher = hashers.get(document)
        if hasher is None:
            hasher = hashers[document] = hashlib.blake2b(digest_size=16)
        for values in encoded:
            value = values[i]
            hasher.update(len(value).to_bytes(4, "little"))
            hasher.update(value)
    return {document: hasher.hexdigest() for document, hasher in hashers.items()}


def salted(digests: Mapping[str, str], salts: Mapping[str, str]) -> dict[str, str]:
    """The digests of outputs, each with the salt of its document: what later stages read of it beside the rows."""
    found = dict(digests)
    for document, salt in salts.items():
        whole = f"{found.get(document, EMPTY)} {salt}"
        found[document] = hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()
    return found


def _encoded(column: "pl.Series") -> Sequence[bytes]:
    import polars as pl

    if column.dtype == pl.List(pl.Float32):
        return _float_lists(column)
    if column.dtype.is_nested():
        return [json.dumps(value, separators=(",", ":")).encode() for value in column.to_list()]
    if column.dtype.is_float():
        return [repr(value).encode() for value in column.to_list()]
    if column.dtype == pl.String:
        return [b"\x00" if value is None else value.encode() for value in column.to_list()]
    return [str(value).encode() for value in column.to_list()]


def _float_lists(column: "pl.Series") -> Sequence[bytes]:
    flat = column.explode(empty_as_null=False, keep_nulls=False).to_numpy().astype("<f4", copy=False).tobytes()
    ends, total = [], 0
    for length in column.list.len().to_list():
        start, total = total, total + 4 * (length or 0)
        ends.append((start, total))
    return [flat[start:end] for start, end in ends]

"""A row of the vector index as a Pinecone record: its id, its metadata, and the filter that says who may see it.

Limits: docs.pinecone.io/reference/api/database-limits. Ids are ASCII, 1 to 512 characters; metadata has strings,
numbers and lists of strings, no null, at most 40 KB; an ``$in`` holds at most 10,000 values.
"""

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TypeVar

from etl_assets.errors import PermanentError
from etl_assets.protocols.indexes import Filters
from etl_assets.protocols.visibility import Visibility

Value = TypeVar("Value")
Metadata = dict[str, str | int | list[str]]
Condition = dict[str, object]

LONGEST_ID = 512
METADATA_BYTES = 40_960

VALUES_PER_IN = 10_000
"""Values that one ``$in`` or ``$nin`` may hold."""

LISTED_NUMBERS = 30_000
"""Publication numbers that a filter names one by one, at most."""

RANGES = 200
"""Ranges of publication numbers that a filter names, at most."""

RUN_WORTH_A_RANGE = 16
"""From this length on, a run of consecutive numbers is written as a range."""

HIGHEST_PUBLICATION = 2**53
"""Metadata numbers are IEEE doubles: beyond this, two publications would be one."""

_ODD = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPE = re.compile(r"~([0-9A-F]{2})")


def record_id(publication: int, document_id: str, chunk_id: str) -> str:
    """``publication.document.chunk``, each part escaped, so that a hit needs no metadata to be named.

    Parts too long for an id become ``publication.~digest``; ``metadata_of`` then holds them.

    Raises:
        PermanentError: ``publication`` is outside ``0 <= publication < HIGHEST_PUBLICATION``.
    """
    if not 0 <= publication < HIGHEST_PUBLICATION:
        raise PermanentError(f"publication {publication} is no number that Pinecone's metadata can hold")
    full = f"{publication}.{_escaped(document_id)}.{_escaped(chunk_id)}"
    if len(full) <= LONGEST_ID:
        return full
    parts = json.dumps([document_id, chunk_id]).encode()
    return f"{publication}.~{hashlib.blake2b(parts, digest_size=16).hexdigest()}"


def prefix_of(publication: int) -> str:
    """What the ids of a publication begin with, and no other id."""
    return f"{publication}."


def publication_of(identity: str) -> int:
    """The publication that an id belongs to."""
    return int(identity.partition(".")[0])


def names_in(identity: str) -> tuple[str, str] | None:
    """(document id, chunk id) that an id spells out, or None when they are in the metadata."""
    _, document_id, *chunk = identity.split(".")
    return (_plain(document_id), _plain(chunk[0])) if chunk else None


def metadata_of(
    publication: int, document_id: str, chunk_id: str, document_type: str | None, document_date: date | None,
    labels: Sequence[str] = (),
) -> Metadata:  # fmt: skip
    """What filters ask for, and the ids where the record's own id has no room for them.

    Raises:
        PermanentError: it is larger than METADATA_BYTES.
    """
    metadata: Metadata = {"publication": publication}
    if document_type is not None:
        metadata["document_type"] = document_type
    if document_date is not None:
        metadata["document_date"] = _day(document_date)
    if labels:
        metadata["labels"] = list(labels)
    if names_in(record_id(publication, document_id, chunk_id)) is None:
        metadata |= {"document_id": document_id, "chunk_id": chunk_id}
    if (size := len(json.dumps(metadata, ensure_ascii=False).encode("utf-8", "surrogatepass"))) > METADATA_BYTES:
        raise PermanentError(
            f"document {document_id[:80]!r}, publication {publication}: id, type, date and labels take {size} bytes "
            f"of metadata, and Pinecone holds {METADATA_BYTES}"
        )
    return metadata


def attributes_in(identity: str, metadata: Mapping[str, object]) -> dict[str, object]:
    """What ``metadata_of`` was told beside the ids, read back; and what it would not have written, as it stands."""
    found = dict(metadata)
    number = found.pop("publication", None)
    if _whole(number) != publication_of(identity):
        found["publication"] = repr(number)
    found["document_date"] = _date_in(found.get("document_date"))
    if names_in(identity) is None:
        ids = (str(found.pop("document_id", "")), str(found.pop("chunk_id", "")))
        if record_id(publication_of(identity), *ids) != identity:
            found["record_id"] = identity
    return found


def of_publications(numbers: Sequence[int]) -> Condition:
    """The records of these publications, of which there must be one at least, and VALUES_PER_IN at most."""
    return {"publication": {"$in": list(numbers)}}


def condition(visible: Visibility, filters: Filters) -> Condition | None:
    """What the records of a query must satisfy, or None when none can.

    It may admit publications that ``visible`` and ``filters`` do not, where naming them all would take more than
    LISTED_NUMBERS and RANGES; it never refuses one that they admit.
    """
    parts = _of_visible(visible) if filters.publications is None else _of_allowed(visible, filters.publications)
    if parts is None:
        return None
    if filters.document_types:
        kinds = sorted(set(filters.document_types))
        parts.append(_any([{"document_type": {"$in": part}} for part in _parts(kinds)]))
    if filters.since is not None:
        parts.append({"document_date": {"$gte": _day(filters.since)}})
    if filters.until is not None:
        parts.append({"document_date": {"$lte": _day(filters.until)}})
    parts += [{"labels": {"$in": [label]}} for label in sorted(set(filters.labels))]
    return {"$and": parts}


def without(narrowed: Condition, publications: Iterable[int]) -> Condition:
    """``narrowed``, less the records of ``publications``."""
    unwanted = [{"publication": {"$nin": part}} for part in _parts(sorted(publications))]
    return {"$and": [narrowed, *unwanted]} if unwanted else narrowed


class Admission:
    """Whether a publication may be seen; by bisection, since ranges and numbers may both count thousands."""

    def __init__(self, visible: Visibility, filters: Filters) -> None:
        self._visible = visible
        self._lows = [low for low, _ in visible.hidden]
        self._allowed = None if filters.publications is None else frozenset(filters.publications)

    def __call__(self, publication: int) -> bool:
        if publication > self._visible.highest or (self._allowed is not None and publication not in self._allowed):
            return False
        before = bisect_right(self._lows, publication)
        return not before or self._visible.hidden[before - 1][1] < publication


def _of_visible(visible: Visibility) -> list[Condition] | None:
    listed, ranges = _split(visible.hidden)
    parts: list[Condition] = [{"publication": {"$lte": visible.highest}}]
    parts += [{"publication": {"$nin": part}} for part in _parts(listed[:LISTED_NUMBERS])]
    longest = sorted(ranges, key=lambda span: span[0] - span[1])[:RANGES]
    parts += [_any([{"publication": {"$lt": low}}, {"publication": {"$gt": high}}]) for low, high in longest]
    return parts


def _of_allowed(visible: Visibility, allowed: Sequence[int]) -> list[Condition] | None:
    seen = Admission(visible, Filters(publications=tuple(allowed)))
    wanted = sorted(number for number in set(allowed) if seen(number))
    if not wanted:
        return None
    listed, ranges = _split(_runs(wanted))
    if len(listed) > LISTED_NUMBERS or len(ranges) > RANGES:
        return [_between(wanted[0], wanted[-1])]
    alternatives: list[Condition] = [{"publication": {"$in": part}} for part in _parts(listed)]
    return [_any([*alternatives, *(_between(low, high) for low, high in ranges)])]


def _between(low: int, high: int) -> Condition:
    return {"$and": [{"publication": {"$gte": low}}, {"publication": {"$lte": high}}]}


def _any(alternatives: list[Condition]) -> Condition:
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def _runs(ascending: Sequence[int]) -> list[tuple[int, int]]:
    """Inclusive ranges that hold exactly these numbers."""
    runs: list[tuple[int, int]] = []
    for number in ascending:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _split(spans: Iterable[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
    """The numbers of the short ranges, and the long ranges."""
    listed: list[int] = []
    ranges: list[tuple[int, int]] = []
    for low, high in spans:
        if high - low + 1 < RUN_WORTH_A_RANGE:
            listed.extend(range(low, high + 1))
        else:
            ranges.append((low, high))
    return listed, ranges


def _parts(values: Sequence[Value]) -> list[list[Value]]:
    return [list(values[start : start + VALUES_PER_IN]) for start in range(0, len(values), VALUES_PER_IN)]


def _day(day: date) -> int:
    """A date as a number that sorts and reads alike: 20240131."""
    return day.year * 10_000 + day.month * 100 + day.day


def _date_in(day: object) -> object:
    """The date that ``_day`` made a number of; anything else as it is."""
    number = _whole(day)
    try:
        return day if number is None else date(number // 10_000, number // 100 % 100, number % 100)
    except (ValueError, OverflowError):
        return day


def _whole(number: object) -> int | None:
    """A whole number, which clients give as an integer or as a double; ``None`` for anything else."""
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number // 1:
        return None
    return int(number)


def _escaped(part: str) -> str:
    return _ODD.sub(lambda found: b"~%02X" % found[0][0], part.encode("utf-8", "surrogatepass")).decode("ascii")


def _plain(part: str) -> str:
    if "~" not in part:
        return part
    raw = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), part)
    return raw.encode("latin-1").decode("utf-8", "surrogatepass")


def text_in(metadata: Mapping[str, object] | None, name: str) -> str:
    """A text of the metadata; a record without it was not written by this package.

    Raises:
        PermanentError: there is none.
    """
    value = (metadata or {}).get(name)
    if not isinstance(value, str):
        raise PermanentError(f"a Pinecone record has no {name} in its metadata: it was written by another program")
    return value

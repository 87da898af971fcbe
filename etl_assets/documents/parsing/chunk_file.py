"""A document as its chunks with their vectors: what an import writes, one JSON object a line, and what is read of it.

The first line is the header: ``etl_assets_chunks`` (the version of this form, 1), ``model`` (of the vectors: ``kind``,
``name``, ``dimension``), ``embed`` (whether a collection of another model may embed the texts anew) and ``facts``.
Every other line is a chunk: ``id``, ``page``, ``text``, ``vector`` (little-endian float32, base64) and ``metadata``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Extract, Heading, Page, Source, TextBudget
from etl_assets.errors import DataError
from etl_assets.protocols.declared_models import GivenModel
from etl_assets.stages.spec import Json

MARK = b'{"etl_assets_chunks": 1'
"""What the bytes of such a file begin with."""

GIVEN = 0
"""Level of a span of a page that is no heading: a chunk whose borders came with the document."""

LEAST_OVERLAP = 12
"""Fewer characters that end a chunk and begin the next one are no overlap."""

MOST_OVERLAP = 4000


@dataclass(frozen=True, slots=True)
class GivenChunk:
    """One chunk. ``vector`` holds little-endian float32, of unit length; ``page`` counts from 1."""

    id: str
    page: int
    text: str
    vector: bytes
    metadata: Mapping[str, Json]

    def key(self, model: GivenModel) -> str:
        """Under which the vector is remembered: of the text, the vector and its model, and so of no other text's."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (str(model).encode(), self.text.encode(), self.vector):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ChunkFile:
    """One document. Chunks are in reading order, pages ascending."""

    model: GivenModel
    embed: bool
    facts: Mapping[str, Json]
    chunks: Sequence[GivenChunk]

    @property
    def digest(self) -> str:
        """Of all that decides the vectors, and is not told by the texts."""
        digest = hashlib.blake2b(json.dumps([self.model.as_json(), self.embed]).encode(), digest_size=16)
        for chunk in self.chunks:
            digest.update(chunk.vector)
        return digest.hexdigest()


def chunk_lines(file: ChunkFile) -> Iterator[bytes]:
    """The lines of a document, each ended by a line feed: the same document is always the same bytes."""
    header = {"etl_assets_chunks": 1, "model": file.model.as_json(), "embed": file.embed, "facts": dict(file.facts)}
    yield _line(header)
    for one in file.chunks:
        vector = base64.b64encode(one.vector).decode()
        yield _line(
            {"id": one.id, "page": one.page, "text": one.text, "vector": vector, "metadata": dict(one.metadata)}
        )  # fmt: skip


def read_chunks(data: bytes) -> ChunkFile:
    """The document of some bytes.

    Raises:
        DataError: ``truncated`` or ``corrupt``, naming the line.
    """
    lines = data.split(b"\n")
    if lines and lines[-1] == b"":
        lines.pop()
    elif lines:
        raise DataError(f"ends in the middle of line {len(lines)}; import it again", reason="truncated")
    header = _object(lines[0] if lines else b"", 1)
    try:
        model = GivenModel(**{name: header["model"][name] for name in ("kind", "name", "dimension")})
        embed, facts = bool(header["embed"]), dict(header["facts"])
        size = 4 * int(model.dimension)
    except (KeyError, TypeError, ValueError) as e:
        raise DataError(f"line 1 is no header of chunks ({e}); import it again", reason="corrupt") from e
    return ChunkFile(model, embed, facts, [_chunk(line, number, size) for number, line in enumerate(lines[1:], 2)])


def read_chunk_file(path: Path) -> ChunkFile:
    """The document of a file; raises as ``read_chunks``."""
    return read_chunks(path.read_bytes())


def parse_chunks(source: Source) -> Extract:
    """Pages of the chunks' texts, each chunk a span of level ``GIVEN``.

    What ends a chunk and begins the next one is taken for their overlap, and stands on the page once.

    Raises:
        DataError: ``truncated``, ``corrupt`` or ``too-large``.
    """
    file = read_chunks(source.read())
    budget = TextBudget()
    pages: dict[int, list[str]] = {}
    for chunk in file.chunks:
        budget.spend(len(chunk.text))
        pages.setdefault(chunk.page, []).append(chunk.text)
    title, date, where, origin = (_text(file.facts.get(name)) for name in ("title", "date", "source", "imported_from"))
    return Extract(
        pages=[_page(number, texts) for number, texts in sorted(pages.items())],
        method="imported chunks 1",
        title=title,
        date=iso_date(date),
        source=where,
        facts={"imported_from": origin, "imported_model": file.model.as_json()},
    )


def _page(number: int, texts: Iterable[str]) -> Page:
    parts: list[str] = []
    spans: list[Heading] = []
    length, tail = 0, ""
    for text in texts:
        shared = _overlap(tail, text)
        if parts and not shared:
            parts.append("\n\n")
            length += 2
        spans.append(Heading(GIVEN, length - shared, length - shared + len(text)))
        parts.append(text[shared:])
        length += len(text) - shared
        tail = (tail + text[shared:] if shared else text)[-MOST_OVERLAP:]
    return Page(number, "".join(parts), tuple(spans))


def _overlap(before: str, text: str) -> int:
    """How many characters end ``before`` and begin ``text``, 0 for fewer than ``LEAST_OVERLAP``."""
    start = before.find(text[:LEAST_OVERLAP]) if len(text) >= LEAST_OVERLAP else -1
    while start >= 0:
        if text.startswith(before[start:]):
            return len(before) - start
        start = before.find(text[:LEAST_OVERLAP], start + 1)
    return 0


def _chunk(line: bytes, number: int, size: int) -> GivenChunk:
    value = _object(line, number)
    try:
        vector = base64.b64decode(value["vector"], validate=True)
        chunk = GivenChunk(str(value["id"]), int(value["page"]), value["text"], vector, dict(value["metadata"]))
    except (KeyError, TypeError, ValueError, binascii.Error) as e:
        raise DataError(f"line {number} is no chunk ({e}); import it again", reason="corrupt") from e
    if len(vector) != size or not isinstance(chunk.text, str) or chunk.page < 1 or not chunk.text.strip():
        raise DataError(
            f"line {number}: a chunk has text, a page from 1 on and a vector of {size} bytes; import it again",
            reason="corrupt",
        )
    return chunk


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise DataError(f"line {number} is not sound JSON ({e}); import it again", reason="corrupt") from e
    if not isinstance(value, dict):
        raise DataError(f"line {number} is no JSON object; import it again", reason="corrupt")
    return value


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"

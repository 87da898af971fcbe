"""From what a person writes to the one thing that is meant: a hit, a chunk, an entity, a document or a partition."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from etl_assets.documents.document_names import DocumentName, documents_called
from etl_assets.documents.model import CHUNKS
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError, DataError
from etl_assets.ledger import origins
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.snapshots import CollectionView, snapshot
from etl_assets.protocols.graph import Entity, Scope
from etl_assets.stages.lake import SegmentLost

Kind = Literal["hit", "chunk", "entity", "document", "partition"]
KINDS: tuple[Kind, ...] = ("hit", "chunk", "entity", "document", "partition")

_CHUNK = re.compile(r"[0-9a-f]{32}-\d+")
_IN_DOCUMENT = re.compile(r"([0-9a-f]{8,32}|\d+)[/:]([0-9a-f]{32}-\d+)")
_PARTITION = re.compile(r"[a-z0-9_-]+\.[a-z0-9_-]+\.\d+-of-\d+")
_ENTITY = re.compile(r"[a-z][a-z0-9_-]*:.+", re.DOTALL)
_NAMED_IN_ERRORS = 5
_MOST_ENTITIES = 50
_TRIES = 3


@dataclass(frozen=True, slots=True)
class ChunkName:
    """One chunk of one publication. ``is_hit``: a search gave it, so its publication is the one that was searched."""

    publication: int
    chunk_id: str
    is_hit: bool


@dataclass(frozen=True, slots=True)
class EntityName:
    """One entity of one tenant, and what of that tenant is visible."""

    entity: Entity
    views: tuple[CollectionView, ...]

    @property
    def scope(self) -> Scope:
        """What may be walked in the graph."""
        return scope_of(self.views)


Subject = DocumentName | ChunkName | EntityName | Partition


def scope_of(views: Iterable[CollectionView]) -> Scope:
    """What a reader may walk of one tenant's collections, of which there is at least one."""
    views = tuple(views)
    return Scope(views[0].tenant, {view.collection: view.visible for view in views})


def subject_of(
    platform: Platform, text: str, *, kind: Kind | None = None, tenant: str | None = None, collection: str | None = None
) -> Subject:
    """What ``text`` means: ``kind`` says which, else its form does, else what is known under it.

    A hit is its JSON, or ``PUBLICATION/CHUNK`` or ``DOCUMENT/CHUNK``; a chunk its id; an entity its id, ``type:form``,
    or a name; a document its id, the beginning of one, ``tenant/collection/path``, or the name of its file;
    a partition its key.

    Raises:
        ConfigError: nothing is known under it, or several things are, of one kind or of several.
    """
    found: list[Subject] = []
    for one in (kind,) if kind is not None else KINDS:
        found += _READERS[one](platform, text, tenant, collection)
    if not found:
        raise ConfigError(
            f"{text[:100]!r}: nothing is known under it; give a hit of `search --json`, a chunk id, an entity id such "
            "as group:G0007 or its name, a document's id, TENANT/COLLECTION/PATH or file name, or a partition key"
        )
    if len(found) > 1:
        told = ", ".join(told_subject(platform, one) for one in found[:_NAMED_IN_ERRORS])
        more = f" and {len(found) - _NAMED_IN_ERRORS:,} more" if len(found) > _NAMED_IN_ERRORS else ""
        raise ConfigError(
            f"{text[:100]!r} may be any of {told}{more}; give the whole id, DOCUMENT/CHUNK for a chunk, --as KIND, "
            "--tenant or --collection"
        )
    return found[0]


def told_subject(platform: Platform, subject: Subject) -> str:
    """A subject in words, with the id by which it alone is named."""
    if isinstance(subject, Partition):
        return f"partition {subject.key}"
    if isinstance(subject, EntityName):
        return f"entity {subject.entity.entity_id} of {subject.views[0].tenant}"
    if isinstance(subject, DocumentName):
        return f"document {subject.document_id} ({subject.key})"
    with platform.ledger.reading() as connection:
        shown = origins.shown_under(connection, subject.publication)
    return f"chunk {shown.document_id}/{subject.chunk_id}" if shown else f"chunk {subject.chunk_id}"


def _hit(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[Subject]:
    if text.lstrip().startswith("{"):
        try:
            hit = json.loads(text)
            return [ChunkName(int(hit["publication"]), str(hit["chunk_id"]), is_hit=True)]
        except (ValueError, KeyError, TypeError) as e:
            raise ConfigError(f"the hit is not one of `search --json` ({e}); it has publication and chunk_id") from e
    match = _IN_DOCUMENT.fullmatch(text)
    if match is None:
        return []
    owner, chunk = match.groups()
    if owner.isdecimal() and len(owner) < 20:
        with platform.ledger.reading() as connection:
            if origins.shown_under(connection, int(owner)) is not None:
                return [ChunkName(int(owner), chunk, is_hit=True)]
    documents = _document(platform, owner, tenant, collection)
    return [one for document in documents for one in _of_document(platform, document, chunk)]


def _of_document(platform: Platform, document: Subject, chunk: str) -> list[Subject]:
    assert isinstance(document, DocumentName)
    with platform.ledger.reading() as connection:
        shown = origins.shown_documents(connection, [document.document_id])
    return [ChunkName(one.publication, chunk, is_hit=True) for one in shown.values()]


def _chunk(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[Subject]:
    if _CHUNK.fullmatch(text) is None:
        return []
    return [
        ChunkName(number, text, is_hit=False)
        for number, place in publications_with(platform, text, tenant=tenant).items()
        if collection in (None, place)
    ]


def publications_with(platform: Platform, chunk_id: str, *, tenant: str | None = None) -> dict[int, str]:
    """Publications that searches see which have a chunk of this id, ascending: number -> collection.

    It looks into one column of every segment of chunks, of all of the tenant's collections.

    Raises:
        SegmentLost: a segment is gone or cannot be read.
    """
    outputs = _outputs_with(platform, chunk_id, tenant)
    with platform.ledger.reading() as connection:
        made = origins.made_outputs(connection, outputs)
        shown = origins.shown_documents(connection, [one.document_id for one in made.values()])
    return {
        one.publication: one.collection
        for one in sorted(shown.values(), key=lambda one: one.publication)
        if one.outputs.get(CHUNKS.name) in made
    }


def _outputs_with(platform: Platform, chunk_id: str, tenant: str | None) -> list[int]:
    lost: SegmentLost | None = None
    for _ in range(_TRIES):
        with platform.ledger.reading() as connection:
            files = origins.segments_of_stage(connection, CHUNKS.name, tenant)
        try:
            return [number for file in files.items() for number in _in_segment(platform, *file, chunk_id)]
        except SegmentLost as e:  # or compaction has put its rows into another one since the list was read
            lost = e
    assert lost is not None
    raise lost


def _in_segment(platform: Platform, segment_id: int, key: str, chunk_id: str) -> list[int]:
    import polars as pl

    try:
        with platform.lake.blobs.local(key) as path:
            rows = pl.scan_parquet(path).filter(pl.col("chunk_id") == chunk_id).select("output_id").collect()
    except (FileNotFoundError, DataError, pl.exceptions.PolarsError) as e:
        raise SegmentLost(segment_id, f"segment {key} cannot be read ({e}); run: etl-assets repair") from e
    return [int(number) for number in rows["output_id"]]


def _entity(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[Subject]:
    others = (_CHUNK, _IN_DOCUMENT, _PARTITION)
    if text.startswith("{") or not _ENTITY.fullmatch(text) and any(one.fullmatch(text) for one in others):
        return []
    views = snapshot(platform.ledger, tenant=tenant, collection=collection)
    found: list[Subject] = []
    for owner in sorted({view.tenant for view in views}):
        mine = tuple(view for view in views if view.tenant == owner)
        entities = platform.stores.graph.find(scope_of(mine), text.strip(), limit=_MOST_ENTITIES)
        found += [EntityName(one, mine) for one in entities]
    return found


def _document(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[Subject]:
    named = documents_called(platform, text)
    return [one for one in named if tenant in (None, one.tenant) and collection in (None, one.collection)]


def _partition(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[Subject]:
    return [one for one in partitions(platform.ledger, tenant=tenant, collection=collection) if one.key == text]


_READERS = {"hit": _hit, "chunk": _chunk, "entity": _entity, "document": _document, "partition": _partition}

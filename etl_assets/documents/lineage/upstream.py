"""Backwards from a hit, a chunk, an entity, a document or a partition to the bytes and whoever made it of them.

What is quoted is read from the lake and compared with the page, and the original's bytes with the version they name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from etl_assets.documents.document_names import DocumentName
from etl_assets.documents.lineage.subject import ChunkName, EntityName, Subject
from etl_assets.documents.model import CHUNKS, EMBEDDINGS, MENTIONS, PAGES, STAGES, slot_of
from etl_assets.documents.origin import Origin, instant
from etl_assets.documents.original_keys import original_key
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError, DataError
from etl_assets.ledger import imports, origins
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.origins import MadeOutput, ShownDocument
from etl_assets.ledger.row_places import output_files
from etl_assets.ledger.snapshots import visible_documents
from etl_assets.protocols.indexes import text_digest
from etl_assets.stages.lake import SegmentLost
from etl_assets.stages.spec import Json

if TYPE_CHECKING:
    import polars as pl

_TRIES = 3
_READS = {stage.name: stage.inputs for stage in STAGES}
_HASHED_AT_ONCE = 1 << 20
_DOCUMENTS_AT_ONCE = 256


def lineage(platform: Platform, subject: Subject, *, limit: int | None = None) -> Origin:
    """Where it came from. ``limit`` cuts how many documents of an entity or a partition are told, in order of paths.

    Raises:
        ConfigError: the publication or the chunk is not there any more.
        SegmentLost: rows that are quoted cannot be read; `etl-assets repair` makes them again.
    """
    if isinstance(subject, ChunkName):
        return _chunk(platform, subject)
    if isinstance(subject, EntityName):
        return _entity(platform, subject, limit)
    if isinstance(subject, DocumentName):
        return _document(platform, subject)
    return _partition(platform, subject, limit)


def _chunk(platform: Platform, subject: ChunkName) -> Origin:
    with platform.ledger.reading() as connection:
        shown = origins.shown_under(connection, subject.publication)
        made = origins.made_outputs(connection, list(shown.outputs.values())) if shown else {}
    if shown is None:
        raise ConfigError(f"publication {subject.publication}: the ledger knows none; search again for a hit of today")
    stages = {one.stage: one for one in made.values()}
    if CHUNKS.name not in stages:
        raise ConfigError(f"publication {subject.publication}: what it was made of was pruned; search again")
    row = _chunk_row(platform, stages[CHUNKS.name].output_id, subject.chunk_id, shown)
    page = _pages(platform, [stages[PAGES.name].output_id] if PAGES.name in stages else [])
    problems = _chunk_problems(row, page.get((shown.document_id, row["page"])), subject.chunk_id)
    facts: dict[str, Json] = {
        **_document_facts(shown), "chunk_id": subject.chunk_id, "page": row["page"], "start": row["start"],
        "end": row["end"], "heading": row["heading"], "quote": row["text"], **_publication_facts(platform, shown),
        "keys": _store_keys(shown, subject.chunk_id), "verified": not problems, "problems": problems,
    }  # fmt: skip
    chain = _outputs(platform, shown, stages)
    kept = (CHUNKS.name, EMBEDDINGS.name)
    sources = tuple(one for one in chain if one.facts["stage"] in kept)
    kind = "hit" if subject.is_hit else "chunk"
    return Origin(kind, f"{shown.document_id}/{subject.chunk_id}", facts, sources)


def _chunk_row(platform: Platform, output_id: int, chunk_id: str, shown: ShownDocument) -> dict[str, Any]:
    import polars as pl

    rows = _rows(platform, [output_id], ("chunk_id", "page", "start", "end", "text", "heading"))
    found = rows.filter(pl.col("chunk_id") == chunk_id).to_dicts() if rows is not None else []
    if not found:
        raise ConfigError(
            f"publication {shown.publication} of {shown.tenant}/{shown.collection}/{shown.path} has no chunk {chunk_id}"
        )
    return found[0]


def _chunk_problems(row: Mapping[str, Any], page: str | None, chunk_id: str) -> list[Json]:
    problems: list[Json] = []
    if text_digest(row["text"]) != chunk_id.rpartition("-")[0]:
        problems.append(f"the text of chunk {chunk_id} in the lake is not the one that was published")
    if page is None or page[row["start"] : row["end"]] != row["text"]:
        problems.append(f"page {row['page']} does not have the text of chunk {chunk_id} at its characters")
    return problems


def _document(platform: Platform, subject: DocumentName) -> Origin:
    with platform.ledger.reading() as connection:
        shown = origins.shown_documents(connection, [subject.document_id]).get(subject.document_id)
        version = origins.newest_version(connection, subject.document_id)
        made = (
            origins.made_outputs(connection, list(shown.outputs.values())).values() if shown
            else origins.open_outputs(connection, subject.document_id, version or "")
        )  # fmt: skip
        now = origins.arrived(connection, subject.document_id, version or "")
    stages = {one.stage: one for one in made}
    about = shown or _unpublished(subject, version or "", stages)
    facts = _document_facts(about) | {
        "newest_version": version, "is_present": now is not None and now["end_seq"] is None,
        "is_published": shown is not None,
    }  # fmt: skip
    if shown is not None:
        facts |= _publication_facts(platform, shown)
    sources = _outputs(platform, about, stages) or (_original(platform, about),)
    return Origin("document", subject.document_id, facts, sources)


def _unpublished(subject: DocumentName, version: str, stages: Mapping[str, MadeOutput]) -> ShownDocument:
    outputs = {stage: one.output_id for stage, one in stages.items()}
    return ShownDocument(
        0, subject.document_id, subject.tenant, subject.collection, subject.path, version, 0, "", "", 0, outputs, {}, 0,
        None,
    )  # fmt: skip


def _entity(platform: Platform, subject: EntityName, limit: int | None) -> Origin:
    entity, scope = subject.entity, subject.scope
    wanted: dict[str, list[int]] = {}
    for collection, number in platform.stores.graph.mentioning(scope, [entity.entity_id]):
        wanted.setdefault(collection, []).append(number)
    numbers: list[int] = []
    for view in subject.views:
        mine = visible_documents(
            platform.ledger, view.generation_id, wanted.get(view.collection, []), view.visible.sequence
        )
        numbers += [one.publication for one in sorted(mine.values(), key=lambda one: one.path) if one.cid == view.cid]
    told = numbers[:limit]
    documents: list[Origin] = []
    for start in range(0, len(told), _DOCUMENTS_AT_ONCE):
        documents += _mentioned_in(platform, entity.entity_id, told[start : start + _DOCUMENTS_AT_ONCE])
    facts: dict[str, Json] = {
        "entity_id": entity.entity_id, "entity_type": entity.entity_type, "label": entity.name, "tenant": scope.tenant,
        "documents": len(numbers), "documents_told": len(told),
        "mentions": sum(_length(one.facts["mentions"]) for one in documents),
    }  # fmt: skip
    return Origin("entity", entity.entity_id, facts, tuple(documents))


def _length(value: Json) -> int:
    return len(value) if isinstance(value, list) else 0


def _mentioned_in(platform: Platform, entity_id: str, numbers: Sequence[int]) -> list[Origin]:
    """A document each, with every place where it mentions the entity, in order of pages and characters."""
    with platform.ledger.reading() as connection:
        shown = [one for number in numbers if (one := origins.shown_under(connection, number)) is not None]
        made = origins.made_outputs(connection, [number for one in shown for number in one.outputs.values()])
    stages = {one.document_id: {s: made[n] for s, n in one.outputs.items() if n in made} for one in shown}
    pages = _pages(platform, _ids(stages, PAGES.name))
    places = _mention_places(platform, _ids(stages, MENTIONS.name), entity_id)
    found = []
    for one in shown:
        mentions = [_mention(place, pages) for place in places.get(one.document_id, [])]
        problems: list[Json] = [
            f"{one.path}: page {place['page']} does not say {place['text']!r} at characters {place['start']} to "
            f"{place['end']}" for place in mentions if not place["verified"]
        ]  # fmt: skip
        if not mentions:
            problems.append(f"{one.path}: the graph says that it mentions {entity_id}, and the lake has no such row")
        facts = _document_facts(one) | _publication_facts(platform, one)
        facts |= {"mentions": mentions, "problems": problems}
        chain = _outputs(platform, one, stages[one.document_id], verify=False)
        sources = tuple(made for made in chain if made.facts["stage"] == MENTIONS.name)
        found.append(Origin("document", one.document_id, facts, sources))
    return found


def _ids(stages: Mapping[str, Mapping[str, MadeOutput]], stage: str) -> list[int]:
    return [one[stage].output_id for one in stages.values() if stage in one]


def _mention_places(platform: Platform, outputs: Sequence[int], entity_id: str) -> dict[str, list[dict[str, Any]]]:
    import polars as pl

    columns = ("document_id", "page", "start", "end", "text", "entity_id", "chunk_id", "confidence", "method")
    rows = _rows(platform, outputs, columns)
    found: dict[str, list[dict[str, Any]]] = {}
    if rows is not None:
        for row in rows.filter(pl.col("entity_id") == entity_id).sort("page", "start", "end").iter_rows(named=True):
            found.setdefault(row["document_id"], []).append(row)
    return found


def _mention(row: Mapping[str, Any], pages: Mapping[tuple[str, int], str]) -> dict[str, Json]:
    page = pages.get((row["document_id"], row["page"]), "")
    kept: dict[str, Json] = {
        name: row[name] for name in ("page", "start", "end", "text", "chunk_id", "confidence", "method")
    }
    return kept | {"verified": page[row["start"] : row["end"]] == row["text"]}


def _partition(platform: Platform, place: Partition, limit: int | None) -> Origin:
    with platform.ledger.reading() as connection:
        documents = origins.documents_in(connection, place)
        made = origins.made_in(connection, place)
    told = [
        Origin("document", document, {"path": path, "version": version, "publication": publication})
        for document, path, version, publication in documents[:limit]
    ]
    facts: dict[str, Json] = {
        **asdict(place), "documents": len(documents), "documents_told": len(told),
        "published": sum(publication is not None for *_, publication in documents), "stages": made,
    }  # fmt: skip
    return Origin("partition", place.key, facts, tuple(told))


def _outputs(
    platform: Platform, shown: ShownDocument, stages: Mapping[str, MadeOutput], *, verify: bool = True
) -> tuple[Origin, ...]:
    """An origin for each stage's output, in order. The first ends in the original; what others read is below them."""
    partition = _partition_key(platform, shown)
    with platform.ledger.reading() as connection:
        runs = origins.run_states(connection, {one.run_id for one in stages.values()}, partition)
    original = _original(platform, shown, verify=verify) if stages else None
    done: dict[str, Origin] = {}
    for stage in STAGES:
        if stage.name in stages:
            below = tuple(done[name] for name in stage.inputs if name in done)
            sources = below if stage.inputs else (original,) if original else ()
            done[stage.name] = _output(stages[stage.name], runs, partition, sources)
    return tuple(done.values())


def _output(
    made: MadeOutput, runs: Mapping[str, Mapping[str, Any]], partition: str, sources: tuple[Origin, ...]
) -> Origin:
    run = runs.get(made.run_id, {})
    facts: dict[str, Json] = {
        "stage": made.stage, "producer": made.producer, "code_version": made.producer.split("/")[1],
        "parameters": dict(made.parameters), "document_id": made.document_id, "version": made.version,
        "run_id": made.run_id, "run_state": run.get("state"), "run_started_at": instant(run.get("started_at")),
        "run_ended_at": instant(run.get("ended_at")), "partition": partition,
        "computed_at": instant(made.computed_at), "rows": made.row_count, "seconds": made.seconds,
        "tokens": made.tokens, "segment": made.segment, "segment_sha256": made.segment_sha256,
        "input_digest": made.input_digest, "output_digest": made.output_digest, "begin_seq": made.begin_seq,
        "end_seq": made.end_seq, "reads": list(_READS.get(made.stage, ())) or ["original"],
    }  # fmt: skip
    return Origin("output", str(made.output_id), facts, sources)


def _original(platform: Platform, shown: ShownDocument, *, verify: bool = True) -> Origin:
    key = original_key(shown.tenant, shown.document_id, shown.version)
    with platform.ledger.reading() as connection:
        arrived = origins.arrived(connection, shown.document_id, shown.version) or {}
        path = str(arrived.get("path", shown.path))
        brought = imports.origin_of(connection, shown.tenant, shown.collection, path, shown.version)
    facts: dict[str, Json] = {
        "key": key, "place": platform.places.get("originals"), "sha256": shown.version,
        "size_bytes": arrived.get("size_bytes"), "content_type": arrived.get("content_type"),
    }  # fmt: skip
    if verify:
        problem = _wrong_bytes(platform, key, shown.version)
        problems: list[Json] = [problem] if problem else []
        facts |= {"verified": not problems, "problems": problems}
    source: dict[str, Json] = {
        "key": f"{shown.tenant}/{shown.collection}/{path}", "place": platform.places.get("objects"),
        "arrived_at": instant(arrived.get("arrived_at")), "begin_seq": arrived.get("begin_seq"),
        "end_seq": arrived.get("end_seq"),
    }  # fmt: skip
    if brought is not None:
        source["imported_from"] = {
            "import_id": brought.import_id, "kind": brought.kind, "source": brought.source,
            "model": dict(brought.model),
        }  # fmt: skip
    return Origin("original", key, facts, (Origin("object", str(source["key"]), source),))


def _wrong_bytes(platform: Platform, key: str, version: str) -> str | None:
    digest = hashlib.sha256()
    try:
        with ExitStack() as stack:
            file = stack.enter_context(stack.enter_context(platform.originals.local(key)).open("rb"))
            while part := file.read(_HASHED_AT_ONCE):
                digest.update(part)
    except FileNotFoundError:
        return f"original {key} is gone; run: etl-assets repair"
    except DataError as e:
        return f"original {key}: {e}"
    return None if digest.hexdigest() == version else f"original {key} has other bytes; run: etl-assets repair"


def _document_facts(shown: ShownDocument) -> dict[str, Json]:
    return {
        "document_id": shown.document_id, "tenant": shown.tenant, "collection": shown.collection, "path": shown.path,
        "version": shown.version, "object_key": f"{shown.tenant}/{shown.collection}/{shown.path}",
    }  # fmt: skip


def _publication_facts(platform: Platform, shown: ShownDocument) -> dict[str, Json]:
    return {
        "publication": shown.publication, "generation_id": shown.generation_id,
        "generation_state": shown.generation_state, "embedding_model": shown.embedding_model,
        "published_seq": shown.begin_seq, "withdrawn_seq": shown.end_seq, "index_rows": dict(shown.counts),
        "stores": {store: platform.places.get(store) for store in shown.counts},
        "partition": _partition_key(platform, shown),
    }  # fmt: skip


def _store_keys(shown: ShownDocument, chunk_id: str) -> dict[str, Json]:
    """Under which values the rows of a chunk are found in the stores that have chunks."""
    return {
        store: {"publication": shown.publication, "chunk_id": chunk_id}
        for store in ("vector", "keyword") if shown.counts.get(store)
    }  # fmt: skip


def _partition_key(platform: Platform, shown: ShownDocument) -> str:
    slot = slot_of(shown.document_id)
    for place in partitions(platform.ledger, tenant=shown.tenant, collection=shown.collection):
        if place.slot_low <= slot <= place.slot_high:
            return place.key
    return ""


def _pages(platform: Platform, outputs: Sequence[int]) -> dict[tuple[str, int], str]:
    rows = _rows(platform, outputs, ("document_id", "page", "text"))
    return {} if rows is None else {(row[1], row[2]): row[3] for row in rows.iter_rows()}


def _rows(platform: Platform, outputs: Iterable[int], columns: Sequence[str]) -> pl.DataFrame | None:
    """Rows of these outputs, ``output_id`` first; ``None`` when they have none. Compaction may move them meanwhile."""
    wanted = sorted(set(outputs))
    for left in reversed(range(_TRIES)):
        by_segment: dict[int, list[int]] = {}
        files = {}
        for number, file in output_files(platform.ledger, wanted).items():
            files[file.segment_id] = file
            by_segment.setdefault(file.segment_id, []).append(number)
        if not by_segment:
            return None
        try:
            return platform.lake.read(files, by_segment, columns)
        except SegmentLost:
            if not left:
                raise
    return None

"""Forwards from a document, a stage, a producer, a store or an asset to all that rests on it.

Asks the ledger, and the graph for entities; nothing is read of the lake.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from etl_assets.documents.collection_fields import FIELDS
from etl_assets.documents.document_names import DocumentName
from etl_assets.documents.lineage.subject import scope_of, subject_of
from etl_assets.documents.model import PAGES, STAGES
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError
from etl_assets.ledger import dependents, origins
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.dependents import Producers, Rests
from etl_assets.ledger.publications import STORES
from etl_assets.ledger.saved_searches import SavedSearch, saved_searches
from etl_assets.ledger.snapshots import snapshot
from etl_assets.stages.spec import Json

Kind = Literal["document", "stage", "producer", "backend", "asset"]
KINDS: tuple[Kind, ...] = ("document", "stage", "producer", "backend", "asset")

DOWNSTREAM: Mapping[str, tuple[str, ...]] = {
    "raw_documents": ("pages",),
    "pages": ("chunks", "knowledge", "classifications", "mentions", "relations"),
    "chunks": ("embeddings", "mentions", "keyword_index"),
    "embeddings": ("vector_index", "keyword_index", "knowledge_graph"),
    "knowledge": ("classifications", "mentions"),
    "classifications": ("vector_index", "keyword_index", "knowledge_graph"),
    "mentions": ("relations", "vector_index", "keyword_index", "knowledge_graph"),
    "relations": ("vector_index", "keyword_index", "knowledge_graph"),
    "vector_index": ("published_documents",),
    "keyword_index": ("published_documents",),
    "knowledge_graph": ("published_documents",),
    "published_documents": ("repaired_indexes",),
    "repaired_indexes": (),
}
"""Asset -> the assets that depend on it. Each store depends on all stages: a document has one number in all of them."""

STORE_ASSETS = {"vector_index": "vector", "keyword_index": "keyword", "knowledge_graph": "graph"}
FILE_ROLES = {"objects": "raw_documents", "originals": "raw_documents", "lake": "pages"}
"""Roles that every stage rests on, and the asset that is the first to need them."""

COUNT_ENTITIES_OF = 1000
"""Of how many documents the entities are told without being asked for: each one is asked of the graph."""
_MOST_ENTITIES = 1_000_000


@dataclass(frozen=True, slots=True)
class Impact:
    """All that rests on one thing. ``assets`` are itself, if it is one, and those after it.

    ``entities`` is ``None`` when they were not asked for: ``only`` exist through these documents alone, ``shared``
    through others too; both are ids, by id. ``searches`` are saved ones whose last answer cites one of the documents.
    """

    kind: Kind
    name: str
    assets: tuple[str, ...]
    partitions: Mapping[str, Rests]
    searches: tuple[SavedSearch, ...] = ()
    entities_only: tuple[str, ...] | None = None
    entities_shared: tuple[str, ...] | None = None
    producers: tuple[str, ...] = ()

    def total(self) -> Rests:
        """The sums over all partitions."""
        whole = Rests()
        for one in self.partitions.values():
            whole.documents += one.documents
            whole.published += one.published
            whole.outputs += one.outputs
            whole.rows += one.rows
            whole.entries += one.entries
        return whole

    def as_json(self) -> dict[str, Json]:
        """Every figure, in all and by partition."""
        entities: Json = None
        if self.entities_only is not None and self.entities_shared is not None:
            entities = {"only_here": list(self.entities_only), "shared": list(self.entities_shared)}
        return {
            "kind": self.kind, "name": self.name, "assets": list(self.assets), "producers": list(self.producers),
            **_figures(self.total()), "entities": entities,
            "saved_searches": [{"tenant": one.tenant or None, "name": one.name, "query": one.query}
                               for one in self.searches],
            "partitions": [{"partition": key, **_figures(one)} for key, one in sorted(self.partitions.items())],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Target:
    kind: Kind
    name: str
    document: DocumentName | None = None
    roots: frozenset[int] = frozenset()
    stages: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()


def impact(
    platform: Platform, text: str, *, kind: Kind | None = None, tenant: str | None = None,
    collection: str | None = None, entities: bool = False,
) -> Impact:  # fmt: skip
    """What rests on the thing that ``text`` names; ``kind`` says of which kind it is, where several have the name.

    A document is named by its id, the beginning of one, or ``tenant/collection/path``; a producer as ``document show``
    prints it; a backend by its role (``vector``, ``keyword``, ``graph``, ``objects``, ``originals``, ``lake``) or by
    what it is (``LanceDB``, ``Neo4j``, ...). ``entities`` asks for them however many documents there are.

    Raises:
        ConfigError: nothing, or several things, have that name.
        TransientError: the graph does not answer.
    """
    target = _target(platform, text, kind, tenant, collection)
    places = partitions(platform.ledger, tenant=tenant, collection=collection)
    if target.document is not None:
        return _of_document(platform, target, target.document, partitions(platform.ledger))
    if target.roots or target.stages:
        return _of_producers(platform, target, places, entities)
    return _of_stores(platform, target, places, entities)


def _target(platform: Platform, text: str, kind: Kind | None, tenant: str | None, collection: str | None) -> _Target:
    found = [
        one
        for wanted in ((kind,) if kind is not None else KINDS)
        for one in _READERS[wanted](platform, text, tenant, collection)
    ]
    # An asset and the stage that makes it are one thing here.
    if len(found) > 1 and kind is None and {one.kind for one in found} == {"stage", "asset"}:
        found = found[:1]
    if not found:
        raise ConfigError(
            f"{text[:100]!r}: no document, stage, producer, backend or asset has this name; stages are "
            f"{', '.join(stage.name for stage in STAGES)}, assets {', '.join(DOWNSTREAM)}"
        )
    if len(found) > 1:
        told = ", ".join(f"{one.kind} {one.name}" for one in found)
        raise ConfigError(f"{text[:100]!r} may be any of {told}; add --as KIND")
    return found[0]


def _document_target(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[_Target]:
    try:
        subject = subject_of(platform, text, kind="document", tenant=tenant, collection=collection)
    except ConfigError as e:
        if "nothing is known" in str(e):
            return []
        raise
    assert isinstance(subject, DocumentName)
    return [_Target("document", subject.document_id, document=subject, assets=after(("raw_documents",)))]


def _stage_target(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[_Target]:
    if text not in {stage.name for stage in STAGES}:
        return []
    return [_Target("stage", text, roots=_ids(platform, {text}), stages=(text,), assets=after((text,)))]


def _producer_target(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[_Target]:
    with platform.ledger.reading() as connection:
        known = dependents.known_producers(connection)
    return [
        _Target("producer", name, roots=frozenset([number]), stages=(stage,), assets=after((stage,)))
        for number, (stage, name) in known.items()
        if name == text
    ]


def _backend_target(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[_Target]:
    wanted = text.casefold()
    roles = [role for role in (*STORES, *FILE_ROLES) if role == wanted]
    roles = roles or [role for role, place in platform.places.items() if place.casefold().split()[0] == wanted.strip()]
    if not roles:
        return []
    first = tuple(FILE_ROLES[role] for role in roles if role in FILE_ROLES)
    if first:
        stage = PAGES.name
        return [_Target("backend", text, roots=_ids(platform, {stage}), stages=(stage,), assets=after(first))]
    stores = tuple(role for role in roles if role in STORES)
    assets = tuple(asset for asset, store in STORE_ASSETS.items() if store in stores)
    return [_Target("backend", text, stores=stores, assets=after(assets))]


def _asset_target(platform: Platform, text: str, tenant: str | None, collection: str | None) -> list[_Target]:
    if text not in DOWNSTREAM:
        return []
    assets = after((text,))
    if text in STORE_ASSETS:
        return [_Target("asset", text, stores=(STORE_ASSETS[text],), assets=assets)]
    if text in {"published_documents", "repaired_indexes"}:
        return [_Target("asset", text, stores=STORES, assets=assets)]
    stage = PAGES.name if text == "raw_documents" else text
    return [_Target("asset", text, roots=_ids(platform, {stage}), stages=(stage,), assets=assets)]


_READERS = {
    "document": _document_target, "stage": _stage_target, "producer": _producer_target, "backend": _backend_target,
    "asset": _asset_target,
}  # fmt: skip


def after(assets: Sequence[str]) -> tuple[str, ...]:
    """These assets and every one that depends on them, in the order in which a run makes them."""
    wanted = set(assets)
    for one, later in DOWNSTREAM.items():  # which is in that order
        if one in wanted:
            wanted.update(later)
    return tuple(one for one in DOWNSTREAM if one in wanted)


def _ids(platform: Platform, stages: Collection[str]) -> frozenset[int]:
    with platform.ledger.reading() as connection:
        known = dependents.known_producers(connection)
    return frozenset(number for number, (stage, _) in known.items() if stage in stages)


def _of_document(
    platform: Platform, target: _Target, document: DocumentName, places: Sequence[Partition]
) -> Impact:  # fmt: skip
    with platform.ledger.reading() as connection:
        rests = dependents.resting_on_document(connection, document.document_id, places)
        shown = origins.shown_documents(connection, [document.document_id])
        ids = [number for one in shown.values() for number in one.outputs.values()]
        made = origins.made_outputs(connection, ids).values()
        saved = [one for one in saved_searches(connection) if document.document_id in one.document_ids]
    numbers = {document.tenant: [one.publication for one in shown.values()]}
    only, shared = _entities(platform, numbers)
    producers = tuple(sorted({one.producer for one in made}))
    return Impact(
        "document", target.name, target.assets, rests, tuple(saved), only, shared, producers
    )  # fmt: skip


def _of_producers(platform: Platform, target: _Target, places: Sequence[Partition], entities: bool) -> Impact:
    with platform.ledger.reading() as connection:
        known = dependents.known_producers(connection)
        producers = _later(target, known)
        extent = dependents.extent_of(connection, producers, target.stages).within({one.cid for one in places})
        rests = dependents.resting_on_producers(connection, producers, extent, places)
        most = _MOST_ENTITIES if entities else COUNT_ENTITIES_OF
        live = dependents.live_publications(connection, producers, extent, most=most)
        saved = saved_searches(connection)
        cited = {document for one in saved for document in one.document_ids}
        hit = dependents.affected_among(connection, cited, producers, extent)
    only, shared = _entities(platform, _by_tenant(platform, live)) if live is not None else (None, None)
    names = tuple(sorted(known[number][1] for number in target.roots if rests))
    return Impact(
        target.kind, target.name, target.assets, rests, _citing(saved, hit), only, shared, names
    )  # fmt: skip


def _of_stores(platform: Platform, target: _Target, places: Sequence[Partition], entities: bool) -> Impact:
    cids = {one.cid for one in places}
    with platform.ledger.reading() as connection:
        rests = dependents.resting_on_stores(connection, target.stores, cids, places)
        most = _MOST_ENTITIES if entities else COUNT_ENTITIES_OF
        wanted = dependents.Extent(whole=frozenset(cids if "graph" in target.stores else ()))
        live = dependents.live_publications(connection, dependents.NOTHING_MADE, wanted, most=most)
        saved = saved_searches(connection)
        cited = {document for one in saved for document in one.document_ids}
        everywhere = dependents.Extent(whole=frozenset(cids))
        hit = dependents.affected_among(connection, cited, dependents.NOTHING_MADE, everywhere)
    only, shared = _entities(platform, _by_tenant(platform, live)) if live is not None else (None, None)
    return Impact(target.kind, target.name, target.assets, rests, _citing(saved, hit), only, shared)


def _later(target: _Target, known: Mapping[int, tuple[str, str]]) -> Producers:
    """The producers of the stages that read what the target's producers make; the first stage has only these."""
    later: dict[str, frozenset[int]] = {}
    for stage in STAGES:
        if stage.name in target.stages:
            later[stage.name] = target.roots
        elif set(stage.inputs) & later.keys():
            later[stage.name] = frozenset(number for number, (name, _) in known.items() if name == stage.name)
    return Producers(target.roots, later, {stage.name: stage.inputs for stage in STAGES})


def _citing(saved: Sequence[SavedSearch], documents: Collection[str]) -> tuple[SavedSearch, ...]:
    return tuple(one for one in saved if one.document_ids & set(documents))


def _by_tenant(platform: Platform, live: Mapping[int, str]) -> dict[str, list[int]]:
    with platform.ledger.reading() as connection:
        shown = origins.shown_documents(connection, list(live.values()))
    found: dict[str, list[int]] = {}
    for one in shown.values():
        found.setdefault(one.tenant, []).append(one.publication)
    return found


def _entities(platform: Platform, publications: Mapping[str, Sequence[int]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids of the entities that only these publications mention, and of those that others mention too, by tenant."""
    only: list[str] = []
    shared: list[str] = []
    for tenant, numbers in publications.items():
        views = snapshot(platform.ledger, tenant=tenant, collection=None)
        if not views or not numbers:
            continue
        scope, mine = scope_of(views), set(numbers)
        for one in platform.stores.graph.entities_of(scope, sorted(mine), limit=_MOST_ENTITIES):
            everyone = {number for _, number in platform.stores.graph.mentioning(scope, [one.entity.entity_id])}
            (only if everyone <= mine else shared).append(one.entity.entity_id)
    return tuple(sorted(only)), tuple(sorted(shared))


def _figures(one: Rests) -> dict[str, Json]:
    return {
        "documents": one.documents, "publications": one.published, "outputs": dict(one.outputs),
        "rows": dict(one.rows), "index_entries": dict(one.entries),
    }  # fmt: skip


def impact_of_setting(platform: Platform, name: str) -> Impact:
    """What a change of a setting of collections.yaml would reach: ``chunking.max_tokens`` of every collection, or
    ``TENANT/COLLECTION:chunking.max_tokens`` of one.

    Raises:
        ConfigError: there is no such setting, or no such collection, or the setting changes no result.
    """
    place, _, setting = name.rpartition(":")
    tenant, _, collection = place.partition("/")
    section = setting.partition(".")[0]
    if setting not in FIELDS:
        raise ConfigError(f"setting {setting!r}: there is none; docs/reference/collections.md lists them")
    if section not in _RESULTS_OF:
        raise ConfigError(f"setting {setting!r} changes no result: nothing that is stored rests on it")
    if place and not partitions(platform.ledger, tenant=tenant, collection=collection):
        raise ConfigError(f"there is no collection {place}; `etl-assets status` lists those that exist")
    reached, kind = _RESULTS_OF[section]
    return impact(platform, reached, kind=kind, tenant=tenant or None, collection=collection or None)


_RESULTS_OF: Mapping[str, tuple[str, Kind]] = {
    "chunking": ("chunks", "stage"), "embedder": ("chunks", "stage"), "publications": ("published_documents", "asset"),
}  # fmt: skip
"""Section of settings -> what it decides. Chunks are counted in the embedder's tokens, so they rest on it too."""

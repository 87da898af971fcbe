"""Opens the backend that the settings name for each role, without Dagster: for the CLI, search, API and resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from etl_assets.documents.parameters import Classification, EmbedderChoice
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError
from etl_assets.protocols.embedder import Embedder, HostedEmbedder, for_tenant
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.backends.lancedb_folder import TablePlace
    from etl_assets.hosted_bindings import Connections
    from etl_assets.ledger.database import Ledger
    from etl_assets.ledger.snapshots import CollectionView
    from etl_assets.protocols.classifier import HostedClassifier
    from etl_assets.protocols.comparison import Compare, Judgement, Quality
    from etl_assets.protocols.erasure import Certificates, Traces
    from etl_assets.protocols.graph import KnowledgeGraph
    from etl_assets.protocols.indexes import VectorIndex
    from etl_assets.protocols.keys import MasterKey
    from etl_assets.protocols.objects import Arrivals, Blobs
    from etl_assets.protocols.signatures import SignatureStore
    from etl_assets.search.model import SearchPlaces


def open_platform(settings: Settings) -> Platform:
    """Everything the documents domain works with. Models, parsers and index libraries load at their first use.

    Raises:
        ConfigError: the home, ``collections.yaml`` or the master key cannot be used, or the home is encrypted and no
            master key is set, or objects, originals or lake are set to a place that lacks what the ledger names.
        PermanentError: the ledger cannot be opened.
    """
    from etl_assets.hosted_bindings import Connections

    settings.home.create()
    hosted = Connections(settings)
    ledger = hosted.ledger()
    try:
        return _assembled(settings, hosted, ledger)
    except BaseException:
        # A sensor comes back every few seconds: what it could not use must not leave a connection each time.
        ledger.close()
        hosted.close()
        raise


def _assembled(settings: Settings, hosted: Connections, ledger: Ledger) -> Platform:
    from etl_assets.backends.lancedb_keywords import LanceKeywords
    from etl_assets.documents.collections import Collections
    from etl_assets.documents.mentions.catalogue import Catalogue
    from etl_assets.documents.parsing.workers import ParserPool
    from etl_assets.documents.publication.moves import refuse_moved_files
    from etl_assets.documents.publication.publisher import Stores
    from etl_assets.stages.lake import Lake

    home = settings.home
    originals, segments = _encrypted(hosted, ledger, stored_blobs(hosted, "originals"), stored_blobs(hosted, "lake"))
    platform = Platform(
        ledger=ledger,
        arrivals=_arrivals(hosted),
        originals=originals,
        lake=Lake(segments),
        stores=Stores(_vectors(hosted), LanceKeywords(_tables(hosted, "keywords")), _graph(hosted)),
        collections=Collections.read(home.collections_file),
        embedder=_embedders(hosted),
        classifier=_classifiers(hosted),
        reranker=lru_cache(hosted.reranker),
        patient_reranker=partial(hosted.reranker, patient=True),
        parsers=lru_cache(lambda: ParserPool(processes=settings.parser_processes)),
        catalogue=lru_cache(Catalogue.load),
        search_time_limit_s=settings.search_time_limit_s,
        lease_s=settings.lease_s,
        close_backends=hosted.close,
        places=_places(settings),
    )
    refuse_moved_files(platform)
    return replace(_deleting(platform, settings, hosted), compare=_comparison(platform))


def _deleting(platform: Platform, settings: Settings, hosted: Connections) -> Platform:
    """The platform with what deletions need beside the stores."""
    home = settings.home
    return replace(
        platform, traces=_traces(settings, hosted), certificates=lru_cache(partial(_certificates, home.certificates)),
        destroy_key=partial(_destroyed, platform.originals, "original:"),
        destroy_lake_key=partial(_destroyed, platform.lake.blobs, "lake:"),
    )  # fmt: skip


def _traces(settings: Settings, hosted: Connections) -> list[Traces]:
    """Every place beside the stores where programs tell of documents."""
    from etl_assets.backends.home_traces import HomeTraces

    home = settings.home
    scratch = [home.tmp, home.tmp / "plain", *(folder / ".scratch" for folder in (home.originals, home.lake))]
    traces: list[Traces] = [
        HomeTraces([home.dagster, home.logs], [home.cache / "results", home.cache / "signatures"], scratch)
    ]
    if settings.postgres is not None and settings.postgres.dagster_url is not None:
        from etl_assets.backends.postgres_traces import PostgresTraces

        traces.append(PostgresTraces(partial(hosted.text, settings.postgres.dagster_url)))
    if settings.s3 is not None and settings.s3.compute_logs:
        from etl_assets.backends.s3_log_traces import S3LogTraces

        traces.append(S3LogTraces(hosted.bucket("logs")))
    return traces


def _certificates(folder: Path) -> Certificates:
    from etl_assets.backends.signing import FolderCertificates

    return FolderCertificates(folder)


def verify_signature(content: bytes, signature: bytes, public_key: bytes) -> None:
    """Return when ``signature`` is of ``content`` by the owner of ``public_key`` (PEM).

    Raises:
        DataError: it is not.
        ConfigError: the public key cannot be read.
    """
    from etl_assets.backends.signing import verify

    verify(content, signature, public_key)


def _destroyed(blobs: Blobs, kind: str, name: str) -> bool:
    from etl_assets.backends.encrypted_blobs import EncryptedBlobs

    return isinstance(blobs, EncryptedBlobs) and blobs.envelope.destroy(kind + name)


def _comparison(platform: Platform) -> Compare:
    def compare(tenant: str, collection: str, live: int, other: int, judgement: Judgement) -> Quality:
        from etl_assets.search.comparison import compare_generations

        return compare_generations(search_places(platform), tenant, collection, live, other, judgement)

    return compare


def _places(settings: Settings) -> dict[str, str]:
    """Where each store is, in words that change when it is another one, and that hold no credential."""
    s3, pinecone, neo4j = settings.s3, settings.pinecone, settings.neo4j
    found = {role: f"the folder {role} of the home" for role in ("objects", "originals", "lake")}
    found |= {"vector": "LanceDB in the home", "keyword": "LanceDB in the home", "graph": "SQLite in the home"}
    if s3 is not None:
        below = "/".join(part for part in (s3.bucket, s3.prefix) if part)
        at = f" at {urlsplit(s3.endpoint_url).netloc}" if s3.endpoint_url else ""
        arrivals = (s3.objects_bucket, s3.objects_prefix) if s3.objects_bucket or s3.objects_prefix else None
        found |= {role: f"s3://{below}/{role}{at}" for role in ("objects", "originals", "lake")}
        if arrivals is not None:
            found["objects"] = f"s3://{arrivals[0] or s3.bucket}/{arrivals[1] or ''}{at}"
        found |= {"vector": f"LanceDB in s3://{below}{at}", "keyword": f"LanceDB in s3://{below}{at}"}
    if pinecone is not None:
        at = f" at {urlsplit(pinecone.host).netloc or pinecone.host}" if pinecone.host else ""
        found["vector"] = f"Pinecone, indexes {pinecone.index_prefix}-*{at}"
    if neo4j is not None:
        parts = urlsplit(neo4j.uri)
        found["graph"] = f"Neo4j at {parts.hostname}:{parts.port or 7687}, database {neo4j.database or 'by default'}"
    return found


def _arrivals(hosted: Connections) -> Arrivals:
    from etl_assets.backends.local_arrivals import LocalArrivals

    home, tenants = hosted.settings.home, hosted.settings.allowed_tenants
    store: Arrivals = LocalArrivals(home.objects, scratch=home.tmp)
    if hosted.settings.s3 is not None:
        store = hosted.arrivals()
    if tenants:
        from etl_assets.backends.allowed_arrivals import AllowedArrivals

        store = AllowedArrivals(store, tenants)
    return store


def stored_blobs(hosted: Connections, folder: str) -> Blobs:
    """``originals`` or ``lake`` as they are stored: what is encrypted comes encrypted."""
    from etl_assets.backends.local_blobs import LocalBlobs

    return hosted.blobs(folder) if hosted.settings.s3 is not None else LocalBlobs(hosted.settings.home.root / folder)


def _encrypted(hosted: Connections, ledger: Ledger, originals: Blobs, segments: Blobs) -> tuple[Blobs, Blobs]:
    """Both stores, behind encryption when a master key is set."""
    from etl_assets.ledger.data_keys import LedgerKeys

    place, rows = hosted.settings.encryption, LedgerKeys(ledger)
    in_use = rows.any_master()
    if place is None:
        if in_use is not None:
            raise ConfigError(
                f"this home is encrypted under {in_use}, and no master key is set; set ETL_ENCRYPTION_KEY to it"
            )
        return originals, segments
    from etl_assets.backends.encrypted_blobs import EncryptedBlobs
    from etl_assets.backends.envelope import Envelope, original_scope, segment_scope
    from etl_assets.backends.key_ring import open_masters

    keys = Envelope(rows, open_masters(place.key, vault=lambda mount, name: _transit_key(hosted, mount, name)))
    if in_use is not None:
        keys.refuse_unless_set(in_use)
    plain = hosted.settings.home.tmp / "plain"
    return (
        EncryptedBlobs(originals, keys, original_scope, plain=plain),
        EncryptedBlobs(segments, keys, segment_scope, plain=plain),
    )


def _transit_key(hosted: Connections, mount: str, name: str) -> MasterKey:
    from etl_assets.backends.vault_secrets import VaultSecrets
    from etl_assets.backends.vault_transit import TransitKey

    store, place = hosted.secret_store, hosted.settings.vault
    if place is None or not isinstance(store, VaultSecrets):
        raise ConfigError("ETL_ENCRYPTION_KEY: vault-transit needs ETL_VAULT_ADDR")
    return TransitKey(store.api, mount, name, namespace=place.namespace)


def _vectors(hosted: Connections) -> VectorIndex:
    from etl_assets.backends.lancedb_vectors import LanceVectors

    return hosted.vectors() if hosted.settings.pinecone is not None else LanceVectors(_tables(hosted, "vectors"))


def _tables(hosted: Connections, kind: str) -> TablePlace | Path:
    from etl_assets.backends.lancedb_s3 import S3Tables

    folder = hosted.settings.home.indexes / kind
    return S3Tables(hosted.bucket(f"indexes/{kind}"), hosted.mark) if hosted.settings.s3 is not None else folder


def _graph(hosted: Connections) -> KnowledgeGraph:
    from etl_assets.backends.sqlite_graph import SqliteGraph

    home = hosted.settings.home
    return hosted.graph() if hosted.settings.neo4j is not None else SqliteGraph(home.indexes / "graph.sqlite")


def signature_store(settings: Settings) -> SignatureStore:
    """Where signatures of near-duplicates are kept: below the home's cache, which a deletion empties."""
    from etl_assets.backends.signature_files import SignatureFiles

    return SignatureFiles(settings.home.cache / "signatures")


def search_places(platform: Platform) -> SearchPlaces:
    """Where searches read. Open it once in a process: it keeps what it has read of the lake."""
    from etl_assets.documents.generations.in_use import applied
    from etl_assets.search.model import SearchPlaces

    def embedder_for(view: CollectionView) -> Embedder | None:
        settings = platform.collections.of(view.tenant, view.collection)
        # The settings may name another model by now: a generation answers with the one that it was made by, which may
        # be found where the settings say although it has moved from where it was.
        made_by = settings if view.settings is None else applied(settings, view.settings)
        problem: ConfigError | None = None
        packaged = (EmbedderChoice("minilm"), EmbedderChoice("static"))
        for choice in dict.fromkeys((made_by.embedder, settings.embedder, *packaged)):
            try:
                embedder = platform.embedder(choice)
            except ConfigError as e:
                problem = e
                continue
            if embedder.model.digest == view.embedding_digest:
                return for_tenant(embedder, view.tenant)
        if problem is not None:
            raise problem
        return None

    return SearchPlaces(
        platform.ledger, platform.lake, platform.stores.vector, platform.stores.keyword, platform.stores.graph,
        embedder_for=embedder_for, time_limit_s=platform.search_time_limit_s, reranker=platform.reranker(),
        at=platform.places,
    )  # fmt: skip


def _classifiers(hosted: Connections) -> Callable[[Classification], HostedClassifier | None]:
    jina = cache(hosted.classifier)

    def opened(choice: Classification) -> HostedClassifier | None:
        return jina(choice.model) if choice.classifier == "jina" else None

    return opened


def _embedders(hosted: Connections) -> Callable[[EmbedderChoice], Embedder]:
    from etl_assets.backends.result_cache import MemoryCache

    questions = MemoryCache()
    settings = hosted.settings

    @cache
    def opened(choice: EmbedderChoice) -> Embedder:
        from etl_assets.backends.cached_models import CachedQuestions
        from etl_assets.backends.embedders import open_embedder

        embedder = open_embedder(
            choice, cache=settings.home.cache, threads=settings.embedder_threads, hosted=hosted.models
        )  # fmt: skip
        return embedder if isinstance(embedder, HostedEmbedder) else CachedQuestions(embedder, questions)

    return opened

"""Every role of an installation, with what fills it and how that is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from etl_assets.cli.configured_secrets import references
from etl_assets.cli.known_installation import known_installation
from etl_assets.errors import ConfigError
from etl_assets.protocols.probes import Finding, Probe
from etl_assets.variables import SECRET_REFERENCE

if TYPE_CHECKING:
    from etl_assets.backends.neo4j_probe import ProbedNeo4j
    from etl_assets.documents.parameters import CollectionSettings, EmbedderChoice
    from etl_assets.hosted_bindings import Connections
    from etl_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class Role:
    """One role. ``group`` is the attribute of ``Settings`` that fills it, "" for the embedded default.

    ``backend`` tells people what fills it; ``try_it`` is ``None`` where there is nothing to try.
    """

    name: str
    backend: str
    try_it: Probe | None
    group: str = ""


def roles(hosted: Connections, *, paid: bool) -> Iterator[Role]:
    """Every role with what fills it."""
    yield from _objects(hosted)
    yield from _databases(hosted)
    yield from _indexes(hosted, paid)
    yield from _models(hosted, paid)
    yield from _services(hosted)


def _objects(hosted: Connections) -> Iterator[Role]:
    from etl_assets.backends.probe_stores import probe_bucket, probe_folder, probe_mark

    home = hosted.settings.home
    place = hosted.settings.s3
    for name, folder in (("objects", home.objects), ("originals", home.originals), ("lake", home.lake)):
        if place is None:
            yield Role(name, "folder", _bound(probe_folder, folder))
            continue
        bucket = place.objects_bucket or place.bucket if name == "objects" else place.bucket

        def probe(found: Finding, name: str = name) -> None:
            store = hosted.arrivals_bucket() if name == "objects" else hosted.bucket(name)
            probe_bucket(found, store)
            if name == "originals":
                probe_mark(found, hosted.bucket(""), known_installation(hosted))

        yield Role(name, f"S3 bucket {bucket}", probe, "s3")


def _databases(hosted: Connections) -> Iterator[Role]:
    from etl_assets.backends.probe_stores import probe_folder
    from etl_assets.hosted_bindings import pools_transactions
    from etl_assets.ledger.probes import probe_postgres, probe_sqlite_ledger

    place, home = hosted.settings.postgres, hosted.settings.home
    if place is None:

        def file(found: Finding) -> None:
            probe_folder(found, home.ledger)
            probe_sqlite_ledger(found, home.ledger_file)

        yield Role("ledger", "SQLite", file)
    else:

        def ledger(found: Finding) -> None:
            url = hosted.text(place.url)
            probe_postgres(found, url, transaction_pooling=pools_transactions(url, place.pooling), is_ledger=True)

        yield Role("ledger", _server("PostgreSQL", place.url), ledger, "postgres")
    if place is None or place.dagster_url is None:
        yield Role("Dagster storage", "SQLite", _bound(probe_folder, home.dagster))
        return
    address = place.dagster_url

    def storage(found: Finding) -> None:
        probe_postgres(found, hosted.text(address), transaction_pooling=False, is_ledger=False)

    yield Role("Dagster storage", _server("PostgreSQL", address), storage, "postgres")


def _indexes(hosted: Connections, paid: bool) -> Iterator[Role]:
    from etl_assets.backends.probe_stores import probe_graph_file, probe_pinecone

    settings, indexes = hosted.settings, hosted.settings.home.indexes
    if (pinecone := settings.pinecone) is None:
        yield _tables(hosted, "vectors")
    else:

        def vectors(found: Finding) -> None:
            from etl_assets.backends.pinecone_server import PineconeAccess

            key = hosted.text(pinecone.api_key)
            access = PineconeAccess(key, pinecone.index_prefix, pinecone.cloud, pinecone.region, host=pinecone.host)
            probe_pinecone(found, access, known_installation(hosted), paid=paid)

        yield Role("vectors", f"Pinecone, indexes {pinecone.index_prefix}-*", vectors, "pinecone")
    yield _tables(hosted, "keywords")
    if settings.neo4j is None:
        yield Role("graph", "SQLite", _bound(probe_graph_file, indexes / "graph.sqlite"))
        return

    def graph(found: Finding) -> None:
        server = probed_graph(hosted)
        try:
            server.probe(found, known_installation(hosted))
        finally:
            server.close()

    yield Role("graph", _server("Neo4j", settings.neo4j.uri), graph, "neo4j")


def _tables(hosted: Connections, kind: str) -> Role:
    from etl_assets.backends.probe_stores import probe_bucket, probe_lance

    place = hosted.settings.s3
    if place is None:
        return Role(kind, "LanceDB", _bound(probe_lance, hosted.settings.home.indexes / kind))

    def probe(found: Finding) -> None:
        probe_bucket(found, hosted.bucket(f"indexes/{kind}"))

    return Role(kind, f"LanceDB in S3 bucket {place.bucket}", probe, "s3")


def probed_graph(hosted: Connections, *, patient: bool = False) -> ProbedNeo4j:
    """The Neo4j server of the settings, to look at; unless ``patient``, for a migration, it gives up within seconds."""
    from etl_assets.backends.neo4j_driver import Neo4jAccess
    from etl_assets.backends.neo4j_probe import ProbedNeo4j

    place = hosted.settings.neo4j
    assert place is not None
    access = Neo4jAccess(place.uri, place.user, hosted.text(place.password), place.database)
    quick = replace(access, connect_timeout_s=4.0, acquire_timeout_s=5.0, retry_time_s=1.0)
    return ProbedNeo4j(access, installation=hosted.installation) if patient else ProbedNeo4j(quick)


def _models(hosted: Connections, paid: bool) -> Iterator[Role]:
    try:
        choices = chosen_embedders(hosted.settings)
        yield from _classifiers(hosted, paid)
    except ConfigError as e:
        problem = str(e)

        def unusable(found: Finding) -> None:
            raise ConfigError(problem)

        yield Role("embedder", "collections.yaml", unusable)
        choices = []
    for choice in choices:
        yield _embedder(hosted, choice, paid)
    jina = hosted.settings.jina
    if jina is None or jina.reranker is None:
        yield Role("reranker", "none", None)
        return
    body = {"model": jina.reranker, "query": "probe", "documents": ["probe"]}
    probe = _asking(hosted.jina_api, "/rerank", body, paid, "documents")
    yield Role("reranker", f"Jina AI {jina.reranker}", probe, "jina")


def _classifiers(hosted: Connections, paid: bool) -> Iterator[Role]:
    """What scores labels in place of the packaged classifier, where a collection chose it."""
    from etl_assets.protocols.hosted_models import JINA_CLASSIFIERS

    choices = (one.classification for one in _decided(hosted.settings))
    for model in dict.fromkeys(one.model for one in choices if one.enabled and one.classifier == "jina"):
        body = {"model": model or JINA_CLASSIFIERS[0], "input": ["probe"], "labels": ["a probe", "something else"]}
        probe = _asking(hosted.jina_api, "/classify", body, paid, "input")
        yield Role("classifier", f"Jina AI {body['model']}", probe, "jina")


def _embedder(hosted: Connections, choice: EmbedderChoice, paid: bool) -> Role:
    from etl_assets.backends.probe_services import probe_embedder
    from etl_assets.protocols.hosted_models import JINA_DEFAULT

    name = f"embedder {choice.kind}"
    if choice.kind in ("jina", "openai"):
        model = choice.model or JINA_DEFAULT
        open_api = hosted.jina_api if choice.kind == "jina" else hosted.openai_api
        vendor = "Jina AI" if choice.kind == "jina" else "OpenAI-compatible"
        return Role(
            name, f"{vendor} {model}",
            _asking(open_api, "/embeddings", {"model": model, "input": ["probe"]}, paid, "input"), choice.kind,
        )  # fmt: skip

    def probe(found: Finding) -> None:
        from etl_assets.backends.embedders import open_embedder

        settings = hosted.settings
        probe_embedder(found, open_embedder(choice, cache=settings.home.cache, threads=settings.embedder_threads))

    return Role(name, "local folder" if choice.kind == "folder" else "packaged", probe)


def _asking(
    open_api: Callable[..., Any], path: str, body: Mapping[str, object], paid: bool, empty: str
) -> Probe:  # fmt: skip
    def probe(found: Finding) -> None:
        from etl_assets.backends.probe_services import QUICK, QUICK_S, probe_api

        api = open_api(timeout_s=QUICK_S, patience=QUICK)
        try:
            probe_api(found, api, path, body, paid=paid, empty=empty)
        finally:
            api.close()

    return probe


def chosen_embedders(settings: Settings) -> list[EmbedderChoice]:
    """The models of the collections that the file names, and of those that it does not.

    Raises:
        ConfigError: ``collections.yaml`` cannot be used.
    """
    return list(dict.fromkeys(one.embedder for one in _decided(settings)))


def _decided(settings: Settings) -> list[CollectionSettings]:
    from etl_assets.documents.collections import Collections

    decided = Collections.read(settings.home.collections_file)
    return [decided.of("", ""), *(decided.of(*key) for key in decided.named)]


def _services(hosted: Connections) -> Iterator[Role]:
    settings = hosted.settings
    yield _cache(hosted)
    yield _secrets(hosted)
    if (celery := settings.celery) is None:
        yield Role("queue", "processes of this machine", None)
    else:

        def broker(found: Finding) -> None:
            from etl_assets.backends.probe_services import probe_broker

            probe_broker(found, hosted.text(celery.broker_url))

        yield Role("queue", _server("RabbitMQ", celery.broker_url), broker, "celery")
    if (s3 := settings.s3) is None or s3.events_queue_url is None:
        yield Role("events", "none: the store is listed", None)
    else:
        url = s3.events_queue_url

        def events(found: Finding) -> None:
            from etl_assets.backends.probe_services import probe_queue

            named = (s3.access_key_id, s3.secret_access_key, s3.session_token)
            keys = [None if one is None else hosted.text(one) for one in named]
            probe_queue(found, url, region=s3.region, keys=keys)

        yield Role("events", _server("SQS", url), events, "s3")
    yield _encryption(hosted)


def _cache(hosted: Connections) -> Role:
    from etl_assets.backends.probe_stores import probe_folder

    place = hosted.settings.redis
    if place is None:
        return Role("cache", "folder", _bound(probe_folder, hosted.settings.home.cache))

    def probe(found: Finding) -> None:
        from etl_assets.backends.probe_services import QUICK_S, probe_redis
        from etl_assets.backends.redis_client import RedisServer

        probe_redis(found, RedisServer(hosted.text(place.url), timeout_s=QUICK_S, pause_s=0.0))

    return Role("cache", _server("Redis", place.url), probe, "redis")


def _secrets(hosted: Connections) -> Role:
    settings = hosted.settings
    names = sorted(references(settings))
    if (vault := settings.vault) is not None:

        def look(found: Finding) -> None:
            from etl_assets.backends.probe_services import probe_vault

            store: Any = hosted.secret_store
            probe_vault(found, store, mount=vault.mount, namespace=vault.namespace, names=names)

        return Role("secrets", _server("Vault", vault.address), look, "vault")
    if settings.aws_secrets is not None:

        def read(found: Finding) -> None:
            from etl_assets.backends.probe_services import probe_secrets

            assert hosted.secret_store is not None
            probe_secrets(found, hosted.secret_store, names)

        return Role("secrets", "AWS Secrets Manager", read, "aws_secrets")
    return Role("secrets", "the environment", None)


def _encryption(hosted: Connections) -> Role:
    place = hosted.settings.encryption
    if place is None:
        return Role("encryption key", "none", None)

    def probe(found: Finding) -> None:
        from etl_assets.backends.key_ring import open_masters
        from etl_assets.backends.probe_services import probe_master_keys
        from etl_assets.backends.vault_transit import TransitKey

        vault = hosted.settings.vault
        store: Any = hosted.secret_store
        namespace = "" if vault is None else vault.namespace
        masters = open_masters(
            place.key, vault=lambda mount, name: TransitKey(store.api, mount, name, namespace=namespace)
        )
        probe_master_keys(found, masters)

    kinds = [part.strip().partition(":")[0] for part in place.key.split(",")]
    return Role("encryption key", ", ".join(kinds), probe, "encryption")


def _server(product: str, address: str) -> str:
    """Product and host; an address that is a secret's name, or holds one, is not shown."""
    if address.startswith(SECRET_REFERENCE):
        return product
    parts = urlsplit(address)
    return f"{product} at {parts.hostname}{f':{parts.port}' if parts.port else ''}"


def _bound(probe: Callable[[Finding, Path], None], folder: Path) -> Probe:
    return lambda found: probe(found, folder)

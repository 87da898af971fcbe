"""Opens the hosted backends that the settings name. Nothing connects before the first call of what is opened here."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import fields
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from etl_assets.errors import ConfigError
from etl_assets.hosted_settings import JinaPlace, OpenAIPlace, S3Place
from etl_assets.settings import Settings
from etl_assets.variables import SECRET_REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_assets.backends.cached_classifier import CachedClassifier
    from etl_assets.backends.cached_models import CachedReranker
    from etl_assets.backends.circuit import CircuitBreaker, Opening
    from etl_assets.backends.hosted_models import HostedModels, Vendor
    from etl_assets.backends.http_calls import HttpApi, Patience
    from etl_assets.backends.neo4j_graph import Neo4jGraph
    from etl_assets.backends.pinecone_vectors import PineconeVectors
    from etl_assets.backends.rate_budget import Budget, Limits
    from etl_assets.backends.redis_client import RedisServer
    from etl_assets.backends.s3_arrivals import S3Arrivals
    from etl_assets.backends.s3_blobs import S3Blobs
    from etl_assets.backends.s3_client import S3Bucket
    from etl_assets.backends.s3_mark import S3Mark
    from etl_assets.backends.sqs_events import SqsEvents
    from etl_assets.ledger.database import Ledger
    from etl_assets.protocols.cache import ResultCache
    from etl_assets.protocols.secrets import Credential, RotatingSecrets, Secrets


_SUPABASE_TRANSACTION_PORT = 6543
_SHARE_OF_QUESTIONS = 0.1
"""Of an account's limits, kept for embedding the questions of searches."""

_log = logging.getLogger(__name__)


class Connections:
    """One installation's hosted backends, each opened at its first use and then shared."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened: list[Callable[[], None]] = []
        self._ledger: Ledger | None = None

    def close(self) -> None:
        """Close the connections of everything that was opened here; each opens again at its next use."""
        for close in self._opened:
            close()

    @cached_property
    def secret_store(self) -> RotatingSecrets | None:
        """Vault or AWS Secrets Manager, ``None`` when neither is set.

        Raises:
            ConfigError: the client's library is missing.
        """
        vault, aws = self.settings.vault, self.settings.aws_secrets
        if vault is not None:
            needs("vault", "httpx")
            from etl_assets.backends.credentials import FixedCredential
            from etl_assets.backends.vault_secrets import AppRoleCredential, VaultSecrets, vault_api

            credential: Credential
            if vault.token is not None:
                credential = FixedCredential(vault.token, source="VAULT_TOKEN")
            else:
                secret_id = FixedCredential(vault.secret_id or "", source="VAULT_SECRET_ID")
                login = vault_api(vault.address, None)
                credential = AppRoleCredential(login, vault.role_id or "", secret_id, namespace=vault.namespace)
            return VaultSecrets(
                vault_api(vault.address, credential), mount=vault.mount, namespace=vault.namespace
            )  # fmt: skip
        if aws is not None:
            needs("aws", "boto3")
            from etl_assets.backends.aws_secrets import AwsSecrets, secrets_manager

            return AwsSecrets(secrets_manager(region=aws.region, endpoint_url=aws.endpoint_url))
        return None

    @cached_property
    def secrets(self) -> Secrets | None:
        """The same store, what was read kept for 5 minutes."""
        if self.secret_store is None:
            return None
        from etl_assets.backends.kept_secrets import KeptSecrets

        return KeptSecrets(self.secret_store)

    def text(self, value: str) -> str:
        """``value`` itself, or the secret that it names.

        Raises:
            ConfigError, PermanentError, TransientError: as ``Secrets.get``.
        """
        if not value.startswith(SECRET_REFERENCE):
            return value
        if self.secrets is None:
            raise ConfigError("a setting names a secret, but no store is set; set ETL_VAULT_ADDR")
        return self.secrets.get(value.removeprefix(SECRET_REFERENCE))

    def credential(self, value: str, *, source: str) -> Credential:
        """A credential of a backend's calls: one that a store holds is read again when it is refused."""
        from etl_assets.backends.credentials import FixedCredential, StoredCredential

        if value.startswith(SECRET_REFERENCE) and self.secrets is not None:
            return StoredCredential(self.secrets, value.removeprefix(SECRET_REFERENCE))
        return FixedCredential(self.text(value), source=source)

    def ledger(self) -> Ledger:
        """The ledger: in PostgreSQL when it is set, else in the home.

        Raises:
            ConfigError, PermanentError, TransientError: as ``Ledger.postgresql`` and ``Ledger.sqlite``.
        """
        from etl_assets.ledger.database import Ledger

        place = self.settings.postgres
        if place is None:
            self._ledger = Ledger.sqlite(self.settings.home.ledger_file)
        else:
            url = self.credential(place.url, source="ETL_POSTGRES_URL")
            pooling = pools_transactions(url.value(), place.pooling)
            self._ledger = Ledger.postgresql(
                url, transaction_pooling=pooling, statement_limit_s=place.statement_limit_s
            )
        return self._ledger

    def installation(self) -> str:
        """The id by which hosted stores know this installation, from its ledger; raises as ``ledger``."""
        from etl_assets.ledger.installation import installation_id

        if self._ledger is None:
            self._opened.append(self.ledger().close)
        assert self._ledger is not None
        return installation_id(self._ledger)

    def bucket(self, folder: str) -> S3Bucket:
        """A folder of the home in the bucket: ``originals``, ``lake`` and so on.

        Raises:
            ConfigError: the client's library is missing, or values contradict each other.
        """
        place = self._s3
        return self._bucket(place.bucket, "/".join(part for part in (place.prefix, folder) if part))

    @cached_property
    def mark(self) -> S3Mark:
        """Whose the home in the bucket is."""
        from etl_assets.backends.s3_mark import S3Mark

        return S3Mark(self.bucket(""), self.installation)

    def arrivals(self) -> S3Arrivals:
        """Where documents arrive on S3."""
        from etl_assets.backends.s3_arrivals import S3Arrivals

        return S3Arrivals(self.arrivals_bucket())

    def arrival_events(self) -> SqsEvents | None:
        """The queue with events of the bucket where documents arrive; ``None`` when none is set.

        Raises:
            ConfigError: the client's library is missing, or the URL cannot be used.
        """
        place = self.settings.s3
        if place is None or place.events_queue_url is None:
            return None
        needs("s3", "boto3")
        from etl_assets.backends.sqs_events import SqsEvents, queue_client

        settings = self.arrivals_bucket().settings
        client = queue_client(
            place.events_queue_url, region=settings.region, access_key_id=settings.access_key_id,
            secret_access_key=settings.secret_access_key, session_token=settings.session_token,
            profile=settings.profile,
        )  # fmt: skip
        return SqsEvents(client, place.events_queue_url, bucket=settings.bucket, prefix=settings.key_prefix)

    def arrivals_bucket(self) -> S3Bucket:
        """The bucket, or folder of one, where documents arrive."""
        place = self._s3
        return self._bucket(place.objects_bucket or place.bucket, _objects_folder(place))

    def blobs(self, folder: str) -> S3Blobs:
        """Originals or segments on S3, with copies on this machine's disk."""
        from etl_assets.backends.blob_cache import BlobCache
        from etl_assets.backends.s3_blobs import S3Blobs

        limit = self._s3.cache_mb * 1_000_000 // 2
        cache = BlobCache(self.settings.home.cache / "s3" / folder, limit_bytes=limit)
        return S3Blobs(self.bucket(folder), cache, self.mark)

    def vectors(self) -> PineconeVectors:
        """Vectors in Pinecone."""
        place = self.settings.pinecone
        assert place is not None
        needs("pinecone", "pinecone")
        from etl_assets.backends.circuit import Calls
        from etl_assets.backends.pinecone_server import BACKOFF, PineconeAccess
        from etl_assets.backends.pinecone_vectors import PineconeVectors

        key = self.credential(place.api_key, source="PINECONE_API_KEY")
        access = PineconeAccess(key, place.index_prefix, place.cloud, place.region, host=place.host)
        vectors = PineconeVectors(access, Calls(self.breaker("Pinecone"), BACKOFF), self.installation)
        self._opened.append(vectors.close)
        return vectors

    def graph(self) -> Neo4jGraph:
        """The knowledge graph in Neo4j."""
        place = self.settings.neo4j
        assert place is not None
        needs("neo4j", "neo4j")
        from etl_assets.backends.neo4j_driver import Neo4jAccess
        from etl_assets.backends.neo4j_graph import Neo4jGraph

        password = self.credential(place.password, source="NEO4J_PASSWORD")
        access = Neo4jAccess(place.uri, place.user, password, place.database)
        graph = Neo4jGraph(access, self.breaker("Neo4j"), self.installation)
        self._opened.append(graph.close)
        return graph

    @cached_property
    def redis(self) -> RedisServer | None:
        """Redis, ``None`` when it is not set."""
        place = self.settings.redis
        if place is None:
            return None
        needs("redis", "redis")
        from etl_assets.backends.redis_client import RedisServer

        server = RedisServer(self.credential(place.url, source="REDIS_URL"))
        self._opened.append(server.close)
        return server

    @cached_property
    def results(self) -> ResultCache:
        """Results of paid calls: in this process, on disk, and in Redis when it is set."""
        from etl_assets.backends.result_cache import DiskCache, LayeredCache, MemoryCache

        layers: list[ResultCache] = [MemoryCache(), DiskCache(self.settings.home.cache / "results")]
        if self.redis is not None:
            from etl_assets.backends.redis_cache import RedisCache

            layers.append(RedisCache(self.redis))
        return LayeredCache(layers)

    def jina_api(self, *, timeout_s: float = 60.0, patience: Patience | None = None) -> HttpApi:
        """Calls of Jina AI.

        Raises:
            ConfigError: no key is set, or httpx is missing.
        """
        place = self.settings.jina
        if place is None:
            raise ConfigError("Jina AI needs a key: set JINA_API_KEY")
        return self._api("jina", "Jina AI", place, timeout_s, patience)

    def openai_api(self, *, timeout_s: float = 60.0, patience: Patience | None = None) -> HttpApi:
        """Calls of the OpenAI-compatible endpoint; raises as ``jina_api``."""
        place = self.settings.openai
        if place is None:
            raise ConfigError("an OpenAI-compatible endpoint needs a key or an address: set OPENAI_API_KEY")
        return self._api("openai", "OpenAI-compatible endpoint", place, timeout_s, patience)

    @cached_property
    def models(self) -> HostedModels:
        """Hosted embedders; each vendor is opened once, with the first collection that chose it."""
        from etl_assets.backends.hosted_models import OPENAI_HOST, HostedModels

        place = self.settings.openai
        host = OPENAI_HOST if place is None else urlsplit(place.base_url).hostname or ""
        return HostedModels(self.results, lru_cache(self._jina_vendor), lru_cache(self._openai_vendor), host)

    def reranker(self, *, patient: bool = False) -> CachedReranker | None:
        """What reorders the hits of a search; ``None`` when none is named. Raises as ``jina_api``.

        ``patient`` waits for its turn as an ingest does, instead of giving up within the time that a search has.
        """
        place = self.settings.jina
        if place is None or place.reranker is None:
            return None
        from etl_assets.backends.hosted_models import RERANKING_LIMIT_S, Vendor

        limit_s = 60.0 if patient else min(RERANKING_LIMIT_S, self.settings.search_time_limit_s)
        # The vendor counts reranking by itself, so all of it is one budget beside those of embedding.
        budget = self._budget("jina-reranking", _limits(place))
        return self.models.reranker(place.reranker, Vendor(self.jina_api(timeout_s=limit_s), budget), patient=patient)

    def classifier(self, model: str | None) -> CachedClassifier:
        """Jina's classifier by this model, or its default, for no tenant yet. Raises as ``jina_api``."""
        api, place = self.jina_api(), self.settings.jina
        assert place is not None  # jina_api says what is missing
        from etl_assets.backends.cached_classifier import CachedClassifier
        from etl_assets.backends.jina_classifier import PATIENCE, JinaClassifier
        from etl_assets.backends.rate_budget import Limits
        from etl_assets.protocols.hosted_models import JINA_CLASSIFIERS

        # The vendor counts classifying by itself, so all of it is one budget.
        limits = Limits(place.classifier_requests_per_minute, place.classifier_tokens_per_minute)
        budget = self._budget("jina-classifier", limits)
        opened = JinaClassifier(api, model or JINA_CLASSIFIERS[0], budget=budget, patience=PATIENCE)
        return CachedClassifier(opened, self.results, scope="")

    def _jina_vendor(self) -> Vendor:
        from etl_assets.backends.hosted_models import Vendor

        api, place = self.jina_api(), self.settings.jina
        assert place is not None  # jina_api says what is missing
        return Vendor(api, *self._budgets("jina-embeddings", _limits(place)))

    def _openai_vendor(self) -> Vendor:
        from etl_assets.backends.hosted_models import Vendor

        api, place = self.openai_api(), self.settings.openai
        assert place is not None  # as above
        return Vendor(api, *self._budgets("openai-embeddings", _limits(place)))

    def _budgets(self, name: str, limits: Limits) -> tuple[Budget, Budget]:
        """(documents, questions): one account's, apart so that no question stands in line behind an ingest."""
        documents, questions = limits.split(_SHARE_OF_QUESTIONS)
        return self._budget(f"{name}-documents", documents), self._budget(f"{name}-questions", questions)

    def _budget(self, name: str, limits: Limits) -> Budget:
        """Held in Redis when it is set, else by the processes of this home."""
        if self.redis is not None:
            from etl_assets.backends.redis_budget import RedisBudget

            return RedisBudget(self.redis, limits, name=name)
        from etl_assets.backends.rate_budget import FileBudget

        return FileBudget(self.settings.home.cache / "budgets" / f"{name}.sqlite", limits, name=name)

    def breaker(self, backend: str) -> CircuitBreaker:
        """A circuit breaker whose opening is a line of the log, and so an event of the run that it happens in."""
        from etl_assets.backends.circuit import CircuitBreaker

        return CircuitBreaker(backend, on_open=told)

    def _api(
        self, extra: str, name: str, place: JinaPlace | OpenAIPlace, timeout_s: float, patience: Patience | None
    ) -> HttpApi:
        needs(extra, "httpx")
        from etl_assets.backends.http_calls import HttpApi

        credential = None
        if place.api_key is not None:
            credential = self.credential(place.api_key, source=f"{extra.upper()}_API_KEY")
        api = HttpApi(
            name, place.base_url, credential=credential, timeout_s=timeout_s, patience=patience,
            breaker=self.breaker(name),
        )  # fmt: skip
        self._opened.append(api.close)
        return api

    @property
    def _s3(self) -> S3Place:
        assert self.settings.s3 is not None
        return self.settings.s3

    def other_bucket(self, bucket: str, prefix: str) -> S3Bucket:
        """A folder of any bucket, by the connection of the home's own."""
        return self._bucket(bucket, prefix)

    def _bucket(self, bucket: str, prefix: str) -> S3Bucket:
        needs("s3", "boto3")
        from etl_assets.backends.s3_client import S3Bucket
        from etl_assets.backends.s3_settings import KEYS, S3Settings, S3Store, renewing

        place = self._s3
        store = {one.name: getattr(place, one.name) for one in fields(S3Store)}
        keys = {name: self.credential(store[name], source=name) for name in KEYS if store[name] is not None}
        is_stored = any(store[name].startswith(SECRET_REFERENCE) for name in keys)
        store.update({name: key.value() for name, key in keys.items()})
        settings = S3Settings(**{**store, "bucket": bucket, "prefix": prefix})
        return S3Bucket(settings, on_open=told, renewed=renewing(keys) if is_stored else None)


def _limits(place: JinaPlace | OpenAIPlace) -> Limits:
    from etl_assets.backends.rate_budget import Limits

    return Limits(place.requests_per_minute, place.tokens_per_minute)


def _objects_folder(place: S3Place) -> str:
    if place.objects_prefix is not None:
        return place.objects_prefix
    return "" if place.objects_bucket else "/".join(part for part in (place.prefix, "objects") if part)


def pools_transactions(url: str, pooling: str | None) -> bool:
    """Whether the URL leads to a pooler by transaction: as it was set, else by Supabase's port for it."""
    return pooling == "transaction" if pooling is not None else urlsplit(url).port == _SUPABASE_TRANSACTION_PORT


def told(opening: Opening) -> None:
    """Say that a circuit opened. Dagster enters the lines of our loggers in the run; the command line prints them."""
    _log.warning(
        "%s does not answer: after %d failures no call is made for %.1f s; last problem: %s",
        opening.backend, opening.failures, opening.pause_s, opening.problem,
    )  # fmt: skip


def needs(extra: str, module: str) -> None:
    """Say what to install before work begins."""
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{module} is not installed: pip install 'etl-assets[{extra}]'")

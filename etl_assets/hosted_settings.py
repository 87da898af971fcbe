"""The hosted backends of an installation, read from environment variables: one group for each, ``None`` when unused.

A group is used once one of its leading variables is set. The usual names of each vendor are read beside our own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from etl_assets.backends.s3_settings import S3Store
from etl_assets.errors import ConfigError
from etl_assets.fields import Address, Choice, Field, Matching, Switch, Whole, Words
from etl_assets.variables import SECRET_REFERENCE, Variable, given


@dataclass(frozen=True, slots=True)
class S3Place(S3Store):
    """Objects, originals, lake and LanceDB's indexes in a bucket; the folders of a home stand below ``prefix``."""

    objects_bucket: str | None = None
    objects_prefix: str | None = None
    cache_mb: int = 20_000
    events_queue_url: str | None = None
    compute_logs: bool = False


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """The ledger, and Dagster's storage when ``dagster_url`` is set or the ledger's database serves both.

    ``pooling`` "transaction": the URL leads to a pooler that gives each transaction another session.
    """

    url: str = field(repr=False)
    pooling: Literal["session", "transaction"] | None = None
    dagster_url: str | None = field(default=None, repr=False)
    statement_limit_s: int = 300


@dataclass(frozen=True, slots=True)
class PineconePlace:
    """Vectors in Pinecone."""

    api_key: str = field(repr=False)
    index_prefix: str = "etl-assets"
    cloud: str = "aws"
    region: str = "us-east-1"
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Neo4jPlace:
    """The knowledge graph in Neo4j 5 or newer."""

    uri: str
    password: str = field(repr=False)
    user: str = "neo4j"
    database: str | None = None


@dataclass(frozen=True, slots=True)
class JinaPlace:
    """Jina AI's embeddings and classifier, for collections that choose them, and its reranker when one is named.

    Limits are requests and tokens a minute of the account, shared by all processes of the home. The vendor counts
    classifying by itself.
    """

    api_key: str = field(repr=False)
    base_url: str = "https://api.jina.ai/v1"
    requests_per_minute: int = 500
    tokens_per_minute: int = 2_000_000
    classifier_requests_per_minute: int = 125
    classifier_tokens_per_minute: int = 500_000
    reranker: str | None = None


@dataclass(frozen=True, slots=True)
class OpenAIPlace:
    """An OpenAI-compatible endpoint, for collections that choose its embeddings. ``base_url`` ends in /v1."""

    api_key: str | None = field(default=None, repr=False)
    base_url: str = "https://api.openai.com/v1"
    requests_per_minute: int = 3_000
    tokens_per_minute: int = 1_000_000


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Results of paid calls and budgets, shared by machines."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VaultPlace:
    """Secrets of Vault or OpenBao: KV version 2 at ``mount``, by a token or an AppRole."""

    address: str
    token: str | None = field(default=None, repr=False)
    role_id: str | None = None
    secret_id: str | None = field(default=None, repr=False)
    mount: str = "secret"
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class AwsSecretsPlace:
    """Secrets of AWS Secrets Manager, by the default chain of credentials."""

    region: str
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class CeleryPlace:
    """The queue from which workers on several machines take work."""

    broker_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EncryptionPlace:
    """The master key that wraps the data keys: ``file:PATH``, ``aws-kms:KEY`` or ``vault-transit:MOUNT/NAME``."""

    key: str


@dataclass(frozen=True, slots=True)
class Group:
    """One backend's variables by attribute of ``place``; any of ``leading`` being set puts the backend to use."""

    title: str
    place: type
    leading: tuple[str, ...]
    variables: Mapping[str, Variable]

    def read(self, env: Mapping[str, str], problems: list[str]) -> Any:
        """The group's values, ``None`` when it is not used; what is wrong is added to ``problems``."""
        values: dict[str, object] = {}
        for name, variable in self.variables.items():
            try:
                value = given(env, variable)
            except ConfigError as e:
                problems.append(str(e))
                values[name] = ""  # it was set: what is wrong is said already
                continue
            if value is not None:
                values[name] = value
        if not any(name in values for name in self.leading):
            return None
        missing = [one for one in self._required() if one not in values]
        problems += [f"{self.variables[one].names[0]}: missing, {self.title} needs it" for one in missing]
        return None if missing else self.place(**values)

    def _required(self) -> list[str]:
        return [one.name for one in fields(self.place) if one.default is MISSING and one.default_factory is MISSING]

    def as_environment(self, place: Any) -> dict[str, str]:
        """The variables from which the same group is read."""
        values = {name: getattr(place, name) for name in self.variables}
        return {self.variables[name].names[0]: str(value) for name, value in values.items() if value is not None}


def _words(*names: str, meaning: str, unset: str = "", secret: bool = False) -> Variable:
    return Variable(names, Field(Words(), meaning, unset=unset, secret=secret))


def _address(*names: str, schemes: tuple[str, ...], meaning: str, unset: str = "", secret: bool = False) -> Variable:
    return Variable(names, Field(Address(schemes), meaning, unset=unset, secret=secret))


_WEB = ("https", "http")
_POSTGRES = ("postgresql", "postgres")
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_BUCKET_FORM = "a bucket's name: 3 to 63 of a-z, 0-9, dots and hyphens"

_S3: Mapping[str, Variable] = {
    "bucket": Variable(
        ("ETL_S3_BUCKET",),
        Field(Matching(_BUCKET, _BUCKET_FORM), "Bucket of originals, lake and indexes, and of arrivals unless named."),
    ),
    "prefix": _words("ETL_S3_PREFIX", meaning="Folder inside the bucket.", unset="the whole bucket"),
    "objects_bucket": Variable(
        ("ETL_S3_OBJECTS_BUCKET",),
        Field(Matching(_BUCKET, _BUCKET_FORM), "Bucket where documents arrive.", unset="ETL_S3_BUCKET"),
    ),
    "objects_prefix": _words(
        "ETL_S3_OBJECTS_PREFIX", meaning="Folder where documents arrive.", unset="objects, below ETL_S3_PREFIX"
    ),
    "endpoint_url": _address(
        "ETL_S3_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        schemes=_WEB,
        meaning="Address of an S3-compatible service.",
        unset="AWS",
    ),
    "region": _words("ETL_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION", meaning="Region.", unset="boto3's default"),
    "access_key_id": _words(
        "ETL_S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID", meaning="Access key.", unset="boto3's default chain", secret=True
    ),
    "secret_access_key": _words(
        "ETL_S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", meaning="Its secret.", unset="as above", secret=True
    ),
    "session_token": _words("AWS_SESSION_TOKEN", meaning="Of temporary credentials.", unset="none", secret=True),
    "profile": _words("ETL_S3_PROFILE", "AWS_PROFILE", meaning="Profile of AWS's own files.", unset="none"),
    "addressing": Variable(
        ("ETL_S3_ADDRESSING",), Field(Choice(("auto", "path", "virtual")), "How a bucket stands in an address.")
    ),
    "ca_bundle": _words("AWS_CA_BUNDLE", meaning="File of certificates that are trusted.", unset="the system's"),
    "sse": Variable(
        ("ETL_S3_SSE",),
        Field(Choice(("AES256", "aws:kms", "aws:kms:dsse")), "Encryption asked of the server.", unset="the bucket's"),
    ),
    "kms_key_id": _words("ETL_S3_KMS_KEY_ID", meaning="Key of aws:kms.", unset="the account's own"),
    "lists_versions": Variable(
        ("ETL_S3_LISTS_VERSIONS",), Field(Switch(), "List by version id, to see metadata change within a second.")
    ),
    "reads_tags": Variable(("ETL_S3_READS_TAGS",), Field(Switch(), "Keep the tags of tagged objects.")),
    "cache_mb": Variable(
        ("ETL_S3_CACHE_MB",), Field(Whole(0, 10_000_000), "Disk for copies of what was read or written.", "MB")
    ),
    "compute_logs": Variable(
        ("ETL_S3_COMPUTE_LOGS",),
        Field(Switch(), "Keep what steps print, by dagster-aws, whose client finds credentials by boto3's own chain."),
    ),
    "events_queue_url": _address(
        "ETL_S3_EVENTS_QUEUE_URL", schemes=_WEB, meaning="SQS queue with the bucket's events.", unset="listing only"
    ),
}

_POSTGRESQL: Mapping[str, Variable] = {
    "url": _address(
        "ETL_POSTGRES_URL", "SUPABASE_DB_URL", schemes=_POSTGRES, secret=True,
        meaning="Database of the ledger, PostgreSQL 15 or newer.",
    ),
    "pooling": Variable(
        ("ETL_POSTGRES_POOLING",),
        Field(
            Choice(("session", "transaction")), "How the pooler in front of it, if any, hands out sessions.",
            unset="transaction at port 6543, which is Supabase's, else session",
        ),
    ),
    "dagster_url": _address(
        "ETL_DAGSTER_POSTGRES_URL", schemes=_POSTGRES, secret=True,
        meaning="Database of Dagster's runs and events; not behind a pooler by transaction.",
        unset="SQLite in the home",
    ),
    "statement_limit_s": Variable(
        ("ETL_POSTGRES_STATEMENT_LIMIT_S",),
        Field(
            Whole(1, 86_400), "How long one statement of the ledger may take; a server silent for 15 s more has hung.",
            "seconds",
        ),
    ),
}  # fmt: skip

_PINECONE: Mapping[str, Variable] = {
    "api_key": _words("ETL_PINECONE_API_KEY", "PINECONE_API_KEY", meaning="API key.", secret=True),
    "index_prefix": Variable(
        ("ETL_PINECONE_INDEX_PREFIX",),
        Field(Matching(r"[a-z0-9]([a-z0-9-]{0,37}[a-z0-9])?", "1 to 39 of a-z, 0-9 and -"), "What indexes begin with."),
    ),
    "cloud": _words("ETL_PINECONE_CLOUD", "PINECONE_CLOUD", meaning="Cloud of new indexes."),
    "region": _words("ETL_PINECONE_REGION", "PINECONE_REGION", meaning="Region of new indexes."),
    "host": _address(
        "ETL_PINECONE_HOST", "PINECONE_CONTROLLER_HOST", schemes=_WEB, meaning="Address of the API.", unset="Pinecone's"
    ),
}

_NEO4J: Mapping[str, Variable] = {
    "uri": _address(
        "ETL_NEO4J_URI",
        "NEO4J_URI",
        schemes=("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc"),
        meaning="Address of the server.",
    ),
    "password": _words("ETL_NEO4J_PASSWORD", "NEO4J_PASSWORD", meaning="Password.", secret=True),
    "user": _words("ETL_NEO4J_USER", "NEO4J_USERNAME", "NEO4J_USER", meaning="User."),
    "database": _words("ETL_NEO4J_DATABASE", "NEO4J_DATABASE", meaning="Database.", unset="the server's default"),
}

_JINA: Mapping[str, Variable] = {
    "api_key": _words("ETL_JINA_API_KEY", "JINA_API_KEY", meaning="API key.", secret=True),
    "base_url": _address("ETL_JINA_BASE_URL", "JINA_BASE_URL", schemes=_WEB, meaning="Address of the API."),
    "requests_per_minute": Variable(
        ("ETL_JINA_REQUESTS_PER_MINUTE",), Field(Whole(1, 10**9), "Requests that the account allows.", "a minute")
    ),
    "tokens_per_minute": Variable(
        ("ETL_JINA_TOKENS_PER_MINUTE",), Field(Whole(1, 10**12), "Tokens that the account allows.", "a minute")
    ),
    "classifier_requests_per_minute": Variable(
        ("ETL_JINA_CLASSIFIER_REQUESTS_PER_MINUTE",),
        Field(Whole(1, 10**9), "Requests of the classifier that the account allows; a free one 25.", "a minute"),
    ),
    "classifier_tokens_per_minute": Variable(
        ("ETL_JINA_CLASSIFIER_TOKENS_PER_MINUTE",),
        Field(Whole(1, 10**12), "Tokens of the classifier that the account allows; a free one 25,000.", "a minute"),
    ),
    "reranker": _words("ETL_JINA_RERANKER", meaning="Model that reranks search hits.", unset="no reranking"),
}

_OPENAI: Mapping[str, Variable] = {
    "api_key": _words(
        "ETL_OPENAI_API_KEY", "OPENAI_API_KEY", meaning="API key.", unset="none is sent", secret=True
    ),
    "base_url": _address(
        "ETL_OPENAI_BASE_URL", "OPENAI_BASE_URL", schemes=_WEB, meaning="Address of the endpoint, ending in /v1."
    ),
    "requests_per_minute": Variable(
        ("ETL_OPENAI_REQUESTS_PER_MINUTE",), Field(Whole(1, 10**9), "Requests that the account allows.", "a minute")
    ),
    "tokens_per_minute": Variable(
        ("ETL_OPENAI_TOKENS_PER_MINUTE",), Field(Whole(1, 10**12), "Tokens that the account allows.", "a minute")
    ),
}  # fmt: skip

_REDIS: Mapping[str, Variable] = {
    "url": _address("ETL_REDIS_URL", "REDIS_URL", schemes=("redis", "rediss"), meaning="Address.", secret=True),
}

_VAULT: Mapping[str, Variable] = {
    "address": _address("ETL_VAULT_ADDR", "VAULT_ADDR", "BAO_ADDR", schemes=_WEB, meaning="Address of the server."),
    "token": _words("VAULT_TOKEN", "BAO_TOKEN", meaning="Token.", unset="an AppRole", secret=True),
    "role_id": _words("VAULT_ROLE_ID", meaning="AppRole.", unset="a token"),
    "secret_id": _words("VAULT_SECRET_ID", meaning="Its secret.", unset="a token", secret=True),
    "mount": _words("ETL_VAULT_MOUNT", meaning="Where KV version 2 is mounted."),
    "namespace": _words("VAULT_NAMESPACE", meaning="Namespace.", unset="none"),
}

_AWS_SECRETS: Mapping[str, Variable] = {
    "region": _words("ETL_AWS_SECRETS_REGION", meaning="Region of AWS Secrets Manager."),
    "endpoint_url": _address("ETL_AWS_SECRETS_ENDPOINT_URL", schemes=_WEB, meaning="Its address.", unset="AWS"),
}

_CELERY: Mapping[str, Variable] = {
    "broker_url": _address(
        "ETL_CELERY_BROKER_URL", "CELERY_BROKER_URL", schemes=("amqp", "amqps", "pyamqp"), secret=True,
        meaning="RabbitMQ.",
    ),
}  # fmt: skip

_ENCRYPTION: Mapping[str, Variable] = {
    "key": Variable(
        ("ETL_ENCRYPTION_KEY",),
        Field(
            Matching(
                r"file:.+|aws-kms:.+|vault-transit:.+/[^/]+", "file:PATH, aws-kms:KEY or vault-transit:MOUNT/NAME"
            ),
            "Master key that originals and segments are encrypted under.",
        ),
    )
}

GROUPS: Mapping[str, Group] = MappingProxyType(
    {
        "s3": Group("objects on S3", S3Place, ("bucket",), _S3),
        "postgres": Group("the ledger on PostgreSQL", PostgresPlace, ("url",), _POSTGRESQL),
        "pinecone": Group("vectors in Pinecone", PineconePlace, ("api_key",), _PINECONE),
        "neo4j": Group("the graph in Neo4j", Neo4jPlace, ("uri",), _NEO4J),
        "jina": Group("Jina AI", JinaPlace, ("api_key",), _JINA),
        "openai": Group("an OpenAI-compatible endpoint", OpenAIPlace, ("api_key", "base_url"), _OPENAI),
        "redis": Group("the cache in Redis", RedisPlace, ("url",), _REDIS),
        "vault": Group("secrets in Vault", VaultPlace, ("address",), _VAULT),
        "aws_secrets": Group("secrets in AWS Secrets Manager", AwsSecretsPlace, ("region",), _AWS_SECRETS),
        "celery": Group("workers on several machines", CeleryPlace, ("broker_url",), _CELERY),
        "encryption": Group("encryption at rest", EncryptionPlace, ("key",), _ENCRYPTION),
    }
)
"""Every group, by its attribute of ``Settings``."""


def contradictions(places: Mapping[str, Any]) -> Iterator[str]:
    """What single variables cannot tell: places that need, or exclude, one another."""
    vault, s3 = places["vault"], places["s3"]
    if vault is not None and vault.token is None and (vault.role_id is None or vault.secret_id is None):
        yield "VAULT_TOKEN: missing, Vault needs it, or VAULT_ROLE_ID and VAULT_SECRET_ID"
    if vault is not None and places["aws_secrets"] is not None:
        yield "ETL_VAULT_ADDR and ETL_AWS_SECRETS_REGION: set one of them, secrets come from one store"
    if s3 is not None and (s3.access_key_id is None) != (s3.secret_access_key is None):
        yield "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: set both, or neither"
    if s3 is not None and s3.kms_key_id is not None and s3.sse not in ("aws:kms", "aws:kms:dsse"):
        yield "ETL_S3_KMS_KEY_ID: it needs ETL_S3_SSE=aws:kms or aws:kms:dsse"
    encryption = places["encryption"]
    if encryption is not None and encryption.key.startswith("vault-transit:") and vault is None:
        yield "ETL_ENCRYPTION_KEY: vault-transit needs ETL_VAULT_ADDR"
    if vault is None and places["aws_secrets"] is None:
        for name, place in places.items():
            yield from _without_store(GROUPS[name], place)


def _without_store(group: Group, place: Any) -> Iterator[str]:
    for name, variable in group.variables.items() if place is not None else ():
        value = getattr(place, name)
        if isinstance(value, str) and value.startswith(SECRET_REFERENCE):
            yield f"{variable.names[0]}: names a secret; set its store, ETL_VAULT_ADDR or ETL_AWS_SECRETS_REGION"

"""Where a store on S3 is and how it is reached: what an installation sets, and what one connection is made from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from etl_assets.backends.circuit import Backoff
from etl_assets.errors import ConfigError
from etl_assets.protocols.secrets import Credential

KEYS = ("access_key_id", "secret_access_key", "session_token")
"""The fields that a store of secrets may hold."""


@dataclass(frozen=True, slots=True)
class S3Store:
    """What a person says of a store.

    ``prefix`` is the folder inside the bucket that holds the store, "" for all of it. Without ``endpoint_url`` it is
    AWS. Without ``access_key_id`` the default chain of boto3 finds credentials (environment, profile, container,
    instance). ``addressing`` "auto" is path style for an ``endpoint_url``, whose host seldom has a name for each
    bucket, and virtual style for AWS. ``sse`` is the encryption asked of the server for what is written.
    ``lists_versions`` lists by version id: needed to notice a metadata change within the second of the write before
    it without waiting (see ``S3Arrivals``); it lists old versions too, so it costs more where many are kept.
    ``reads_tags`` asks for the tags of each tagged object that is fetched: one more request for it.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    ca_bundle: str | None = None
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    kms_key_id: str | None = None
    lists_versions: bool = False
    reads_tags: bool = False


@dataclass(frozen=True, slots=True)
class S3Settings(S3Store):
    """A store as it is connected to, every secret at hand. ``concurrency`` is how many requests may run at once.

    Raises:
        ConfigError: values contradict each other or cannot be used.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    part_size_bytes: int = 16 << 20
    concurrency: int = 32
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise ConfigError(f"S3 store: {'; '.join(problems)}")

    @property
    def key_prefix(self) -> str:
        """What every key of the store begins with: ``prefix`` with one slash behind, or ""."""
        return f"{self.prefix.strip('/')}/" if self.prefix.strip("/") else ""

    @property
    def shown(self) -> str:
        """The store in a message: ``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.key_prefix}".rstrip("/")

    def encryption(self) -> dict[str, str]:
        """Parameters of a write that ask for the encryption chosen."""
        asked = {"ServerSideEncryption": self.sse, "SSEKMSKeyId": self.kms_key_id}
        return {name: value for name, value in asked.items() if value is not None}


def renewing(keys: Mapping[str, Credential]) -> Callable[[S3Settings], S3Settings | None]:
    """What gives settings with other credentials than those refused, None when the store has no others.

    ``keys`` is by field, of KEYS.
    """

    def renewed(refused: S3Settings) -> S3Settings | None:
        asked = {name: key.renewed(getattr(refused, name) or "") for name, key in keys.items()}
        found = {name: text for name, text in asked.items() if text is not None}
        return replace(refused, **found) if found else None  # type: ignore[arg-type]

    return renewed


def _problems(settings: S3Settings) -> Iterator[str]:
    if not settings.bucket:
        yield "the bucket has no name"
    if (settings.access_key_id is None) != (settings.secret_access_key is None):
        yield "set both the access key id and the secret access key, or neither"
    if settings.session_token is not None and settings.access_key_id is None:
        yield "a session token needs the access key that came with it"
    if settings.profile is not None and settings.access_key_id is not None:
        yield "set a profile or an access key, not both"
    if settings.kms_key_id is not None and settings.sse not in ("aws:kms", "aws:kms:dsse"):
        yield "a KMS key needs the encryption aws:kms or aws:kms:dsse"
    if settings.endpoint_url is not None:
        yield from _endpoint_problems(settings.endpoint_url)
    if min(settings.connect_timeout_s, settings.read_timeout_s) <= 0:
        yield "time limits must be above 0 s"
    if settings.part_size_bytes < 5 << 20:
        yield "S3 takes no part below 5 MiB"
    if settings.concurrency < 1:
        yield "concurrency must be at least 1"


def _endpoint_problems(url: str) -> Iterator[str]:
    # The URL itself is not shown: what is wrong with it may be that it holds a password.
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable:
        yield "the endpoint must be http://HOST[:PORT] or https://HOST[:PORT]"
    elif parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        yield "the endpoint must hold no user, password or query: set the access key by its own variables"

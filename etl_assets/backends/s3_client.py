"""A connection to one bucket of an S3 service: requests, retries, and what its errors mean here.

boto3 is imported in this file and nowhere else, at the first request. boto3 attempts each request once; retries are
``circuit.Calls``, so that a body that breaks off is retried like a request and a dead server opens the circuit.

API: docs.aws.amazon.com/AmazonS3/latest/API
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from etl_assets.backends.circuit import Calls, CircuitBreaker, Opening, Unavailable
from etl_assets.backends.s3_errors import Redaction, S3Refusal, translated
from etl_assets.backends.s3_settings import S3Settings
from etl_assets.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """What another library needs to make requests of its own: region (``None``: unknown) and credentials in use."""

    region: str | None
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)


_LIBRARY_LOGGERS = ("boto3", "botocore")


class S3Bucket:
    """Requests to the bucket of ``settings``, from any number of threads. Nothing connects before the first one.

    ``on_open`` is told when the circuit opens. A forked process makes its own connections. ``renewed`` is asked when
    the credentials are refused: it gives the settings with others, or None when there are no others.
    """

    def __init__(
        self,
        settings: S3Settings,
        *,
        on_open: Callable[[Opening], None] | None = None,
        renewed: Callable[[S3Settings], S3Settings | None] | None = None,
    ) -> None:
        self.settings = settings
        self._renewed = renewed
        self.calls = Calls(CircuitBreaker(f"S3 {settings.shown}", on_open=on_open), settings.backoff)
        self._lock = threading.Lock()
        self._opened: tuple[int, Any, Any, Redaction] | None = None

    def request(self, operation: str, doing: str, needs: Sequence[str] = (), **parameters: object) -> dict[str, Any]:
        """The answer to one request, attempted again while the service is unavailable.

        Args:
            operation: method of the boto3 client, such as ``head_object``.
            doing: for messages, such as ``listing acme/reports``.
            needs: what a whole answer has: a proxy that comes back before its server says 200 with a page of its own.

        Raises:
            Unavailable: no whole answer after all attempts.
            S3Refusal: the service refused.
            ConfigError: no usable credentials, region or endpoint.
        """
        return self.attempted(doing, lambda: self.once(operation, doing, needs, **parameters))

    def attempted(self, doing: str, attempt: Callable[[], T]) -> T:
        """What ``attempt`` returns, made again while it raises ``Unavailable`` or an error of boto3 that may pass.

        Raises:
            Unavailable, S3Refusal, ConfigError: as for ``request``; and whatever else ``attempt`` raises.
        """

        def translating() -> T:
            used = self.settings
            try:
                with self._errors(doing):
                    return attempt()
            except S3Refusal as e:
                if not e.may_be_of_credentials or not self._renew(used):
                    raise
            with self._errors(doing):
                return attempt()

        return self.calls.run(translating)

    def once(self, operation: str, doing: str, needs: Sequence[str] = (), **parameters: object) -> dict[str, Any]:
        """One request inside ``attempted``, with boto3's own errors."""
        answer: dict[str, Any] = getattr(self._client(), operation)(Bucket=self.settings.bucket, **parameters)
        missing = [name for name in needs if answer.get(name) is None]
        if missing:
            if "Body" in answer:
                answer["Body"].close()
            raise Unavailable(f"{self.settings.shown}: {doing}: the answer is not whole: no {', '.join(missing)}")
        return answer

    @property
    def can_renew(self) -> bool:
        """Whether other credentials may come into use."""
        return self._renewed is not None

    def _renew(self, refused: S3Settings) -> bool:
        """Whether there are other credentials than ``refused`` has; they are read once, however many were refused."""
        with self._lock:
            if self.settings is not refused:
                return True
            found = self._renewed(refused) if self._renewed is not None else None
            if found is None:
                return False
            self.settings, self._opened = found, None
            return True

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        # Opening is inside too: a wrong profile or an unreadable CA bundle shows only then.
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError  # a body that breaks off inside TLS is not wrapped by boto3

        try:
            yield
        except (BotoCoreError, ClientError, HTTPError) as e:
            raise translated(self.redaction.clean(e), f"{self.settings.shown}: {doing}") from e

    @property
    def redaction(self) -> Redaction:
        """Takes the credentials in use out of errors."""
        return self._opened[3] if self._opened is not None else Redaction(self._set_secrets)

    def access(self) -> Access:
        """The credentials in use now: temporary ones are replaced, by boto3, before they expire.

        Raises:
            ConfigError: there are none.
            Unavailable: they cannot be had now.
        """

        # No request to this service: the circuit neither counts nor stops it.
        with self._errors("reading the credentials"):
            client = self._client()
            assert self._opened is not None
            given = self._opened[2].get_credentials()
            if given is None:
                raise ConfigError(f"{self.settings.shown}: no credentials were found; set the access key id and secret")
            frozen = given.get_frozen_credentials()
            return Access(client.meta.region_name, frozen.access_key, frozen.secret_key, frozen.token)

    def _set_secrets(self) -> list[str]:
        given = (self.settings.secret_access_key, self.settings.session_token, self.settings.access_key_id)
        return [secret for secret in given if secret]

    def _client(self) -> Any:
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            with self._lock:
                opened = self._opened
                if opened is None or opened[0] != os.getpid():
                    opened = self._opened = (os.getpid(), *_open(self.settings))
        return opened[1]


def _open(settings: S3Settings) -> tuple[Any, Any, Redaction]:
    _quieten()
    if settings.ca_bundle is not None and not os.path.exists(settings.ca_bundle):
        raise ConfigError(f"{settings.shown}: the CA bundle {settings.ca_bundle} is not there")
    session = _session(settings)
    # Other services than AWS ask for a region too, but seldom have one.
    region = session.region_name or ("us-east-1" if settings.endpoint_url else None)
    try:
        client = session.client(
            "s3", region_name=region, endpoint_url=settings.endpoint_url, verify=settings.ca_bundle,
            config=_config(settings),
        )  # fmt: skip
    except ValueError as e:
        raise ConfigError(f"{settings.shown}: the endpoint or region cannot be used") from e
    return client, session, Redaction(lambda: _secrets(session))


def _session(settings: S3Settings) -> Any:
    import boto3
    import botocore.session

    library = botocore.session.get_session()
    if settings.profile is not None:
        library.set_config_variable("profile", settings.profile)
    loader = _loader(library.get_config_variable("data_path"))
    library.register_component("data_loader", loader)
    session = boto3.Session(
        botocore_session=library,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        aws_session_token=settings.session_token,
        region_name=settings.region,
    )
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # each session adds the same one
    return session


@cache
def _loader(data_path: str | None) -> Any:
    """Reads and keeps the descriptions of AWS's services: 118 of the 131 ms that a client takes to make."""
    from botocore.loaders import create_loader

    return create_loader(data_path)


def _config(settings: S3Settings) -> Any:
    from botocore.config import Config

    style: str = settings.addressing
    if style == "auto":
        style = "path" if settings.endpoint_url else "virtual"
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": style},
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        max_pool_connections=settings.concurrency,
        tcp_keepalive=True,
        retries={"total_max_attempts": 1, "mode": "standard"},
        # Services that only speak the S3 of some years ago refuse the newer checksums; Content-MD5 guards the bytes.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _quieten() -> None:
    """Keep boto3's debug lines out of the log: they hold signatures and session tokens."""
    for name in _LIBRARY_LOGGERS:
        logger = logging.getLogger(name)
        if logger.level < logging.INFO:
            logger.setLevel(logging.INFO)


def _secrets(session: Any) -> list[str]:
    """The credentials in use. Their private attributes, since the public ones may go to the network for new ones."""
    found = session.get_credentials()
    names = ("secret_key", "token", "access_key")
    values = [getattr(found, f"_{name}" if hasattr(found, f"_{name}") else name, None) for name in names]
    return [value for value in values if isinstance(value, str) and value]

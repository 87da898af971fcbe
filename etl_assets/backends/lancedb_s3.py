"""LanceDB's tables in a bucket, shared by any number of machines.

LanceDB makes requests of its own, by options that are made here. It commits by conditional puts (``If-None-Match``),
so that of two writers one wins and the other one tries again; a service that ignores them would lose rows, and is
refused. LanceDB's errors are long texts: when one may be the service's, boto3 asks the service how it is, waits for it
within the bounds of ``S3Bucket``, and says what is wrong.

Options: lance.org/guide/object_store and docs.rs/object_store (``AmazonS3ConfigKey``, ``ClientConfigKey``).
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from etl_assets.backends.lancedb_folder import SUFFIX, attempts, connect, plain, unusable
from etl_assets.backends.s3_client import Access, S3Bucket
from etl_assets.backends.s3_errors import S3Refusal
from etl_assets.backends.s3_listing import pages
from etl_assets.backends.s3_mark import S3Mark
from etl_assets.backends.s3_settings import S3Settings
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.db import DBConnection
    from lancedb.table import Table

ATTEMPTS_ON_FAILURE = 3
"""How often an operation is attempted that the service broke off; before each one it must answer again."""

_DELETED_AT_ONCE = 1_000
_SHOWN_CHARACTERS = 400
_OF_THE_SERVICE = re.compile(
    r"(?i)s3 error|store: \"s3\"|http error|error sending request|error decoding response|timed out|connection"
)
_STATUS = re.compile(r"(?i)status(?: code)?:? (\d{3})\b")
_PASSING = frozenset({404, 408, 409, 412, 429})


class S3Tables:
    """TablePlace in the folder of ``bucket.settings``. Nothing connects before the first call.

    Where ``mark`` is another installation's, no table is made or removed.
    """

    def __init__(self, bucket: S3Bucket, mark: S3Mark | None = None) -> None:
        self._bucket = bucket
        self._mark = mark
        self._lock = threading.Lock()
        self._connected: tuple[Access, DBConnection] | None = None
        self._must_ask = True
        self._is_safe = False

    def names(self) -> Sequence[str]:
        """See ``TablePlace.names``."""
        listed = pages(self._bucket, "", "listing the indexes", delimiter="/")
        folders = (folder.rstrip("/") for page in listed for folder in page.folders)
        return [folder.removesuffix(SUFFIX) for folder in folders if folder.endswith(SUFFIX)]

    def holds(self, name: str) -> bool:
        """See ``TablePlace.holds``."""
        prefix = f"{self._bucket.settings.key_prefix}{name}{SUFFIX}/_versions/"
        # Two: the first may be the folder itself, as some services and tools draw it.
        found = self._bucket.request(
            "list_objects_v2", f"looking for {name}", ("IsTruncated",), Prefix=prefix, MaxKeys=2
        )
        return any(not entry["Key"].endswith("/") for entry in found.get("Contents", ()))

    def opened(self, name: str) -> Table | None:
        """See ``TablePlace.opened``."""
        connection = self._connection()
        try:
            return connection.open_table(name)
        except ValueError as e:
            # LanceDB says the same of a bucket that is gone; the listing tells them apart.
            if not _is_missing(e) or self.holds(name):
                raise
            return None

    def created(self, name: str, schema: pa.Schema) -> Table:
        """See ``TablePlace.created``.

        Raises:
            ConfigError: the store belongs to another installation.
            PermanentError: the service ignores conditions on puts.
        """
        self._claim()
        self._check_conditions()
        return self._connection().create_table(name, schema=schema)

    def remove(self, name: str, shown: str) -> None:
        """See ``TablePlace.remove``; raises ConfigError as ``created``."""
        self._claim()
        for part in (f"{name}{SUFFIX}/_versions/", f"{name}{SUFFIX}/"):
            for keys in self._keys(part, shown):
                answer = self._bucket.request(
                    "delete_objects", f"removing {shown}",
                    Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
                )  # fmt: skip
                if errors := answer.get("Errors"):
                    said = f"{errors[0].get('Code')} {errors[0].get('Message', '')}".strip()
                    raise PermanentError(f"{shown} cannot be removed: {len(errors)} objects stay: {said}")

    def attempts(self, error: Exception) -> int:
        """See ``TablePlace.attempts``. After a failure of the service it is asked, and waited for.

        Raises:
            Unavailable, S3Refusal, ConfigError: what the service says.
        """
        self._bucket.redaction.clean(error)
        if not _is_of_the_service(error):
            return attempts(error)
        self._must_ask = True
        self._ask()
        if not _refused(error):
            return ATTEMPTS_ON_FAILURE
        # Asking puts other credentials into use when those that LanceDB had are refused.
        return 2 if self._bucket.can_renew else 1

    def failure(self, error: Exception, shown: str) -> EtlAssetsError:
        """See ``TablePlace.failure``."""
        self._bucket.redaction.clean(error)
        what = " ".join(plain(error).split())[:_SHOWN_CHARACTERS]
        where = f"{shown} in {self._bucket.settings.shown}"
        if not _is_of_the_service(error):
            return unusable(what, where)
        if _refused(error):
            return PermanentError(f"{where}: the service refuses: {what}; give this access key the right to it")
        return TransientError(f"{where}: the service broke off {ATTEMPTS_ON_FAILURE} times: {what}; run again")

    def _claim(self) -> None:
        if self._mark is not None:
            self._mark.claim()

    def _keys(self, prefix: str, shown: str) -> Iterator[list[str]]:
        full = self._bucket.settings.key_prefix
        for page in pages(self._bucket, prefix, f"listing {shown}"):
            found = [full + entry.key for entry in page.entries]
            for start in range(0, len(found), _DELETED_AT_ONCE):
                yield found[start : start + _DELETED_AT_ONCE]

    def _connection(self) -> DBConnection:
        self._ask()
        access = self._bucket.access()
        with self._lock:
            if self._connected is None or self._connected[0] != access:
                settings = self._bucket.settings
                uri = f"s3://{settings.bucket}/{settings.key_prefix}".rstrip("/")
                # A table is opened for each call, which reads its newest version in one request; following other
                # writers within a call would cost a request at each step: 186 ms a query against 50 at 20 ms a request.
                self._connected = access, connect(uri, None, storage_options(settings, access))
            return self._connected[1]

    def _ask(self) -> None:
        """At first, and after a failure: boto3 finds an outage or a refusal sooner than LanceDB, and says it better."""
        if not self._must_ask:
            return
        prefix, doing = self._bucket.settings.key_prefix, "asking after the indexes"
        self._bucket.request("list_objects_v2", doing, ("IsTruncated",), Prefix=prefix, MaxKeys=1)
        self._must_ask = False

    def _check_conditions(self) -> None:
        """Once in a process: a second put of one key on the condition that it is absent must be refused."""
        if self._is_safe:
            return
        key = f"{self._bucket.settings.key_prefix}.conditions-{uuid4().hex}"
        doing = "trying a conditional put"
        asked: dict[str, object] = {"Key": key, "Body": b"", **self._bucket.settings.encryption()}
        try:
            for _ in range(2):
                self._bucket.request("put_object", doing, (), IfNoneMatch="*", **asked)
        except S3Refusal as e:
            # Not the first one's refusal: nobody else knows the key. A repeated request may meet its own first one.
            self._is_safe = e.code in ("PreconditionFailed", "412")
            if not self._is_safe:
                raise
        finally:
            self._bucket.request("delete_object", doing, Key=key)
        if not self._is_safe:
            raise PermanentError(
                f"{self._bucket.settings.shown}: this service ignores If-None-Match, without which writers of several "
                "machines overwrite each other's rows; use one that knows conditional writes, or local indexes"
            )


def storage_options(settings: S3Settings, access: Access) -> dict[str, str]:
    """What LanceDB is told of a bucket.

    A request that hangs is given up after ``read_timeout_s`` and not made again by LanceDB, except for a listing: 6
    times. One that fails sooner is attempted 4 times.

    Raises:
        ConfigError: there is a CA bundle of which LanceDB is not told.
    """
    if settings.ca_bundle is not None and not os.environ.get("SSL_CERT_FILE"):
        raise ConfigError(
            f"{settings.shown}: LanceDB reads certificates from SSL_CERT_FILE only; set it to the CA bundle too"
        )
    is_virtual = settings.addressing == "virtual" or (settings.addressing == "auto" and settings.endpoint_url is None)
    options = {
        "aws_access_key_id": access.access_key_id,
        "aws_secret_access_key": access.secret_access_key,
        "aws_session_token": access.session_token,
        "aws_region": access.region,
        "aws_endpoint": _endpoint(settings, is_virtual=is_virtual),
        "aws_virtual_hosted_style_request": str(is_virtual).lower(),
        "allow_http": str((settings.endpoint_url or "").startswith("http:")).lower(),
        "aws_server_side_encryption": settings.sse,
        "aws_sse_kms_key_id": settings.kms_key_id,
        "connect_timeout": _duration(settings.connect_timeout_s),
        "timeout": _duration(settings.read_timeout_s),
        "client_max_retries": "3",
        "client_retry_timeout": str(max(1, int(settings.read_timeout_s / 2))),
    }
    return {name: value for name, value in options.items() if value is not None}


def _endpoint(settings: S3Settings, *, is_virtual: bool) -> str | None:
    """LanceDB adds the bucket to the path, and leaves the host to us."""
    if settings.endpoint_url is None or not is_virtual:
        return settings.endpoint_url
    parts = urlsplit(settings.endpoint_url)
    return urlunsplit(parts._replace(netloc=f"{settings.bucket}.{parts.netloc}"))


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _is_missing(error: Exception) -> bool:
    return "was not found" in str(error)


def _is_of_the_service(error: Exception) -> bool:
    message = str(error)
    if "not found" in message.lower() and "NoSuchBucket" not in message:
        return False  # one object: another process dropped or tidied the table
    return _OF_THE_SERVICE.search(message) is not None


def _refused(error: Exception) -> bool:
    found = _STATUS.search(str(error))
    return found is not None and 400 <= int(found[1]) < 500 and int(found[1]) not in _PASSING

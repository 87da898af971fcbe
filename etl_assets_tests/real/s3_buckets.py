"""Buckets of their own for tests on the real S3 servers, and a client that does what other programs would do there."""

import itertools
import os
from collections.abc import Mapping
from typing import Any

from etl_assets.backends.s3_client import S3Bucket, S3Settings

SERVERS = ("minio", "moto")

_numbers = itertools.count()


def settings_of(variables: Mapping[str, str], bucket: str, **changes: Any) -> S3Settings:
    """Settings for a bucket of the server whose variables these are."""
    given = {name.rpartition("ETL_TEST_")[2].partition("_")[2]: value for name, value in variables.items()}
    return S3Settings(
        bucket, endpoint_url=given["ENDPOINT"], access_key_id=given["ACCESS_KEY"],
        secret_access_key=given["SECRET_KEY"], **changes,
    )  # fmt: skip


def new_bucket(variables: Mapping[str, str], *, is_versioned: bool = False, **changes: Any) -> S3Bucket:
    """A new, empty bucket."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    bucket = S3Bucket(settings_of(variables, name, **changes))
    bucket.request("create_bucket", "making a bucket")
    if is_versioned:
        enabled = {"Status": "Enabled"}
        bucket.request("put_bucket_versioning", "versioning a bucket", VersioningConfiguration=enabled)
    return bucket


def write(bucket: S3Bucket, key: str, body: bytes, **parameters: object) -> None:
    """Put an object as another program would, at its full key."""
    bucket.request("put_object", f"writing {key}", Key=key, Body=body, **parameters)

"""Buckets of their own for tests on the real S3 servers, and a client that does what other programs would do there."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_settings import S3Settings
from etl_assets_tests.servers.fixtures import server

SERVERS = ("minio", "moto")
ODD_SERVERS = ("seaweedfs",)
"""Lists directory by directory, and has room for few buckets: its tests share one, each below a prefix of its own."""

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


def new_store(name: str, prefix: str, *, is_versioned: bool = False, **changes: Any) -> S3Bucket:
    """A new, empty store on the server ``name``: a bucket, or a folder of a shared one."""
    if name not in ODD_SERVERS:
        return new_bucket(server(name), is_versioned=is_versioned, prefix=prefix, **changes)
    shared = _shared_bucket(name, is_versioned)
    return S3Bucket(replace(shared.settings, prefix=f"{next(_numbers)}/{prefix}", **changes))


@cache
def _shared_bucket(name: str, is_versioned: bool) -> S3Bucket:
    return new_bucket(server(name), is_versioned=is_versioned)


def write(bucket: S3Bucket, key: str, body: bytes, **parameters: object) -> None:
    """Put an object as another program would, at its full key."""
    bucket.request("put_object", f"writing {key}", Key=key, Body=body, **parameters)

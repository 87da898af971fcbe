"""The suite of blobs over real S3 servers, in the whole of a bucket and below a prefix."""

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_assets.backends.blob_cache import BlobCache
from etl_assets.backends.s3_blobs import S3Blobs
from etl_assets.protocols.objects import Blobs
from etl_assets_tests.conformance.test_blobs import *  # noqa: F403
from etl_assets_tests.conformance.test_blobs import blobs as blobs
from etl_assets_tests.real.s3_buckets import ODD_SERVERS, SERVERS, new_store


@pytest.fixture(params=SERVERS + ODD_SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=["", "a/prefix"], ids=["whole bucket", "prefix"])
def build(request: pytest.FixtureRequest, name: str) -> Callable[[Path], Blobs]:
    bucket = new_store(name, request.param)
    return lambda folder: S3Blobs(bucket, BlobCache(folder / "cache", limit_bytes=1 << 20))

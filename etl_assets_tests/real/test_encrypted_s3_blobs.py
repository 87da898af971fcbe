"""The suite of blobs over encrypted ones on a real S3 server, whose objects and whose local copies tell nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_assets.backends.blob_cache import BlobCache
from etl_assets.backends.s3_blobs import S3Blobs
from etl_assets.protocols.objects import Blobs
from etl_assets_tests.backends.sealing import encrypted, get, put
from etl_assets_tests.conformance.test_blobs import *  # noqa: F403
from etl_assets_tests.conformance.test_blobs import blobs as blobs
from etl_assets_tests.real.s3_buckets import new_store


@pytest.fixture
def build() -> Callable[[Path], Blobs]:
    bucket = new_store("minio", "a/prefix")
    return lambda folder: encrypted(folder, S3Blobs(bucket, BlobCache(folder / "cache", limit_bytes=1 << 20)))


def test_neither_the_bucket_nor_the_cache_shows_a_word(blobs: Blobs, tmp_path: Path) -> None:
    put(blobs, "acme/doc/v1", b"the bear group" * 50)
    assert get(blobs, "acme/doc/v1") == b"the bear group" * 50
    copies = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert copies
    assert not [path for path in copies if b"bear" in path.read_bytes()]
    inner = blobs.inner  # type: ignore[attr-defined]
    ((key, _, _),) = inner.keys("")
    with S3Blobs(inner._bucket, BlobCache(tmp_path / "another", limit_bytes=1 << 20)).local(key) as path:
        assert b"bear" not in path.read_bytes()

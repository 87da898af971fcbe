"""Blobs on real S3 servers, while servers die and other machines write and delete."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread

import pytest

from etl_assets.backends.blob_cache import BlobCache
from etl_assets.backends.s3_blobs import S3Blobs
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_errors import S3Refusal
from etl_assets_tests.real.s3_buckets import SERVERS, new_bucket, settings_of, write
from etl_assets_tests.servers.fixtures import Variables, server
from etl_assets_tests.servers.model import Server

Start = Callable[[str, Mapping[str, str]], Server]


@pytest.fixture(params=SERVERS)
def bucket(request: pytest.FixtureRequest) -> S3Bucket:
    return new_bucket(server(request.param), part_size_bytes=5 << 20)


def blobs(bucket: S3Bucket, folder: Path) -> S3Blobs:
    return S3Blobs(bucket, BlobCache(folder, limit_bytes=100 << 20))


def put(store: S3Blobs, key: str, data: bytes) -> None:
    with store.scratch() as folder:
        (folder / "file").write_bytes(data)
        store.put(key, folder / "file")


def read(store: S3Blobs, key: str) -> bytes:
    with store.local(key) as path:
        return path.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 5 << 20, (5 << 20) + 1, (11 << 20) + 3])
def test_another_machine_reads_what_was_put_in_one_part_or_many(bucket: S3Bucket, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    for _ in range(2):
        put(blobs(bucket, tmp_path / "one"), "a/b", data)
    assert read(blobs(bucket, tmp_path / "two"), "a/b") == data


def test_a_blob_with_other_bytes_is_replaced(bucket: S3Bucket, tmp_path: Path) -> None:
    write(bucket, "a", b"what was there")
    put(blobs(bucket, tmp_path / "one"), "a", b"text")
    assert read(blobs(bucket, tmp_path / "two"), "a") == b"text"


def test_a_blob_of_another_program_is_read_too(bucket: S3Bucket, tmp_path: Path) -> None:
    write(bucket, "a", b"restored by hand")
    assert read(blobs(bucket, tmp_path), "a") == b"restored by hand"


def test_a_batch_goes_on_when_the_server_is_restarted_in_the_middle(own_server: Start, tmp_path: Path) -> None:
    own = own_server("minio", {})
    bucket = new_bucket(own.variables)
    store = blobs(bucket, tmp_path / "one")
    put(store, "first", b"text")
    own.kill()
    restarting = Thread(target=own.restart)
    restarting.start()
    with store.scratch() as folder:
        for n in range(40):
            (folder / str(n)).write_bytes(b"%d" % n)
        store.put_all([(f"many/{n}", folder / str(n)) for n in range(40)])
    restarting.join()
    other = blobs(bucket, tmp_path / "two")
    assert {key: read(other, key) for key, _, _ in other.keys("many/")} == {f"many/{n}": b"%d" % n for n in range(40)}


def test_a_missing_bucket_is_no_missing_blob(minio: Variables, tmp_path: Path) -> None:
    store = blobs(S3Bucket(settings_of(minio, "never-made")), tmp_path)
    with pytest.raises(S3Refusal, match="404"):
        store.exists("a")
    with pytest.raises(S3Refusal, match="NoSuchBucket"):
        read(store, "a")
    with pytest.raises(S3Refusal, match="NoSuchBucket"):
        put(store, "a", b"text")

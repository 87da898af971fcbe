"""What other programs do in a bucket, in any order and within one second, and what a broken server must not hide."""

import hashlib
import json
import os
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from etl_assets.backends.circuit import Backoff, Unavailable
from etl_assets.backends.s3_arrivals import TAGS, S3Arrivals
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_errors import S3Refusal
from etl_assets.errors import ConfigError, DataError
from etl_assets.protocols.objects import ObjectAttributes, ObjectInfo
from etl_assets_tests.real.s3_buckets import SERVERS, new_bucket, settings_of, write
from etl_assets_tests.servers.fixtures import Variables, server
from etl_assets_tests.servers.model import Server

Start = Callable[[str, Mapping[str, str]], Server]
FOLDER = "acme/reports/"


@pytest.fixture(params=SERVERS)
def variables(request: pytest.FixtureRequest) -> Variables:
    name: str = request.param
    return server(name)


@pytest.fixture(params=[False, True], ids=["plain", "versions"])
def bucket(request: pytest.FixtureRequest, variables: Variables) -> S3Bucket:
    return new_bucket(variables, is_versioned=request.param, lists_versions=request.param)


def listed(bucket: S3Bucket) -> dict[str, str]:
    """Fingerprints by the key below the collection."""
    found = S3Arrivals(bucket).list("acme", "reports")
    return {one.key.removeprefix(FOLDER): one.fingerprint for one in found if isinstance(one, ObjectInfo)}


def fetched(bucket: S3Bucket, name: str, folder: Path) -> str:
    return S3Arrivals(bucket).fetch(FOLDER + name, folder / os.urandom(8).hex()).sha256


class Mirror:
    """A reader that knows objects by fingerprint and reads only what changed, as a run does."""

    def __init__(self, bucket: S3Bucket, folder: Path) -> None:
        self._bucket = bucket
        self._folder = folder
        self._known: dict[str, tuple[str, str]] = {}
        self.reads = 0

    def look(self) -> dict[str, str]:
        """SHA-256 by name after one more look."""
        now = listed(self._bucket)
        self._known = {name: known for name, known in self._known.items() if name in now}
        for name, fingerprint in now.items():
            if self._known.get(name, ("", ""))[0] != fingerprint:
                one = S3Arrivals(self._bucket).fetch(FOLDER + name, self._folder / os.urandom(8).hex())
                self.reads += 1
                self._known[name] = (one.fingerprint, one.sha256)
        return {name: sha256 for name, (_, sha256) in self._known.items()}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_happens_in_any_order_between_two_looks_is_seen_and_read_once(bucket: S3Bucket, tmp_path: Path) -> None:
    mirror, rng, truth = Mirror(bucket, tmp_path), random.Random(7), dict[str, bytes]()
    for step in range(6):
        for _ in range(rng.randrange(1, 7)):
            name, data = rng.choice("zyxabc") + ".txt", rng.choice([b"one", b"two", b"six"])
            if rng.random() < 0.3 and name in truth:
                bucket.request("delete_object", "deleting", Key=FOLDER + name)
                del truth[name]
            else:
                write(bucket, FOLDER + name, data)
                truth[name] = data
        assert mirror.look() == {name: sha(data) for name, data in truth.items()}, step
    reads = mirror.reads
    mirror.look()
    assert mirror.reads == reads


def test_a_late_key_that_sorts_before_all_others_is_listed(bucket: S3Bucket) -> None:
    for name in ("m", "n"):
        write(bucket, FOLDER + name, b"text")
    before = listed(bucket)
    write(bucket, FOLDER + "a", b"late")
    assert {name: mark for name, mark in listed(bucket).items() if name not in before}.keys() == {"a"}


def test_a_rename_is_one_key_gone_and_one_new(bucket: S3Bucket, tmp_path: Path) -> None:
    write(bucket, FOLDER + "old", b"text")
    source = {"Bucket": bucket.settings.bucket, "Key": FOLDER + "old"}
    bucket.request("copy_object", "copying", Key=FOLDER + "new", CopySource=source)
    bucket.request("delete_object", "deleting", Key=FOLDER + "old")
    assert listed(bucket).keys() == {"new"}
    assert fetched(bucket, "new", tmp_path) == sha(b"text")
    with pytest.raises(FileNotFoundError):
        fetched(bucket, "old", tmp_path)


def test_an_upload_in_parts_shows_when_it_is_complete_and_is_read_whole(bucket: S3Bucket, tmp_path: Path) -> None:
    data = os.urandom((5 << 20) + 11)
    (tmp_path / "source").write_bytes(data)
    small_parts = S3Bucket(replace(bucket.settings, part_size_bytes=5 << 20))
    began = bucket.request("create_multipart_upload", "beginning", Key=FOLDER + "unfinished")
    bucket.request(
        "upload_part", "sending", Key=FOLDER + "unfinished", UploadId=began["UploadId"], PartNumber=1, Body=b"part"
    )  # fmt: skip
    assert listed(bucket) == {}
    S3Arrivals(small_parts).put(FOLDER + "large", tmp_path / "source", attributes=ObjectAttributes("a/b", {"n": "v"}))
    assert [*listed(bucket)] == ["large"]
    assert listed(bucket)["large"].split("-")[1] == "2"
    one = S3Arrivals(bucket).fetch(FOLDER + "large", tmp_path / "target")
    assert (one.sha256, one.fingerprint) == (sha(data), listed(bucket)["large"])
    assert one.attributes == ObjectAttributes("a/b", {"n": "v"})


def test_every_key_of_many_pages_is_listed_once_and_old_versions_are_not(
    bucket: S3Bucket, variables: Variables
) -> None:
    names = [f"{n % 7}/{n:05d}" for n in range(1_100)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda name: write(bucket, FOLDER + name, b""), [*names, *names[:50]]):
            pass
    for name in names[:20]:
        bucket.request("delete_object", "deleting", Key=FOLDER + name)
    found = [one.key for one in S3Arrivals(bucket).list("acme", "reports") if isinstance(one, ObjectInfo)]
    assert len(found) == len(set(found)) == 1_080


def test_odd_names_of_other_programs_are_documents_strays_or_ignored(bucket: S3Bucket) -> None:
    odd = [
        "a+b c.txt",
        "100%25.txt",
        "x&y=z?#.txt",
        "tab\t.txt",
        "'\"<>.txt",
        "caf\u00e9",
        "cafe\u0301",
        "\u0130\U0001f600",
    ]
    for name in (*odd, "sub/", ".hidden", "deep/.git/x"):
        write(bucket, FOLDER + name, b"" if name.endswith("/") else b"text")
    write(bucket, "Bad Name/reports/a", b"text")
    assert sorted(listed(bucket)) == sorted(odd)
    assert [stray.shown for stray in S3Arrivals(bucket).strays()] == ["Bad Name/reports/a"]


def test_tags_are_read_when_asked_for(variables: Variables, tmp_path: Path) -> None:
    bucket = new_bucket(variables, reads_tags=True)
    write(bucket, FOLDER + "tagged", b"text", Tagging="class=secret")
    write(bucket, FOLDER + "plain", b"text")
    store = S3Arrivals(bucket)
    assert TAGS in store.fetch(FOLDER + "tagged", tmp_path / "1").attributes.metadata
    assert store.fetch(FOLDER + "plain", tmp_path / "2").attributes == ObjectAttributes()


@pytest.mark.parametrize("asked", [{"sse": "AES256"}, {"sse": "aws:kms", "kms_key_id": "tests"}])
def test_the_encryption_asked_for_is_what_the_server_says_it_did(minio: Variables, tmp_path: Path, asked: Any) -> None:
    bucket = new_bucket(minio, **asked)
    data = os.urandom(100_000)
    (tmp_path / "source").write_bytes(data)
    S3Arrivals(bucket).put(FOLDER + "a", tmp_path / "source")
    head = bucket.request("head_object", "looking", Key=FOLDER + "a")
    assert head["ServerSideEncryption"] == asked["sse"]
    one = S3Arrivals(bucket).fetch(FOLDER + "a", tmp_path / "target")
    assert (one.sha256, one.fingerprint) == (sha(data), listed(bucket)["a"])


# Rights: MinIO only, since moto checks none.


def test_a_wrong_secret_and_a_missing_bucket_are_said_at_once(minio: Variables) -> None:
    bucket = new_bucket(minio)
    for changes, says in (
        ({"secret_access_key": "wrong-canary"}, "SignatureDoesNotMatch.*check the access key"),
        ({"access_key_id": "nobody"}, "InvalidAccessKeyId.*check the access key"),
        ({"bucket": "never-made"}, "NoSuchBucket.*create the bucket"),
    ):
        with pytest.raises(S3Refusal, match=says) as caught:
            listed(S3Bucket(replace(bucket.settings, **changes)))
        assert "wrong-canary" not in str(caught.value)


def test_a_document_that_may_not_be_read_is_unreadable_and_its_neighbour_is_read(
    minio: Variables, tmp_path: Path
) -> None:
    bucket = new_bucket(minio)
    for name in ("open", "closed"):
        write(bucket, FOLDER + name, b"text")
    guest = guest_of(bucket, minio, denied=[f"{bucket.settings.bucket}/{FOLDER}closed"])
    assert listed(guest).keys() == {"open", "closed"}
    with pytest.raises(DataError, match="AccessDenied") as caught:
        fetched(guest, "closed", tmp_path)
    assert caught.value.reason == "unreadable"
    assert fetched(guest, "open", tmp_path) == sha(b"text")
    (tmp_path / "source").write_bytes(b"new")
    with pytest.raises(S3Refusal, match="AccessDenied.*give this access key the right"):
        S3Arrivals(guest).put(FOLDER + "open", tmp_path / "source")
    with pytest.raises(S3Refusal, match="AccessDenied"):
        S3Arrivals(guest).delete(FOLDER + "open")


def guest_of(bucket: S3Bucket, minio: Variables, *, denied: list[str]) -> S3Bucket:
    """The bucket as a short-lived access key sees it that may list and read, ``denied`` objects excepted."""
    name = bucket.settings.bucket
    rules = [
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{name}"]},
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{name}/*"]},
        {"Effect": "Deny", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{one}" for one in denied]},
    ]  # fmt: skip
    sts = boto3.client(
        "sts", endpoint_url=minio["ETL_TEST_S3_ENDPOINT"], region_name="us-east-1",
        aws_access_key_id=minio["ETL_TEST_S3_ACCESS_KEY"], aws_secret_access_key=minio["ETL_TEST_S3_SECRET_KEY"],
    )  # fmt: skip
    given = sts.assume_role(
        RoleArn="arn:aws:iam::1:role/x", RoleSessionName="guest",
        Policy=json.dumps({"Version": "2012-10-17", "Statement": rules}),
    )["Credentials"]  # fmt: skip
    sts.close()
    return S3Bucket(
        replace(
            bucket.settings, access_key_id=given["AccessKeyId"], secret_access_key=given["SecretAccessKey"],
            session_token=given["SessionToken"],
        )
    )  # fmt: skip


# A server that goes away


def test_a_server_killed_and_restarted_in_the_middle_of_a_listing_loses_no_key(own_server: Start) -> None:
    own = own_server("minio", {})
    bucket = new_bucket(own.variables)
    for n in range(1_005):
        write(bucket, f"{FOLDER}{n:04d}", b"")
    listing = S3Arrivals(bucket).list("acme", "reports")
    first = [next(listing) for _ in range(1_000)]
    own.kill()
    restarting = Thread(target=own.restart)
    restarting.start()
    assert len(first + [*listing]) == 1_005
    restarting.join()


def test_a_server_that_stays_away_is_an_error_and_not_an_empty_listing(own_server: Start, tmp_path: Path) -> None:
    own = own_server("minio", {})
    name = new_bucket(own.variables).settings.bucket
    bucket = S3Bucket(settings_of(own.variables, name, backoff=Backoff(2, 0.001, 0.001)))
    write(bucket, FOLDER + "a", b"text")
    assert listed(bucket).keys() == {"a"}
    own.kill()
    for ask in (S3Arrivals(bucket).collections, lambda: listed(bucket), lambda: fetched(bucket, "a", tmp_path)):
        with pytest.raises(Unavailable):
            ask()
    own.restart()
    assert listed(bucket).keys() == {"a"}
    assert fetched(bucket, "a", tmp_path) == sha(b"text")


def test_a_bucket_name_that_cannot_be_one_is_a_setting(minio: Variables) -> None:
    with pytest.raises(ConfigError, match="bucket name"):
        listed(S3Bucket(settings_of(minio, "not/a bucket")))

"""LanceDB's tables in a bucket: several machines at once, servers that die or hang, refusals, and encryption."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from etl_assets.backends.circuit import Backoff
from etl_assets.backends.lancedb_keywords import LanceKeywords
from etl_assets.backends.lancedb_s3 import S3Tables
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_listing import pages
from etl_assets.bindings import open_platform
from etl_assets.errors import PermanentError, TransientError
from etl_assets.settings import Settings
from etl_assets_tests.backends.index_worker import BATCHES, ROWS, batch
from etl_assets_tests.backends.processes import finished, started
from etl_assets_tests.conformance.index_rows import ALL, NO_FILTERS, SPACE, Row, keyword_table, vector_table
from etl_assets_tests.real.s3_buckets import new_bucket, write
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.toxiproxy import add_toxic, proxied, remove_toxic, set_enabled

Start = Callable[[str, Mapping[str, str]], Server]
HASTY = {"backoff": Backoff(attempts=2, base_s=0.0, cap_s=0.0)}


@pytest.fixture(scope="module")
def shared(minio: Variables) -> S3Bucket:
    return new_bucket(minio)


@pytest.fixture
def bucket(shared: S3Bucket) -> S3Bucket:
    return S3Bucket(replace(shared.settings, prefix=f"home/{uuid4().hex}/indexes/keywords"))


def keywords(held: S3Bucket, **changes: object) -> LanceKeywords:
    """The index as another machine opens it, with connections of its own."""
    return LanceKeywords(S3Tables(S3Bucket(replace(held.settings, **changes))))  # type: ignore[arg-type]


def one_row(number: int) -> object:
    return keyword_table([Row(number, "c", text="zebra")])


def found(index: LanceKeywords) -> list[int]:
    return [hit.publication for hit in index.query(SPACE, "zebras", k=100, visible=ALL, filters=NO_FILTERS)]


def test_processes_that_make_write_tidy_and_read_one_table_lose_nothing(bucket: S3Bucket, tmp_path: Path) -> None:
    given = bucket.settings
    names = ("bucket", "prefix", "endpoint_url", "access_key_id", "secret_access_key")
    (tmp_path / "s3.json").write_text(json.dumps({name: getattr(given, name) for name in names}))
    index = keywords(bucket)
    writers = [started("write_rows", tmp_path, worker) for worker in (1, 2)]
    while any(writer.poll() is None for writer in writers):
        index.query(SPACE, "zebra", k=10_000, visible=ALL, filters=NO_FILTERS)
        held = Counter(row.publication for row in index.rows(SPACE))
        assert set(held.values()) <= {ROWS}, held
    finished(writers)
    numbers = [n for worker in (1, 2) for n in range(worker * 1_000, worker * 1_000 + BATCHES)]
    assert index.counts(SPACE, numbers) == {n: ROWS for n in numbers if n % 3}
    hits = index.query(SPACE, "zebra", k=10_000, visible=ALL, filters=NO_FILTERS)
    assert len(hits) == ROWS * sum(1 for n in numbers if n % 3)


def test_a_machine_follows_a_table_that_another_drops_and_makes_anew(bucket: S3Bucket) -> None:
    reader, writer = keywords(bucket), keywords(bucket)
    for number in (1, 2, 3):
        writer.write(SPACE, one_row(number))
        assert reader.counts(SPACE, [1, 2, 3]) == {number: 1}
        assert found(reader) == [number]
        writer.drop(SPACE)
        assert reader.counts(SPACE, [1, 2, 3]) == {}
        assert found(reader) == []
    assert [entry for page in pages(bucket, "", "listing") for entry in page.entries] == []


def test_foreign_and_half_made_folders_are_no_spaces(bucket: S3Bucket) -> None:
    index = keywords(bucket)
    prefix = bucket.settings.key_prefix
    for name in ["lost+found/x", "backup.lance/x", "a.b.c.lance/_versions/x", "acme.reports.1.lance/data/x.lance"]:
        write(bucket, prefix + name, b"")
    assert [*index.spaces()] == []
    assert [*index.rows(SPACE)] == []
    index.write(SPACE, one_row(1))
    assert [*index.spaces()] == [SPACE]


def test_writes_and_queries_go_on_when_the_server_is_restarted_in_between(own_server: Start) -> None:
    own = own_server("minio", {})
    index = keywords(new_bucket(own.variables))
    for number in (1, 2):
        index.write(SPACE, one_row(number))
    for act in (lambda: index.write(SPACE, one_row(3)), lambda: found(index)):
        own.kill()
        restarting = Thread(target=own.restart)
        restarting.start()
        act()
        restarting.join()
    assert sorted(found(index)) == [1, 2, 3]


def test_a_service_that_cannot_be_reached_is_transient_and_comes_back(bucket: S3Bucket, toxiproxy: Variables) -> None:
    url, name = toxiproxy["ETL_TEST_TOXIPROXY_URL"], f"lance-{uuid4().hex}"
    address = proxied(url, name, urlsplit(bucket.settings.endpoint_url or "").netloc)
    index = keywords(bucket, endpoint_url=f"http://{address}", **HASTY)
    index.write(SPACE, one_row(1))
    set_enabled(url, name, False)
    for act in (lambda: found(index), lambda: index.write(SPACE, one_row(2)), lambda: index.counts(SPACE, [1])):
        with pytest.raises(TransientError) as caught:
            act()
        assert_tells_no_secret(caught.value, bucket)
    set_enabled(url, name, True)
    index.write(SPACE, one_row(2))
    assert found(index) == [1, 2]


def test_a_service_that_hangs_is_given_up(bucket: S3Bucket, toxiproxy: Variables) -> None:
    url, name = toxiproxy["ETL_TEST_TOXIPROXY_URL"], f"lance-{uuid4().hex}"
    address = proxied(url, name, urlsplit(bucket.settings.endpoint_url or "").netloc)
    index = keywords(bucket, endpoint_url=f"http://{address}", read_timeout_s=0.3, connect_timeout_s=0.3, **HASTY)
    index.write(SPACE, one_row(1))
    toxic = add_toxic(url, name, "timeout", timeout=0)
    with pytest.raises(TransientError) as caught:
        found(index)
    assert_tells_no_secret(caught.value, bucket)
    remove_toxic(url, name, toxic)
    assert found(index) == [1]


def test_refusals_say_what_to_do_and_tell_no_secret(bucket: S3Bucket) -> None:
    keywords(bucket).write(SPACE, one_row(1))
    wrong = "a-wrong-secret-access-key"
    for changes, said in [
        ({"secret_access_key": wrong}, "SignatureDoesNotMatch.*check the access key"),
        ({"access_key_id": "nobody-here"}, "InvalidAccessKeyId.*check the access key"),
        ({"bucket": "never-made-at-all"}, "NoSuchBucket.*check the name of the bucket"),
    ]:
        index = keywords(bucket, **HASTY, **changes)
        for act in (lambda one=index: found(one), lambda one=index: one.write(SPACE, one_row(2))):
            with pytest.raises(PermanentError, match=said) as caught:
                act()
            assert_tells_no_secret(caught.value, bucket, wrong, "nobody-here")


def assert_tells_no_secret(error: BaseException, bucket: S3Bucket, *others: str) -> None:
    """Neither an error nor what it was raised from, which a traceback prints too."""
    secrets = [bucket.settings.secret_access_key, bucket.settings.access_key_id, *others]
    one: BaseException | None = error
    while one is not None:
        assert not [secret for secret in secrets if secret and secret in f"{one!s} {one!r}"]
        one = one.__cause__ or one.__context__


@pytest.mark.parametrize(("sse", "key"), [("AES256", None), ("aws:kms", "tests")])
def test_every_object_is_encrypted_as_asked(bucket: S3Bucket, sse: str, key: str | None) -> None:
    index = keywords(bucket, sse=sse, kms_key_id=key)
    index.write(SPACE, keyword_table(batch(1)))
    index.optimise(SPACE, now=True)
    assert len(found(keywords(bucket))) == ROWS
    keys = [entry.key for page in pages(bucket, "", "listing") for entry in page.entries]
    assert {key.split("/")[1] for key in keys} >= {"_versions", "data", "_indices"}
    for name in keys:
        held = bucket.request("head_object", "looking", Key=bucket.settings.key_prefix + name)
        assert held["ServerSideEncryption"] == sse, name


def test_a_damaged_table_is_named_with_what_to_do_and_can_be_dropped(bucket: S3Bucket) -> None:
    keywords(bucket).write(SPACE, one_row(1))
    for page in pages(bucket, "", "listing"):
        for entry in page.entries:
            if "/data/" in entry.key:
                write(bucket, bucket.settings.key_prefix + entry.key, os.urandom(entry.size_bytes))
    index = keywords(bucket)
    with pytest.raises(PermanentError, match=r"keyword index acme\.reports\.1 in s3://.*rebuild this index") as caught:
        index.counts(SPACE, [1])
    assert ".rs:" not in str(caught.value)
    index.drop(SPACE)
    index.write(SPACE, one_row(2))
    assert found(index) == [2]


def test_indexes_stand_in_the_bucket_of_a_home_that_is_given_one(shared: S3Bucket, tmp_path: Path) -> None:
    given, prefix = shared.settings, f"homes/{uuid4().hex}"
    settings = Settings.from_environment(
        {
            "ETL_HOME": str(tmp_path / "home"),
            "ETL_S3_BUCKET": given.bucket,
            "ETL_S3_PREFIX": prefix,
            "AWS_ENDPOINT_URL": str(given.endpoint_url),
            "AWS_ACCESS_KEY_ID": str(given.access_key_id),
            "AWS_SECRET_ACCESS_KEY": str(given.secret_access_key),
        }  # fmt: skip
    )
    stores = open_platform(settings).stores
    stores.keyword.write(SPACE, keyword_table(batch(1)))
    stores.vector.write(SPACE, vector_table(batch(1)))
    home = S3Bucket(replace(given, prefix=prefix))
    keys = {"/".join(e.key.split("/")[:3]) for page in pages(home, "indexes/", "listing") for e in page.entries}
    assert keys == {f"indexes/{kind}/acme.reports.1.lance" for kind in ("keywords", "vectors")}
    assert [*(tmp_path / "home" / "indexes").rglob("*.lance")] == []

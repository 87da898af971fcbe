"""A folder in a bucket belongs to one installation, and its keys may be changed while it is in use."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.backends.blob_cache import BlobCache
from etl_assets.backends.circuit import Backoff
from etl_assets.backends.credentials import FixedCredential, StoredCredential
from etl_assets.backends.lancedb_keywords import LanceKeywords
from etl_assets.backends.lancedb_s3 import S3Tables
from etl_assets.backends.ownership import judge_mark
from etl_assets.backends.s3_blobs import S3Blobs
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_errors import S3Refusal
from etl_assets.backends.s3_mark import KEY, S3Mark, marked
from etl_assets.backends.s3_settings import S3Settings, renewing
from etl_assets.errors import ConfigError
from etl_assets.protocols.probes import Finding
from etl_assets_tests.backends.kept_by_hand import SecretsByHand
from etl_assets_tests.backends.scripted_s3 import ACCESS_KEY, BUCKET, Answer, Request, ScriptedS3, refusal, serving
from etl_assets_tests.conformance.index_rows import SPACE, Row, keyword_table


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with serving(ScriptedS3()) as store:
        yield store


def bucket(server: ScriptedS3) -> S3Bucket:
    return S3Bucket(
        S3Settings(
            BUCKET, "home", server.endpoint, access_key_id=ACCESS_KEY, secret_access_key="canary-first",
            backoff=Backoff(2, base_s=0.001, cap_s=0.001),
        )
    )  # fmt: skip


def blobs(server: ScriptedS3, folder: Path, installation: str) -> S3Blobs:
    root = bucket(server)
    originals = S3Bucket(replace(root.settings, prefix="home/originals"))
    cache = BlobCache(folder / installation, limit_bytes=1 << 20)
    return S3Blobs(originals, cache, S3Mark(root, lambda: installation))


def put(store: S3Blobs, folder: Path, key: str) -> None:
    (folder / "source").write_bytes(key.encode())
    store.put(key, folder / "source")


def test_another_installation_is_refused_before_it_changes_anything(server: ScriptedS3, tmp_path: Path) -> None:
    first, second = blobs(server, tmp_path, "first"), blobs(server, tmp_path, "second")
    put(first, tmp_path, "a")
    before = dict(server.objects)
    for act in (lambda: put(second, tmp_path, "a"), lambda: second.delete("a")):
        with pytest.raises(ConfigError, match=r"s3://bucket/home belongs to another installation.*ETL_S3_PREFIX"):
            act()
    tables = S3Tables(S3Bucket(replace(bucket(server).settings, prefix="home/indexes")), S3Mark(bucket(server), str))
    with pytest.raises(ConfigError, match="another installation"):
        LanceKeywords(tables).drop(SPACE)
    with pytest.raises(ConfigError, match="another installation"):
        LanceKeywords(tables).write(SPACE, keyword_table([Row(1, "c")]))
    assert server.objects == before
    assert [*first.keys("")] and KEY not in str([*first.keys("")]), "the mark is no blob"


def test_the_mark_is_asked_for_once_in_a_process(server: ScriptedS3, tmp_path: Path) -> None:
    store = blobs(server, tmp_path, "first")
    put(store, tmp_path, "a")
    put(store, tmp_path, "b")
    asked = [one.method for one in server.requests if one.key == f"home/{KEY}"]
    assert asked == ["GET", "PUT", "GET"]
    put(blobs(server, tmp_path, "first"), tmp_path, "c")


def test_of_two_that_mark_at_the_same_moment_one_is_refused(server: ScriptedS3) -> None:
    def overtaken(request: Request, store: ScriptedS3) -> Answer | None:
        if request.method == "PUT" and request.key.endswith(KEY):
            store.write(f"home/{KEY}", b"other")
        return None

    server.faults.append(overtaken)
    with pytest.raises(ConfigError, match="another installation"):
        S3Mark(bucket(server), lambda: "mine").claim()
    assert marked(bucket(server)) == "other"


def test_a_service_without_conditions_is_marked_too_and_one_that_refuses_is_told(server: ScriptedS3) -> None:
    server.faults.append(
        lambda request, _: refusal(501, "NotImplemented") if "If-None-Match" in request.headers else None
    )
    S3Mark(bucket(server), lambda: "mine").claim()
    assert marked(bucket(server)) == "mine"
    server.objects.clear()
    server.faults[0] = lambda request, _: refusal(403, "AccessDenied") if request.method == "PUT" else None
    with pytest.raises(S3Refusal, match="marking whose the store is.*AccessDenied"):
        S3Mark(bucket(server), lambda: "mine").claim()


def test_a_check_says_what_a_mark_means() -> None:
    found = Finding()
    for stated, mine in ((None, "mine"), ("mine", "mine"), ("other", None)):
        judge_mark(found, "it", stated, mine)
    assert [note.split(":")[0] for note in found.notes] == [
        "it belongs to no installation yet", "it belongs to this installation",
        "whose it is cannot be told without the ledger",
    ]  # fmt: skip
    judge_mark(found, "it", "other", "")
    assert len(found.problems) == 1


@pytest.mark.parametrize("operation", ["head_object", "get_object"])
def test_changed_keys_are_read_anew_and_wrong_ones_refused_at_once(server: ScriptedS3, operation: str) -> None:
    server.write("home/a", b"text")
    secrets, accepted = SecretsByHand("canary-first"), {"id": ACCESS_KEY}

    def signed(request: Request, _: ScriptedS3) -> Answer | None:
        # The key id stands in the header in clear; that the secret is right only a real server can tell.
        return None if accepted["id"] in request.headers["Authorization"] else refusal(403, "InvalidAccessKeyId")

    server.faults.append(signed)
    by_hand = SecretsByHand(ACCESS_KEY)
    keys = {
        "access_key_id": StoredCredential(by_hand, "s3#id"), "secret_access_key": StoredCredential(secrets, "s3#key"),
        "session_token": FixedCredential("", source="AWS_SESSION_TOKEN"),
    }  # fmt: skip
    store = S3Bucket(bucket(server).settings, renewed=renewing(keys))
    store.request(operation, "looking", Key="home/a")
    accepted["id"] = "AKCANARYKEYID0002"
    with pytest.raises(S3Refusal) as refused:
        store.request(operation, "looking", Key="home/a")
    assert (by_hand.reads, secrets.reads) == (1, 1) and "canary" not in str(refused.value).lower()
    by_hand.text = "AKCANARYKEYID0002"
    store.request(operation, "looking", Key="home/a")
    assert store.settings.secret_access_key == "canary-first"

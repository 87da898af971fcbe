"""What the S3 stores make of bad answers, broken connections and refusals, and that no secret gets out."""

import errno
import hashlib
import io
import logging
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from etl_assets.backends.blob_cache import BlobCache
from etl_assets.backends.circuit import Backoff, CircuitOpen, Opening, Unavailable
from etl_assets.backends.s3_arrivals import TAGS, S3Arrivals
from etl_assets.backends.s3_blobs import S3Blobs
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_errors import S3Refusal
from etl_assets.backends.s3_settings import S3Settings
from etl_assets.errors import ConfigError, DataError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.objects import ObjectAttributes, ObjectInfo, UnusableKey
from etl_assets_tests.backends.scripted_s3 import (
    ACCESS_KEY,
    BUCKET,
    CANARIES,
    SECRET_KEY,
    SESSION_TOKEN,
    Answer,
    Fault,
    Request,
    ScriptedS3,
    refusal,
    serving,
)

KEY = "acme/reports/a.txt"


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with serving(ScriptedS3()) as store:
        yield store


def settings(server: ScriptedS3, **changes: Any) -> S3Settings:
    given: dict[str, Any] = {
        "bucket": BUCKET, "endpoint_url": server.endpoint, "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY, "session_token": SESSION_TOKEN, "read_timeout_s": 5.0,
        "backoff": Backoff(attempts=4, base_s=0.001, cap_s=0.001),
    }  # fmt: skip
    return S3Settings(**{**given, **changes})


def opened(server: ScriptedS3, openings: list[Opening] | None = None, **changes: Any) -> S3Bucket:
    return S3Bucket(settings(server, **changes), on_open=(openings if openings is not None else []).append)


def arrivals(server: ScriptedS3, **changes: Any) -> S3Arrivals:
    return S3Arrivals(opened(server, **changes))


def blobs(server: ScriptedS3, folder: Path, **changes: Any) -> S3Blobs:
    return S3Blobs(opened(server, **changes), BlobCache(folder / "cache", limit_bytes=1 << 20))


def listed(store: S3Arrivals) -> list[str]:
    return [found.key for found in store.list("acme", "reports") if isinstance(found, ObjectInfo)]


# Listing


@pytest.mark.parametrize(
    "bad",
    [
        Answer(200, b""),
        Answer(200, b"<ListBucketResult></ListBucketResult>"),
        Answer(200, b"<ListBucketResult><IsTrunc"),
        Answer(200, b"<html>the proxy is starting</html>"),
        Answer(200, b"<ListBucketResult>" + b" " * 5000 + b"</ListBucketResult>", sent=100),
        refusal(503, "SlowDown"),
        refusal(500, "InternalError"),
        refusal(429, "TooManyRequests", **{"Retry-After": "1"}),
        refusal(400, "RequestTimeout"),
        Answer(502, b"<html>bad gateway</html>"),
        Answer(200, sent=0),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:30]!r}",
)
def test_a_page_that_fails_is_asked_for_again_and_never_looks_like_deletions(server: ScriptedS3, bad: Answer) -> None:
    for n in range(6):
        server.write(f"acme/reports/{n}", b"text")
    server.page_size = 2

    def on_the_second_page(request: Request, store: ScriptedS3) -> Answer | None:
        return bad if "continuation-token" in request.query and len(store.requests) < 4 else None

    server.faults.append(on_the_second_page)
    assert len(listed(arrivals(server))) == 6
    server.faults[0] = lambda request, _: bad if "continuation-token" in request.query else None
    with pytest.raises(Unavailable, match="listing acme/reports/"):
        listed(arrivals(server))


def test_a_service_that_does_not_say_where_to_go_on_is_refused(server: ScriptedS3) -> None:
    def endless(request: Request, _: ScriptedS3) -> Answer:
        again = b"<NextContinuationToken>t</NextContinuationToken>" if "continuation-token" in request.query else b""
        more = again or b"<NextContinuationToken>t</NextContinuationToken>"
        return Answer(200, b"<ListBucketResult><IsTruncated>true</IsTruncated>%s</ListBucketResult>" % more)

    server.faults.append(endless)
    with pytest.raises(PermanentError, match="not whole"):
        listed(arrivals(server))
    server.faults[0] = lambda *_: Answer(200, b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>")
    with pytest.raises(PermanentError, match="not whole"):
        listed(arrivals(server))


def test_keys_that_were_not_asked_for_are_refused(server: ScriptedS3) -> None:
    row = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>other/x/y</Key><Size>1</Size>"
        b"<ETag>a</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"
    )
    server.faults.append(lambda *_: Answer(200, row))
    with pytest.raises(PermanentError, match="do not begin"):
        listed(arrivals(server))


def test_an_entry_without_what_an_entry_has_is_refused(server: ScriptedS3) -> None:
    row = b"<IsTruncated>false</IsTruncated><Contents><Key>acme/reports/a</Key></Contents>"
    server.faults.append(lambda *_: Answer(200, b"<ListBucketResult>%s</ListBucketResult>" % row))
    with pytest.raises(PermanentError, match="without its LastModified"):
        listed(arrivals(server))


def test_folders_drawn_by_tools_hidden_and_broken_names_are_told_apart(server: ScriptedS3) -> None:
    for key in ("acme/reports/", "acme/reports/sub/", "acme/reports/.git/x", "acme/reports/sub/.hidden"):
        server.write(key, b"")
    for key in (KEY, "acme/reports//double", "acme/reports/ends/", "acme/reports/nul\x00"):
        server.write(key, b"text")
    found = [*arrivals(server).list("acme", "reports")]
    assert [one.key for one in found if isinstance(one, ObjectInfo)] == [KEY]
    unusable = sorted(one.shown for one in found if isinstance(one, UnusableKey))
    assert unusable == ["acme/reports//double", "acme/reports/ends/", "acme/reports/nul\\x00"]


def test_a_store_with_nothing_in_it_seems_lost_until_its_mark_is_there(server: ScriptedS3, tmp_path: Path) -> None:
    server.write("in/acme/reports/a.txt", b"text")
    store = arrivals(server, prefix="in")
    assert store.seems_lost() == ""
    assert "s3://bucket/on: has nothing in it" in arrivals(server, prefix="on").seems_lost()
    for n in range(2):
        store.fetch(KEY, tmp_path / str(n))
    store.delete(KEY)
    assert [*server.objects] == ["in/.etl-assets"]
    assert store.seems_lost() == ""
    assert [request.key for request in server.requests if request.method == "PUT"] == ["in/.etl-assets"]
    server.write(KEY, b"text")
    server.once("PUT", refusal(403, "AccessDenied"), times=9)
    assert arrivals(server).fetch(KEY, tmp_path / "read-only store").size_bytes == 4


def test_what_lies_outside_every_collection_is_shown(server: ScriptedS3) -> None:
    kept = ["acme/reports/a", "acme/notes/a", "other/reports/a"]
    strays = ["root.txt", "Acme/reports/a", "acme/stray.txt", "acme/Re ports/deep/a", "/slash"]
    for key in (*kept, *strays, ".hidden", "acme/.hidden/a", "folder/"):
        server.write(key, b"text" if key != "folder/" else b"")
    for prefix in ("", "some/where"):
        store = arrivals(server, prefix=prefix)
        assert store.collections() == [("acme", "notes"), ("acme", "reports"), ("other", "reports")]
        assert sorted(one.shown for one in store.strays()) == sorted(strays)
        server.objects = {f"some/where/{key}": one for key, one in server.objects.items()}
    assert [*store.list("Acme", "reports")] == []


# Fetching


def test_a_body_that_breaks_off_is_continued_where_it_stopped(server: ScriptedS3, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    server.write(KEY, data)

    def breaks_off(request: Request, store: ScriptedS3) -> Answer | None:
        if request.method != "GET" or len(store.requests) > 2:
            return None
        answer = store._get(request)
        return Answer(answer.status, answer.body, answer.headers, sent=1_200_000)

    server.faults.append(breaks_off)
    fetched = arrivals(server).fetch(KEY, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert fetched.sha256 == hashlib.sha256(data).hexdigest()
    etag = server.objects[KEY].etag
    reads = [request for request in server.requests if request.key == KEY]
    assert [request.headers.get("If-Match") for request in reads] == [None, etag, etag]
    ranges = [request.headers.get("Range") for request in reads]
    assert ranges[0] is None
    assert None not in ranges[1:]


def test_a_page_of_a_proxy_is_not_taken_for_the_object_or_for_success(server: ScriptedS3, tmp_path: Path) -> None:
    server.write(KEY, b"text")
    server.faults.append(lambda *_: Answer(200, b"<html>the server is starting</html>"))
    (tmp_path / "source").write_bytes(b"text")
    with pytest.raises(Unavailable, match="reading acme/reports/a.txt: the answer is not whole: no ETag"):
        arrivals(server).fetch(KEY, tmp_path / "target")
    with pytest.raises(Unavailable, match="writing acme/reports/a.txt: the answer is not whole"):
        arrivals(server).put(KEY, tmp_path / "source")
    with pytest.raises(Unavailable, match="looking for a"):
        blobs(server, tmp_path).exists("a")
    assert not (tmp_path / "target").exists()


def test_a_service_without_ranges_sends_all_of_it_again(server: ScriptedS3, tmp_path: Path) -> None:
    data = os.urandom(2_500_000)
    server.write(KEY, data)

    def whole(request: Request, store: ScriptedS3) -> Answer | None:
        if request.key != KEY:
            return None
        request.headers = {name: value for name, value in request.headers.items() if name != "Range"}
        answer = store._get(request)
        return Answer(200, answer.body, answer.headers, sent=2_200_000 if len(store.requests) == 1 else None)

    server.faults.append(whole)
    assert arrivals(server).fetch(KEY, tmp_path / "target").sha256 == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "target").read_bytes() == data


@pytest.mark.parametrize("same_bytes", [False, True])
def test_an_object_replaced_while_its_body_breaks_off_is_not_mixed(
    server: ScriptedS3, tmp_path: Path, same_bytes: bool
) -> None:
    server.write(KEY, b"a" * 2_000_000)

    def replaced(request: Request, store: ScriptedS3) -> Answer | None:
        if len(store.requests) > 1:
            return None
        answer = store._get(request)
        store.write(KEY, (b"a" if same_bytes else b"b") * 2_000_000, age_s=5)
        return Answer(answer.status, answer.body, answer.headers, sent=1_500_000)

    server.faults.append(replaced)
    with pytest.raises(TransientError, match="changed while being read"):
        arrivals(server).fetch(KEY, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_an_object_of_this_second_is_read_when_the_second_is_over(server: ScriptedS3, tmp_path: Path) -> None:
    """Else a second write in it, of the same bytes with other metadata, could never be seen."""
    server.write(KEY, b"text", age_s=0, **{"x-amz-meta-state": "draft"})
    store = arrivals(server)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        server.write(KEY, b"text", age_s=0, **{"x-amz-meta-state": "final"})
        server.now = server.now.replace(second=server.now.second + 1)

    object.__setattr__(store._bucket.calls, "sleep", sleep)
    assert store.fetch(KEY, tmp_path / "target").attributes.metadata == {"state": "final"}
    assert waits == [1.0]
    server.write("acme/reports/b", b"text", age_s=0)
    object.__setattr__(store._bucket.calls, "sleep", waits.append)
    with pytest.raises(TransientError, match="written again and again"):
        store.fetch("acme/reports/b", tmp_path / "b")
    server.write("acme/reports/c", b"text", age_s=-3600)
    assert store.fetch("acme/reports/c", tmp_path / "c").size_bytes == 4


def test_a_target_without_room_is_the_disks_fault(server: ScriptedS3, tmp_path: Path) -> None:
    server.write(KEY, b"text")
    (tmp_path / "there").write_bytes(b"")
    with pytest.raises(FileExistsError):
        arrivals(server).fetch(KEY, tmp_path / "there")
    with pytest.raises(PermanentError, match="reading acme/reports/a.txt"):
        arrivals(server).fetch(KEY, tmp_path / "nowhere" / "target")


def test_a_full_disk_is_no_failure_of_the_service(
    server: ScriptedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    server.write(KEY, b"text")
    monkeypatch.setattr("etl_assets.backends.s3_transfer.write_all", full)
    with pytest.raises(PermanentError, match="no space left"):
        arrivals(server).fetch(KEY, tmp_path / "target")
    assert len(server.requests) == 1
    assert not (tmp_path / "target").exists()


def test_metadata_of_any_writer_is_read(server: ScriptedS3, tmp_path: Path) -> None:
    raw = "Zo\u00eb".encode().decode("latin-1")
    headers = {
        "Content-Type": "text/plain", "x-amz-meta-plain": "a b", "x-amz-meta-raw": raw,
        "x-amz-meta-word": "=?UTF-8?Q?Zo=C3=AB?= and more", "x-amz-meta-broken": "=?none?B?AAAA?=",
        "x-amz-meta-latin": "\xe9", "x-amz-tagging-count": "1",
    }  # fmt: skip
    server.write(KEY, b"text", **headers)
    attributes = arrivals(server, reads_tags=True).fetch(KEY, tmp_path / "1").attributes
    digest = attributes.metadata[TAGS]
    texts = {
        "broken": "=?none?B?AAAA?=",
        "latin": "\xe9",
        "plain": "a b",
        "raw": "Zo\u00eb",
        "word": "Zo\u00eb and more",
    }
    assert attributes == ObjectAttributes("text/plain", {**texts, TAGS: digest})
    assert TAGS not in arrivals(server).fetch(KEY, tmp_path / "2").attributes.metadata


@pytest.mark.parametrize("value", ["Zo\u00eb", " spaces ", "line\nbreak", "", "=?UTF-8?B?Zm9v?=", "\U0001f600" * 50])
def test_metadata_come_back_as_they_were_given(server: ScriptedS3, tmp_path: Path, value: str) -> None:
    store = arrivals(server)
    (tmp_path / "source").write_bytes(b"text")
    store.put(KEY, tmp_path / "source", attributes=ObjectAttributes(None, {"name": value}))
    server.now = server.now.replace(second=server.now.second + 1)
    assert store.fetch(KEY, tmp_path / "target").attributes == ObjectAttributes(None, {"name": value})
    with pytest.raises(ConfigError, match="S3 keeps names"):
        store.put(KEY, tmp_path / "source", attributes=ObjectAttributes(None, {"Name": value}))


# Refusals


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (refusal(403, "InvalidAccessKeyId"), "HTTP 403 InvalidAccessKeyId.*check the access key"),
        (refusal(403, "SignatureDoesNotMatch"), "check the access key"),
        (refusal(400, "ExpiredToken"), "session token"),
        (refusal(403, "RequestTimeTooSkewed"), "clock"),
        (refusal(401, "Unauthorized"), "check the access key"),
        (refusal(403, "AccessDenied"), "right"),
        (refusal(404, "NoSuchBucket"), "s3://bucket.*create the bucket"),
        (refusal(400, "AuthorizationHeaderMalformed"), "region"),
        (refusal(400, "KMS.DisabledException"), "KMS key"),
        (refusal(400, "InvalidArgument", "no such thing"), "no such thing"),
        (refusal(501, "NotImplemented"), "501"),
        (refusal(507, "XMinioStorageFull"), "make room"),
    ],
)
def test_a_refusal_is_permanent_clear_and_asked_for_once(server: ScriptedS3, answer: Answer, says: str) -> None:
    server.faults.append(lambda request, _: answer if request.method == "GET" else None)
    store = arrivals(server)
    for ask in (store.collections, lambda: listed(store), lambda: [*store.strays()]):
        server.requests.clear()
        with pytest.raises(S3Refusal, match=says) as caught:
            ask()
        assert len(server.requests) == 1
        assert pickle.loads(pickle.dumps(caught.value)).code == caught.value.code


def test_one_object_that_may_not_be_read_is_one_documents_problem(server: ScriptedS3, tmp_path: Path) -> None:
    def denied(request: Request, _: ScriptedS3) -> Answer | None:
        return refusal(403, "AccessDenied") if request.key == KEY else None

    server.faults.append(denied)
    server.write(KEY, b"text")
    with pytest.raises(S3Refusal, match="AccessDenied"):
        arrivals(server).fetch(KEY, tmp_path / "target")
    server.write("acme/other/b.txt", b"text")
    store = arrivals(server)
    with pytest.raises(DataError, match="AccessDenied") as caught:
        store.fetch(KEY, tmp_path / "target")
    assert caught.value.reason == "unreadable"
    server.faults.append(lambda request, _: refusal(403, "AccessDenied") if request.key else None)
    with pytest.raises(S3Refusal, match="AccessDenied"):
        arrivals(server).fetch(KEY, tmp_path / "target")


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": ""}, {"secret_access_key": None, "session_token": None}, {"access_key_id": None},
        {"access_key_id": None, "secret_access_key": None}, {"profile": "x"}, {"kms_key_id": "k"},
        {"endpoint_url": "ftp://x"}, {"endpoint_url": "http://user:canary-secret-access-key@host"},
        {"endpoint_url": "http://host:port"}, {"read_timeout_s": 0}, {"part_size_bytes": 1}, {"concurrency": 0},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_before_anything_is_asked(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(ScriptedS3(), **{"endpoint_url": "http://127.0.0.1:1", **changes})
    assert SECRET_KEY not in str(caught.value)


def test_what_stops_a_request_on_this_side_is_a_setting(
    server: ScriptedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    bare = {"access_key_id": None, "secret_access_key": None, "session_token": None}
    with pytest.raises(ConfigError, match="no complete credentials"):
        listed(arrivals(server, **bare))
    with pytest.raises(ConfigError, match="ProfileNotFound"):
        listed(arrivals(server, **bare, profile="nobody"))
    with pytest.raises(ConfigError, match="CA bundle"):
        listed(arrivals(server, ca_bundle=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="bucket name"):
        listed(arrivals(server, bucket="no/bucket name"))
    with pytest.raises(ConfigError, match="endpoint or region"):
        listed(arrivals(server, endpoint_url="http://host name"))
    assert server.requests == []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    assert listed(arrivals(server, **bare)) == []


def test_a_certificate_that_is_not_trusted_is_permanent() -> None:
    from botocore.exceptions import SSLError

    from etl_assets.backends.s3_errors import translated

    untrusted = SSLError(endpoint_url="https://host", error="CERTIFICATE_VERIFY_FAILED")
    assert isinstance(translated(untrusted, "listing"), S3Refusal)
    cut = SSLError(endpoint_url="https://host", error="EOF occurred in violation of protocol")
    assert isinstance(translated(cut, "listing"), Unavailable)


def test_a_dead_service_opens_the_circuit_and_is_left_alone(tmp_path: Path) -> None:
    with serving(ScriptedS3()) as server:
        pass
    openings: list[Opening] = []
    store = S3Arrivals(opened(server, openings))
    for _ in range(5):
        with pytest.raises(Unavailable, match="EndpointConnectionError"):
            store.fetch(KEY, tmp_path / "target")
    with pytest.raises(CircuitOpen):
        store.fetch(KEY, tmp_path / "target")
    assert [opening.backend for opening in openings] == ["S3 s3://bucket"]


# Writing


def test_a_write_is_sent_again_from_its_first_byte(server: ScriptedS3, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"text" * 1000)
    server.once("PUT", refusal(503, "SlowDown"), times=2)
    arrivals(server).put(KEY, tmp_path / "source")
    assert server.objects[KEY].body == b"text" * 1000
    assert len({request.headers["Content-MD5"] for request in server.requests}) == 1


def test_a_large_write_goes_in_parts_each_sent_until_it_is_there(server: ScriptedS3, tmp_path: Path) -> None:
    data = os.urandom((5 << 20) * 2 + 7)
    (tmp_path / "source").write_bytes(data)
    store = arrivals(server, part_size_bytes=5 << 20, sse="AES256")
    server.once("PUT", refusal(500, "InternalError"))
    server.once("PUT", Answer(200, sent=0))
    store.put(KEY, tmp_path / "source", attributes=ObjectAttributes("text/plain"))
    assert server.objects[KEY].body == data
    started = next(request for request in server.requests if "uploads" in request.query)
    assert started.headers["x-amz-server-side-encryption"] == "AES256"
    assert started.headers["Content-Type"] == "text/plain"


def test_an_answer_lost_after_the_last_part_is_no_failure(server: ScriptedS3, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes((5 << 20) + 1))

    def lost(request: Request, store: ScriptedS3) -> Answer | None:
        if request.method != "POST" or "uploads" in request.query or len(store.objects):
            return None
        store._post(request)
        return Answer(200, b"<Comp", sent=2)

    server.faults.append(lost)
    arrivals(server, part_size_bytes=5 << 20).put(KEY, tmp_path / "source")
    assert len(server.objects[KEY].body) == (5 << 20) + 1


@pytest.mark.parametrize("is_reachable", [True, False])
def test_a_large_write_that_fails_gives_its_parts_back(server: ScriptedS3, tmp_path: Path, is_reachable: bool) -> None:
    (tmp_path / "source").write_bytes(bytes((5 << 20) + 1))
    server.once("PUT", refusal(507, "XMinioStorageFull"), times=99)
    if not is_reachable:
        server.once("DELETE", refusal(503, "SlowDown"), times=99)
    with pytest.raises(S3Refusal, match="make room"):
        arrivals(server, part_size_bytes=5 << 20).put(KEY, tmp_path / "source")
    assert server.unfinished_uploads == (0 if is_reachable else 1)
    assert server.objects == {}


# Blobs


def put(store: S3Blobs, key: str, data: bytes) -> int:
    with store.scratch() as folder:
        (folder / "file").write_bytes(data)
        return store.put(key, folder / "file")


def test_a_blob_that_is_there_already_is_not_sent_over_it_unless_it_differs(server: ScriptedS3, tmp_path: Path) -> None:
    store = blobs(server, tmp_path)
    assert [put(store, "a", b"text") for _ in range(2)] == [4, 4]
    server.write("a", b"damaged")
    assert put(store, "a", b"text") == 4
    assert server.objects["a"].body == b"text"


def test_a_service_without_conditional_writes_is_asked_for_none_after_the_first(
    server: ScriptedS3, tmp_path: Path
) -> None:
    def unsupported(request: Request, _: ScriptedS3) -> Answer | None:
        return refusal(501, "NotImplemented") if "If-None-Match" in request.headers else None

    server.faults.append(unsupported)
    store = blobs(server, tmp_path)
    for key in "abc":
        put(store, key, b"text")
    assert len(server.requests) == 4


def test_a_blob_is_read_from_the_cache_and_checked_when_it_comes(server: ScriptedS3, tmp_path: Path) -> None:
    put(blobs(server, tmp_path), "a", b"text")
    server.requests.clear()
    with blobs(server, tmp_path).local("a") as path:
        assert path.read_bytes() == b"text"
    assert server.requests == []
    with blobs(server, tmp_path / "other").local("a") as path:
        assert path.read_bytes() == b"text"
    server.objects["a"].body = b"tExt"
    with pytest.raises(TransientError, match="not those that were stored"), blobs(server, tmp_path / "new").local("a"):
        pass
    store = blobs(server, tmp_path)
    store.delete("a")
    with pytest.raises(FileNotFoundError), store.local("a"):
        pass


def test_a_missing_bucket_is_not_a_missing_blob(server: ScriptedS3, tmp_path: Path) -> None:
    store = blobs(server, tmp_path)
    assert not store.exists("a")
    server.faults.append(lambda request, _: Answer(404) if request.method == "HEAD" else None)
    with pytest.raises(S3Refusal, match="404"):
        store.exists("a")
    server.faults.append(lambda *_: Answer(403))
    server.faults.reverse()
    for ask in (lambda: store.exists("a"), lambda: store.local("a").__enter__(), lambda: store.delete("a")):
        with pytest.raises(S3Refusal, match="403"):
            ask()


def test_a_batch_stops_at_the_first_blob_that_is_refused(server: ScriptedS3, tmp_path: Path) -> None:
    store = blobs(server, tmp_path, concurrency=2)
    server.faults.append(lambda request, _: refusal(403, "AccessDenied") if request.key == "x/0" else None)
    with store.scratch() as folder:
        for n in range(30):
            (folder / str(n)).write_bytes(b"text")
        with pytest.raises(S3Refusal, match="storing x/0"):
            store.put_all([(f"x/{n}", folder / str(n)) for n in range(30)])
    assert len(server.objects) < 30
    store.put_all([])


def test_folders_drawn_by_tools_are_no_blobs(server: ScriptedS3, tmp_path: Path) -> None:
    server.write("p/x/", b"")
    server.write("p/x/a", b"text")
    assert [*blobs(server, tmp_path, prefix="/p/").keys("x")] == [
        ("x/a", 4, server.objects["p/x/a"].modified.timestamp())
    ]


# Secrets and processes


def everything(error: BaseException) -> str:
    """What a log, an event or a bug report could show of an error: its whole chain and what hangs on it."""
    shown = "".join(traceback.format_exception(error))
    while error is not None:
        shown += repr(error) + repr(vars(error))
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return shown


def provoked(server: ScriptedS3, tmp_path: Path) -> Iterator[EtlAssetsError]:
    def echoing(status: int, code: str) -> Fault:
        sent = f"and {CANARIES} Signature=0123456789abcdef0123"
        return lambda request, _: refusal(status, code, f"you sent {request.headers} {sent}")

    for status, code in ((403, "SignatureDoesNotMatch"), (503, "SlowDown"), (400, "Odd"), (404, "NoSuchBucket")):
        server.faults[:] = [echoing(status, code)]
        for ask in store_calls(server, tmp_path):
            with pytest.raises(EtlAssetsError) as caught:
                ask()
            yield caught.value
    server.faults[:] = [lambda request, _: Answer(200, repr((request.headers, CANARIES)).encode())]
    with pytest.raises(EtlAssetsError) as caught:
        listed(arrivals(server))
    yield caught.value


def store_calls(server: ScriptedS3, tmp_path: Path) -> list[Callable[[], object]]:
    (tmp_path / "source").write_bytes(b"text")
    store = arrivals(server)
    return [
        lambda: listed(store), lambda: store.fetch(KEY, tmp_path / "t"), lambda: store.put(KEY, tmp_path / "source"),
        lambda: store.delete(KEY),
    ]  # fmt: skip


def test_no_secret_is_in_an_error_its_chain_or_a_log_even_when_the_server_sends_it_back(
    server: ScriptedS3, tmp_path: Path
) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        shown = "".join(everything(error) for error in provoked(server, tmp_path))
        shown += repr(settings(server)) + repr(opened(server))
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert len(server.requests) > 20
    for canary in (*CANARIES, "0123456789abcdef0123"):
        assert canary not in shown
        assert canary not in log.getvalue()
    signatures = {request.headers["Authorization"].rpartition("=")[2] for request in server.requests}
    assert not any(signature in shown + log.getvalue() for signature in signatures)


def _lists(bucket: S3Bucket) -> None:
    with suppress(BaseException):
        os._exit(7 if listed(S3Arrivals(bucket)) == [KEY] else 1)
    os._exit(2)


def test_a_forked_process_makes_its_own_connections(server: ScriptedS3) -> None:
    server.write(KEY, b"text")
    bucket = opened(server)
    assert listed(S3Arrivals(bucket)) == [KEY]
    child = multiprocessing.get_context("fork").Process(target=_lists, args=(bucket,))
    child.start()
    child.join()
    assert child.exitcode == 7
    assert listed(S3Arrivals(bucket)) == [KEY]

"""Copying one object out of a bucket and into it, whole or not at all, over connections that break."""

import base64
import email.utils
import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from etl_assets.backends.circuit import Unavailable
from etl_assets.backends.local_files import BLOCK_BYTES, refuse, write_all
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_errors import S3Refusal
from etl_assets.backends.s3_listing import plain_etag, whole_seconds
from etl_assets.errors import TransientError

_MOST_PARTS = 10_000
_SETTLE_S = 1.0
_SETTLE_ATTEMPTS = 5
_CLOCKS_AGREE_S = 10
_CHANGED = ("PreconditionFailed", "InvalidRange", "412", "416")


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The bytes that were copied, and what the answer said of them."""

    sha256: str
    size_bytes: int
    etag: str
    modified_s: int
    version_id: str
    content_type: str | None
    metadata: Mapping[str, str]
    tag_count: int


def download(bucket: S3Bucket, key: str, target: Path, doing: str, *, settles: bool) -> Downloaded:
    """Copy the object ``key`` (with the store's prefix) to the new file ``target``; on failure nothing is left there.

    One answer is one state of the object, whatever is written meanwhile. A body that breaks off is continued where
    it stopped, on the condition that the object is still the same. With ``settles`` an object that was written within
    the current second of the service's clock is left to age first: another write in that second could not be told
    from it by a later listing.

    Raises:
        TransientError: the object changed while it was read, or keeps changing.
        Unavailable, S3Refusal: as for ``S3Bucket.request``.
        PermanentError: there is no room for ``target``.
        FileExistsError: ``target`` exists.
    """
    try:
        writing = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise
    except OSError as e:
        refuse(e, doing)
    try:
        copying = _Download(bucket, key, writing, doing, settles=settles)
        return bucket.attempted(doing, copying.attempt)
    except BaseException as e:
        target.unlink(missing_ok=True)
        if isinstance(e, S3Refusal) and e.code in _CHANGED:
            raise TransientError(f"{doing}: the object changed while being read") from e
        raise
    finally:
        os.close(writing)


class _Download:
    """One download over several attempts: what has been written so far, and of which state of the object."""

    def __init__(self, bucket: S3Bucket, key: str, writing: int, doing: str, *, settles: bool) -> None:
        self._bucket = bucket
        self._key = key
        self._writing = writing
        self._doing = doing
        self._settles = settles
        self._state: tuple[str, int] | None = None
        self._etag = ""
        self._restart()

    def attempt(self) -> Downloaded:
        if self._state is None:
            answer = self._settled() if self._settles else self._get()
            self._state, self._etag = _state(answer), str(answer["ETag"])
        else:
            ranged = {"Range": f"bytes={self._size}-"} if self._size else {}
            answer = self._get(IfMatch=self._etag, **ranged)
            if _state(answer) != self._state:
                answer["Body"].close()
                raise TransientError(f"{self._doing}: the object changed while being read")
            if ranged and not str(answer.get("ContentRange", "")).startswith(f"bytes {self._size}-"):
                self._restart()  # the service sends all of it again
        self._copy(answer)
        return self._downloaded(answer)

    def _get(self, **conditions: str) -> dict[str, Any]:
        needs = ("Body", "ETag", "LastModified", "ContentLength")
        return self._bucket.once("get_object", self._doing, needs, Key=self._key, **conditions)

    def _settled(self) -> dict[str, Any]:
        for _ in range(_SETTLE_ATTEMPTS):
            answer = self._get()
            if not _is_young(answer):
                return answer
            answer["Body"].close()
            self._bucket.calls.sleep(_SETTLE_S)
        raise TransientError(f"{self._doing}: the object is written again and again; it will be read when it rests")

    def _restart(self) -> None:
        self._digest, self._size = hashlib.sha256(), 0
        os.ftruncate(self._writing, 0)
        os.lseek(self._writing, 0, os.SEEK_SET)

    def _copy(self, answer: Mapping[str, Any]) -> None:
        body = answer["Body"]
        expected = self._size + int(answer["ContentLength"])
        try:
            while block := body.read(BLOCK_BYTES):
                self._digest.update(block)
                self._size += len(block)
                try:
                    write_all(self._writing, block)
                except OSError as e:
                    refuse(e, self._doing)
        finally:
            body.close()
        if self._size != expected:
            raise Unavailable(f"{self._doing}: the answer broke off after {self._size} of {expected} bytes")

    def _downloaded(self, answer: Mapping[str, Any]) -> Downloaded:
        etag, modified_s = _state(answer)
        return Downloaded(
            self._digest.hexdigest(), self._size, etag, modified_s, str(answer.get("VersionId") or "null"),
            answer.get("ContentType"), answer.get("Metadata", {}), int(answer.get("TagCount") or 0),
        )  # fmt: skip


def _state(answer: Mapping[str, Any]) -> tuple[str, int]:
    return plain_etag(answer["ETag"]), whole_seconds(answer["LastModified"])


def _is_young(answer: Mapping[str, Any]) -> bool:
    """Whether the second in which the object was written may not be over yet, by the service's own clock."""
    if str(answer.get("VersionId") or "null") != "null":
        return False  # every write has its own version id, so the next one will show
    sent = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if sent is None:
        return False
    ahead_s = whole_seconds(answer["LastModified"]) - whole_seconds(email.utils.parsedate_to_datetime(sent))
    # A time far ahead is one that somebody set, or of a clock that is wrong: waiting would not end it.
    return 0 <= ahead_s < _CLOCKS_AGREE_S


def upload(bucket: S3Bucket, key: str, source: Path, doing: str, parameters: Mapping[str, object]) -> int:
    """Write the object ``key`` (with the store's prefix) from a file, in parts when it is large; its size in bytes.

    Args:
        parameters: of the write, such as ``ContentType``, ``Metadata``, or ``IfNoneMatch``, which is kept only for
            an object that is written in one part.

    Raises:
        FileNotFoundError: there is no ``source``.
        Unavailable, S3Refusal: as for ``S3Bucket.request``; nothing stands under ``key`` that did not before.
    """
    with open(source, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        asked = {**parameters, **bucket.settings.encryption()}
        if size <= bucket.settings.part_size_bytes:
            _put(bucket, key, file, doing, asked)
        else:
            _put_in_parts(bucket, key, file, size, doing, asked)
    return size


def _put(bucket: S3Bucket, key: str, file: BufferedReader, doing: str, asked: Mapping[str, object]) -> None:
    md5 = base64.b64encode(hashlib.file_digest(file, _md5).digest()).decode()

    def attempt() -> None:
        file.seek(0)
        bucket.once("put_object", doing, ("ETag",), Key=key, Body=file, ContentMD5=md5, **asked)

    bucket.attempted(doing, attempt)


def _md5(data: bytes = b"") -> Any:
    # Against damage on the way, not against an attacker; so it works where MD5 is not allowed for security.
    return hashlib.md5(data, usedforsecurity=False)


def _put_in_parts(
    bucket: S3Bucket, key: str, file: BufferedReader, size: int, doing: str, asked: Mapping[str, object]
) -> None:
    kept = {name: value for name, value in asked.items() if name != "IfNoneMatch"}
    started = bucket.request("create_multipart_upload", doing, ("UploadId",), Key=key, **kept)
    upload_id = str(started["UploadId"])
    try:
        parts = _put_parts(bucket, key, upload_id, file, size, doing)
        _complete(bucket, key, upload_id, parts, doing)
    except BaseException:
        _abort(bucket, key, upload_id, doing)
        raise


def _put_parts(
    bucket: S3Bucket, key: str, upload_id: str, file: BufferedReader, size: int, doing: str
) -> list[dict[str, object]]:
    part_bytes = max(bucket.settings.part_size_bytes, math.ceil(size / _MOST_PARTS))
    parts: list[dict[str, object]] = []
    for number, _ in enumerate(range(0, size, part_bytes), start=1):
        block = file.read(part_bytes)
        md5 = base64.b64encode(_md5(block).digest()).decode()
        answer = bucket.request(
            "upload_part", doing, ("ETag",), Key=key, UploadId=upload_id, PartNumber=number, Body=block, ContentMD5=md5
        )  # fmt: skip
        parts.append({"ETag": answer["ETag"], "PartNumber": number})
    return parts


def _complete(bucket: S3Bucket, key: str, upload_id: str, parts: list[dict[str, object]], doing: str) -> None:
    tries, wanted = 0, {"Parts": parts}

    def attempt() -> None:
        nonlocal tries
        tries += 1
        bucket.once("complete_multipart_upload", doing, ("ETag",), Key=key, UploadId=upload_id, MultipartUpload=wanted)

    try:
        bucket.attempted(doing, attempt)
    except S3Refusal as e:
        # An attempt whose answer was lost may have been the one that did it.
        if e.code != "NoSuchUpload" or tries == 1:
            raise


def _abort(bucket: S3Bucket, key: str, upload_id: str, doing: str) -> None:
    """Give back the room of the parts, if the service can be asked; else its own rule for unfinished uploads does."""
    try:
        bucket.request("abort_multipart_upload", f"{doing}: giving up its parts", Key=key, UploadId=upload_id)
    except (S3Refusal, Unavailable):
        return

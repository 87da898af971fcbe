"""Blobs in a bucket: originals and lake segments of a home whose workers share no disk."""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from etl_assets.backends.blob_cache import BlobCache
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_errors import S3Refusal
from etl_assets.backends.s3_listing import pages
from etl_assets.backends.s3_mark import S3Mark
from etl_assets.backends.s3_transfer import download, upload
from etl_assets.errors import ConfigError, TransientError

_PUTS_AT_ONCE = 16
_DIGEST = "sha256"
_EXISTS = ("PreconditionFailed", "412")
_NO_CONDITIONS = ("NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedHeader", "501")


class S3Blobs:
    """Blobs (see ``protocols.objects``) below the prefix of ``bucket``, read through ``cache``.

    Each object carries the SHA-256 of its bytes as metadata, by which every download is checked. A process that
    has a copy in its cache may still read a key that another one deleted; nothing in the ledger names it then.
    Where ``mark`` is another installation's, every put and delete is a ConfigError.
    """

    def __init__(self, bucket: S3Bucket, cache: BlobCache, mark: S3Mark | None = None) -> None:
        self._bucket = bucket
        self._mark = mark
        self._cache = cache
        self._has_conditions = True

    @property
    def concurrency(self) -> int:
        """How many blobs are worth reading at once."""
        return self._bucket.settings.concurrency

    def put(self, key: str, source: Path) -> int:
        """Move ``source`` in under ``key``, durably and atomically, and return its size in bytes.

        The file becomes this machine's copy in the cache: what was just stored is mostly read next.

        Raises:
            ConfigError: ``key`` is empty, absolute, or has a part such as "..".
            FileNotFoundError: there is no ``source``.
            S3Refusal, Unavailable: it was not stored; nothing new stands under ``key``.
        """
        full = self._full(key)
        self._claim()
        with open(source, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = self._stored(full, source, sha256, f"storing {key}")
        self._cache.keep(self._name(full), source, sha256)
        return size

    def put_all(self, items: Sequence[tuple[str, Path]]) -> None:
        """``put`` each (key, source), 16 at once. After a failure no further one is begun.

        Raises:
            ConfigError, FileNotFoundError, S3Refusal, Unavailable: as for ``put``; some keys may be there then.
        """
        if not items:
            return
        threads = min(_PUTS_AT_ONCE, self.concurrency, len(items))
        with ThreadPoolExecutor(threads, thread_name_prefix="s3-put") as pool:
            waiting = [pool.submit(self.put, key, source) for key, source in items]
            try:
                for one in waiting:
                    one.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def local(self, key: str) -> AbstractContextManager[Path]:
        """A file of the cache with the bytes of ``key``; it must not be written.

        Raises:
            FileNotFoundError: there is no such key.
            TransientError: the service is unavailable, or the bytes that came are not those that were stored.
            PermanentError: the service refuses, or there is no room for the copy.
        """
        full = self._full(key)
        return self._cache.opened(self._name(full), lambda target: self._download(full, key, target))

    def exists(self, key: str) -> bool:
        """Whether ``key`` is there.

        Raises:
            S3Refusal, Unavailable: nobody can tell.
        """
        return self._digest_of(self._full(key), f"looking for {key}") is not None

    def delete(self, key: str) -> None:
        """Remove ``key``, and its copy on this machine. A missing one is no error.

        Raises:
            S3Refusal, Unavailable: it was not removed.
        """
        full = self._full(key)
        self._claim()
        self._bucket.request("delete_object", f"removing {key}", Key=full)
        self._cache.forget(self._name(full))

    def keys(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """(key, size in bytes, last modified as Unix seconds) of every key that starts with ``prefix``, in any order.

        Raises:
            S3Refusal, Unavailable: part of the store cannot be listed.
        """
        for page in pages(self._bucket, prefix, f"listing {prefix or 'the store'}"):
            for entry in page.entries:
                if not entry.key.endswith("/"):  # a folder that some tool drew
                    yield entry.key, entry.size_bytes, float(entry.modified_s)

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder on the volume of the cache; removed with the context."""
        return self._cache.scratch()

    def _claim(self) -> None:
        if self._mark is not None:
            self._mark.claim()

    def _full(self, key: str) -> str:
        if "\x00" in key or any(part in ("", ".", "..") for part in key.split("/")):
            raise ConfigError(f"blob key {key!r}: use names joined by single slashes, none of them '.' or '..'")
        return self._bucket.settings.key_prefix + key

    def _name(self, full: str) -> str:
        # Stores of two services may share one cache.
        return f"{self._bucket.settings.endpoint_url or 'aws'} {self._bucket.settings.bucket} {full}"

    def _stored(self, full: str, source: Path, sha256: str, doing: str) -> int:
        """Store ``source`` unless the key is there with the same bytes; what differs is replaced.

        The condition saves an immutable key from a writer that hung for hours; nothing relies on it.
        """
        asked: dict[str, object] = {"Metadata": {_DIGEST: sha256}}
        if self._has_conditions:
            try:
                return upload(self._bucket, full, source, doing, {**asked, "IfNoneMatch": "*"})
            except S3Refusal as e:
                if e.code not in _EXISTS + _NO_CONDITIONS:
                    raise
                if e.code in _EXISTS and self._digest_of(full, doing) == sha256:
                    return source.stat().st_size
                self._has_conditions = e.code in _EXISTS
        return upload(self._bucket, full, source, doing, asked)

    def _digest_of(self, full: str, doing: str) -> str | None:
        """The SHA-256 that an object carries, "" without one; ``None`` when there is no such object."""
        try:
            answer = self._bucket.request("head_object", doing, ("ETag",), Key=full)
        except S3Refusal as e:
            if not e.is_missing_key:
                raise
            # HEAD has no body, so a missing bucket looks the same; this raises for one.
            self._bucket.request("head_bucket", doing)
            return None
        return str(answer.get("Metadata", {}).get(_DIGEST, ""))

    def _download(self, full: str, key: str, target: Path) -> str:
        doing = f"reading {key}"
        try:
            found = download(self._bucket, full, target, doing, settles=False)
        except S3Refusal as e:
            if e.is_missing_key:
                raise FileNotFoundError(errno.ENOENT, "no such blob", key) from e
            raise
        if found.metadata.get(_DIGEST, found.sha256) != found.sha256:
            target.unlink(missing_ok=True)
            raise TransientError(f"{doing}: the bytes that came are not those that were stored; run again")
        return found.sha256

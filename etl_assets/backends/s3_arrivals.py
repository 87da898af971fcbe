"""Arrivals in a bucket: ``{prefix}/{tenant}/{collection}/any/path``, written by anybody at any moment.

What is a document follows the same rules as in a local folder: a part of a key that begins with a dot hides it, and
names are compared as the bytes they are. An empty object whose key ends in a slash is a folder that some tool drew,
and is ignored. A key with an empty part cannot name a document.

The fingerprint is ETag, size and last modified, and the version id where versions are listed. A change of an object's
tags alone does not show in a listing of S3; with ``reads_tags`` their digest is taken when the object is fetched.

The first document that is read leaves the empty object ``.etl-assets`` below the prefix, where the access key may
write: a store without it and without anything else is taken for a wrong prefix (``seems_lost``).
"""

import errno
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from etl_assets.backends.circuit import Unavailable
from etl_assets.backends.local_listing import is_utf8, shown
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_errors import S3Refusal
from etl_assets.backends.s3_listing import Entry, Page, fingerprint, pages, plain_etag, whole_seconds
from etl_assets.backends.s3_metadata import content_type_of, metadata_of, metadata_to_send
from etl_assets.backends.s3_transfer import Downloaded, download, upload
from etl_assets.errors import ConfigError, DataError, PermanentError
from etl_assets.protocols.objects import NAME, FetchedObject, ListedPage, ObjectAttributes, ObjectInfo, UnusableKey

TAGS = "s3-tags-sha256"
"""Name among an object's metadata of the digest of its tags."""

_MARK = ".etl-assets"
_RULE = "name is 1 to 64 of a-z, 0-9, _ and -"
_OF_THE_OBJECT = ("AccessDenied", "InvalidObjectState", "InvalidRequest")
"""Refusals to read that may be meant for one object: its own access rule, an archive, a key that its writer kept."""
_PROBES = 20


@dataclass(frozen=True, slots=True)
class _Level:
    """What stands directly in a folder: names of folders without their slash, and objects."""

    folders: list[str]
    entries: list[Entry]


class S3Arrivals:
    """Arrivals (see ``protocols.objects``) below the prefix of ``bucket``. Safe for any number of threads.

    ``page_keys`` is how many keys a page of a listing has at most; services give no more than 1,000.
    """

    def __init__(self, bucket: S3Bucket, *, page_keys: int = 1000) -> None:
        self._bucket = bucket
        self._page_keys = page_keys
        self._settings = bucket.settings
        self._has_read = False
        self._is_marked = False

    @property
    def concurrency(self) -> int:
        """How many objects are worth fetching at once: fetching waits for the network, not for a core."""
        return self._settings.concurrency

    def collections(self) -> list[tuple[str, str]]:
        """(tenant, collection) of every pair of folders with usable names that holds anything, sorted.

        One request, and one for each tenant.

        Raises:
            S3Refusal, Unavailable: the store cannot be listed.
        """
        tenants = [name for name in self._level("").folders if NAME.fullmatch(name)]
        levels = self._levels(tenants)
        return sorted(
            (tenant, name) for tenant, level in zip(tenants, levels, strict=True) for name in level.folders
            if NAME.fullmatch(name)
        )  # fmt: skip

    def strays(self) -> Iterator[UnusableKey]:
        """Every object outside a collection, or under a tenant or collection whose name breaks the rule.

        Raises:
            S3Refusal, Unavailable: part of the store cannot be listed.
        """
        outside = "lies outside every collection: move it to tenant/collection/"
        root = self._level("")
        yield from _unusable(root.entries, outside)
        tenants = [name for name in root.folders if NAME.fullmatch(name)]
        for name in root.folders:
            if not NAME.fullmatch(name):
                yield from self._all_unusable(f"{name}/", f"a tenant's {_RULE}")
        for tenant, level in zip(tenants, self._levels(tenants), strict=True):
            yield from _unusable(level.entries, outside)
            for name in level.folders:
                if not NAME.fullmatch(name):
                    yield from self._all_unusable(f"{tenant}/{name}/", f"a collection's {_RULE}")

    def list(self, tenant: str, collection: str) -> Iterator[ObjectInfo | UnusableKey]:
        """Every object of one collection, in the order of the service. A collection that does not exist is empty.

        One request for each 1,000 keys, and one page in memory.

        Raises:
            S3Refusal, Unavailable: part of it cannot be listed.
        """
        for page in self.pages(tenant, collection):
            yield from page.entries

    def pages(self, tenant: str, collection: str, *, after: str = "") -> Iterator[ListedPage]:
        """``list`` in pages, one request each; the position is the service's own token, in JSON.

        Raises:
            S3Refusal, Unavailable: a page cannot be had.
            PermanentError: ``after`` is no position, or one of a listing with versions where none are listed now.
        """
        if NAME.fullmatch(tenant) is None or NAME.fullmatch(collection) is None:
            yield ListedPage((), "")
            return
        prefix = f"{tenant}/{collection}/"
        for page in self._pages(prefix, versions=self._settings.lists_versions, position=_position(after, prefix)):
            found = [one for entry in page.entries if (one := _listed(entry)) is not None]
            yield ListedPage(found, json.dumps(page.following) if page.following else "")

    def seems_lost(self) -> str:
        """Why this may not be the store that documents were read from before; "" when nothing speaks for it.

        A prefix that is spelled wrong looks like a store whose last document went.

        Raises:
            S3Refusal, Unavailable: the store cannot be listed.
        """
        for page in self._pages(""):
            if page.entries:
                return ""
        return (
            f"object store {self._settings.shown}: has nothing in it; correct the bucket and the prefix, or put an "
            f"empty object {_MARK} there if every document is meant to go"
        )

    def look(self, key: str) -> ObjectInfo | None:
        """One key as a listing would show it now; ``None`` if it is gone, or cannot name a document.

        One request, and one more for a key that is gone: the answer to HEAD has no body, so a bucket that is gone
        looks the same.

        Raises:
            S3Refusal, Unavailable: it cannot be looked at.
        """
        try:
            doing = f"looking at {shown(_checked(key))}"
        except ConfigError:
            return None
        try:
            answer = self._bucket.request("head_object", doing, ("ETag", "LastModified"), Key=self._full(key))
        except S3Refusal as e:
            if e.status != 404:
                raise
            self._bucket.request("list_objects_v2", doing, ("IsTruncated",), Prefix=self._full(key), MaxKeys=1)
            return None
        version = str(answer.get("VersionId") or "null") if self._settings.lists_versions else None
        size = int(answer.get("ContentLength", 0))
        seen = fingerprint(plain_etag(answer["ETag"]), size, whole_seconds(answer["LastModified"]), version)
        return ObjectInfo(key, seen, size)

    def fetch(self, key: str, target: Path) -> FetchedObject:
        """Copy one object to the new file ``target``; on failure nothing is left there.

        An object written within the last second waits until the second is over, see ``s3_transfer.download``.

        Raises:
            FileNotFoundError: the key is gone.
            TransientError: the object changed while it was read, or the service is unavailable.
            DataError: this object cannot be read (``unreadable``), though others can: its own access rule, an archive.
            PermanentError: the service refuses, or there is no room for ``target``.
            ConfigError: ``key`` cannot name a document here.
        """
        doing = f"reading {shown(_checked(key))}"
        try:
            found = download(self._bucket, self._full(key), target, doing, settles=True)
        except S3Refusal as e:
            if e.is_missing_key:
                raise FileNotFoundError(errno.ENOENT, "no such object", key) from e
            if (e.code in _OF_THE_OBJECT or e.code.startswith("KMS.")) and self._reads_others(key):
                raise DataError(f"{shown(key)}: cannot be read: {e}", reason="unreadable") from e
            raise
        self._has_read = True
        self._mark()
        return FetchedObject(found.sha256, found.size_bytes, self._fingerprint(found), self._attributes(key, found))

    def put(self, key: str, source: Path, *, attributes: ObjectAttributes | None = None) -> None:
        """Write one object atomically: a listing sees it whole or not at all.

        Raises:
            ConfigError: ``key`` cannot name a document here, or a name among the metadata cannot be kept by S3.
            FileNotFoundError: there is no ``source``.
            S3Refusal, Unavailable: it was not written.
        """
        doing = f"writing {shown(_checked(key))}"
        upload(self._bucket, self._full(key), source, doing, metadata_to_send(attributes or ObjectAttributes()))

    def delete(self, key: str) -> None:
        """Remove one object. A missing one is no error.

        Raises:
            ConfigError: ``key`` cannot name a document here.
            S3Refusal, Unavailable: it was not removed.
        """
        self._bucket.request("delete_object", f"removing {shown(_checked(key))}", Key=self._full(key))

    def _full(self, key: str) -> str:
        return self._settings.key_prefix + key

    def _pages(
        self, prefix: str, *, delimiter: str = "", versions: bool = False, position: Mapping[str, str] | None = None
    ) -> Iterator[Page]:
        doing = f"listing {shown(prefix) or 'the store'}"
        return pages(
            self._bucket, prefix, doing, delimiter=delimiter, versions=versions, page_keys=self._page_keys,
            position=position,
        )  # fmt: skip

    def _level(self, prefix: str) -> _Level:
        level = _Level([], [])
        for page in self._pages(prefix, delimiter="/"):
            names = (folder[len(prefix) : -1] for folder in page.folders)
            level.folders.extend(name for name in names if not name.startswith("."))
            level.entries.extend(page.entries)
        return level

    def _levels(self, tenants: Sequence[str]) -> "Sequence[_Level]":
        with ThreadPoolExecutor(min(self.concurrency, max(len(tenants), 1)), thread_name_prefix="s3-list") as pool:
            return [*pool.map(self._level, (f"{tenant}/" for tenant in tenants))]

    def _all_unusable(self, prefix: str, problem: str) -> Iterator[UnusableKey]:
        for page in self._pages(prefix):
            yield from _unusable(page.entries, problem)

    def _fingerprint(self, found: Downloaded) -> str:
        version = found.version_id if self._settings.lists_versions else None
        return fingerprint(found.etag, found.size_bytes, found.modified_s, version)

    def _attributes(self, key: str, found: Downloaded) -> ObjectAttributes:
        metadata = metadata_of(found.metadata)
        if self._settings.reads_tags and found.tag_count:
            answer = self._bucket.request("get_object_tagging", f"reading tags of {shown(key)}", Key=self._full(key))
            tags = sorted((str(tag["Key"]), str(tag["Value"])) for tag in answer["TagSet"])
            metadata[TAGS] = hashlib.sha256(repr(tags).encode()).hexdigest()
        return ObjectAttributes(content_type_of(found.content_type), metadata)

    def _mark(self) -> None:
        """Leave the object that tells this store from a prefix without anything; a read-only one goes without."""
        if not self._is_marked:
            self._is_marked = True
            mark, doing = self._full(_MARK), f"marking {self._settings.shown}"
            try:
                if "Contents" not in self._bucket.request("list_objects_v2", doing, Prefix=mark, MaxKeys=1):
                    self._bucket.request("put_object", doing, Key=mark, Body=b"", **self._settings.encryption())
            except (S3Refusal, Unavailable):
                return

    def _reads_others(self, refused: str) -> bool:
        """Whether this access key reads any object at all: if so, it was one object that was refused to it.

        Else the key has no right to read, which is no document's fault: quarantining them all would hide it.
        """
        if not self._has_read:
            prefix = f"{refused.split('/')[0]}/"
            page = next(self._pages(prefix), Page([], []))
            others = [entry.key for entry in page.entries if entry.key != refused and not entry.key.endswith("/")]
            self._has_read = any(self._is_readable(key) for key in others[:_PROBES])
        return self._has_read

    def _is_readable(self, key: str) -> bool:
        try:
            self._bucket.request("head_object", f"looking at {shown(key)}", Key=self._full(key))
        except S3Refusal:
            return False
        return True


def _checked(key: str) -> str:
    segments = key.split("/")
    if len(segments) < 3 or not all(NAME.fullmatch(name) for name in segments[:2]):
        raise ConfigError(f"key {shown(key)}: use tenant/collection/path, names of 1 to 64 of a-z, 0-9, _ and -")
    if any(not name or name.startswith(".") for name in segments) or "\x00" in key or not is_utf8(key):
        raise ConfigError(f"key {shown(key)}: no part may be empty, start with a dot, hold a NUL or not be UTF-8")
    return key


def _position(after: str, prefix: str) -> dict[str, str]:
    try:
        found = json.loads(after or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise PermanentError(f"listing {shown(prefix)}: {after[:100]!r} is no position in it; begin it anew")
    return found


def _listed(entry: Entry) -> ObjectInfo | UnusableKey | None:
    problem = _problem(entry)
    if problem is None:
        return ObjectInfo(entry.key, entry.fingerprint, entry.size_bytes)
    return UnusableKey(shown(entry.key), problem, entry.fingerprint) if problem else None


def _is_hidden(entry: Entry) -> bool:
    return entry.key.startswith(".") or "/." in entry.key or (entry.key.endswith("/") and not entry.size_bytes)


def _problem(entry: Entry) -> str | None:
    """Why a key cannot name a document; "" for one that is not meant to, ``None`` for one that can."""
    if _is_hidden(entry):
        return ""
    if "//" in entry.key or entry.key.endswith("/"):
        return "has an empty part: no two slashes may follow each other, and none may end it"
    if "\x00" in entry.key:
        return "holds a NUL"
    return None


def _unusable(entries: Sequence[Entry], problem: str) -> Iterator[UnusableKey]:
    for entry in entries:
        if not _is_hidden(entry):
            yield UnusableKey(shown(entry.key), problem, entry.fingerprint)

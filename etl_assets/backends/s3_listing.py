"""Listing a bucket page by page: what each entry is, and that a listing is whole or an error.

Nothing depends on the order of keys: AWS and MinIO list by UTF-8 bytes, SeaweedFS directory by directory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from etl_assets.backends.s3_client import S3Bucket
from etl_assets.errors import PermanentError

_OBJECTS = {"ContinuationToken": "NextContinuationToken"}
_VERSIONS = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
"""Parameter that asks for the next page -> where the answer says it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing. ``key`` is below the store's prefix; ``modified_s`` is Unix time, in whole seconds.

    ``version_id`` is "null" for what was written without versioning, and ``None`` when versions were not listed.
    """

    key: str
    etag: str
    size_bytes: int
    modified_s: int
    version_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """See ``fingerprint``."""
        return fingerprint(self.etag, self.size_bytes, self.modified_s, self.version_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Up to 1,000 entries. ``folders`` are the common prefixes of a listing with a delimiter, each with its slash.

    ``following`` are the parameters that ask for the next page, none after the last.
    """

    entries: list[Entry]
    folders: list[str]
    following: Mapping[str, str] = field(default_factory=dict)


def fingerprint(etag: str, size_bytes: int, modified_s: int, version_id: str | None) -> str:
    """``etag-size-seconds`` or ``etag-size-seconds-version``, the same from a listing and from a GET.

    Some services list milliseconds, but HTTP headers have whole seconds.
    """
    parts = (etag, str(size_bytes), str(modified_s), *(() if version_id is None else (version_id,)))
    return "-".join(parts)


def plain_etag(etag: str) -> str:
    """An entity tag without quotes and without the mark of a weak one."""
    return etag.removeprefix("W/").strip('"')


def whole_seconds(moment: datetime) -> int:
    """Unix time of ``moment``, cut to whole seconds as HTTP headers are."""
    return int(moment.timestamp() // 1)


def pages(
    bucket: S3Bucket, prefix: str, doing: str, *, delimiter: str = "", versions: bool = False, page_keys: int = 1000,
    position: Mapping[str, str] | None = None,
) -> Iterator[Page]:  # fmt: skip
    """Everything below ``prefix`` (which is below the store's own), in the order of the service.

    Each page is asked for by the token of the one before, never by a key, and is attempted again by itself.
    ``position`` is ``following`` of an earlier page.

    Raises:
        Unavailable, S3Refusal: a page could not be had; what is missing must not look deleted.
        PermanentError: the service answers with what was not asked for, or with the same page again.
    """
    full = bucket.settings.key_prefix + prefix
    asked: dict[str, object] = {"Prefix": full, "MaxKeys": page_keys}
    if delimiter:
        asked["Delimiter"] = delimiter
    operation = "list_object_versions" if versions else "list_objects_v2"
    names = _VERSIONS if versions else _OBJECTS
    position = dict(position or {})
    if not names.keys() >= position.keys():
        raise PermanentError(f"{doing}: the listing was begun in another way; begin it anew")
    while True:
        # boto3 takes an empty body for a listing without keys (seen with 1.44): everything would look deleted.
        answer = bucket.request(operation, doing, ("IsTruncated",), **asked, **position)
        following = {name: str(answer[source]) for name, source in names.items() if answer.get(source)}
        page = _page(answer, full, len(bucket.settings.key_prefix), doing, versions=versions)
        if not answer["IsTruncated"]:
            yield page
            return
        if not following or following == position:
            raise PermanentError(
                f"{doing}: the service says that more follows, and not where; the listing is not whole"
            )
        yield replace(page, following=following)
        position = following


def _page(answer: Mapping[str, Any], full: str, skip: int, doing: str, *, versions: bool) -> Page:
    try:
        rows = (
            [row for row in answer.get("Versions", ()) if row["IsLatest"]] if versions else answer.get("Contents", ())
        )
        folders = [one["Prefix"] for one in answer.get("CommonPrefixes", ())]
        entries = [_entry(row, skip, versions=versions) for row in rows]
    except KeyError as e:
        raise PermanentError(f"{doing}: the service lists something without its {e.args[0]}") from e
    for key in (*(row["Key"] for row in rows), *folders):
        if not key.startswith(full):
            raise PermanentError(f"{doing}: the service lists keys that do not begin with what was asked for")
    return Page(entries, [folder[skip:] for folder in folders])


def _entry(row: Mapping[str, Any], skip: int, *, versions: bool) -> Entry:
    modified_s = whole_seconds(row["LastModified"])
    version = str(row.get("VersionId") or "null") if versions else None
    return Entry(row["Key"][skip:], plain_etag(row["ETag"]), int(row["Size"]), modified_s, version)

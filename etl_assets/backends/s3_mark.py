"""Whose a folder in a bucket is: one small object, put there on the condition that there is none."""

import threading
from contextlib import closing

from etl_assets.backends.ownership import Installation, foreign
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_errors import S3Refusal

KEY = ".etl-assets-installation"
"""A name with a dot before it, which no document has."""

_LOST = ("PreconditionFailed", "412")
_NO_CONDITIONS = ("NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedHeader", "501")
_SIZE_LIMIT = 256


class S3Mark:
    """The mark of ``installation`` on the folder of ``bucket``, which all stores below it share."""

    def __init__(self, bucket: S3Bucket, installation: Installation) -> None:
        self._bucket = bucket
        self._installation = installation
        self._lock = threading.Lock()
        self._is_claimed = False

    @property
    def shown(self) -> str:
        """The folder in a message."""
        return self._bucket.settings.shown

    def claim(self) -> None:
        """Mark the folder unless it is marked; one or two requests by the first call of a process, later ones none.

        Raises:
            ConfigError: it belongs to another installation.
            S3Refusal, Unavailable: nobody can tell.
        """
        if self._is_claimed:
            return
        with self._lock:
            mine = self._installation()
            if (marked(self._bucket) or self._put(mine)) != mine:
                raise foreign(self.shown, "set ETL_S3_BUCKET or ETL_S3_PREFIX to what no other installation uses")
            self._is_claimed = True

    def _put(self, mine: str) -> str:
        """The mark that stands there now: of several that put theirs at once one wins."""
        settings = self._bucket.settings
        asked: dict[str, object] = {"Key": _key(self._bucket), "Body": mine.encode(), **settings.encryption()}
        doing = "marking whose the store is"
        try:
            self._bucket.request("put_object", doing, (), IfNoneMatch="*", **asked)
        except S3Refusal as e:
            if e.code in _NO_CONDITIONS:
                self._bucket.request("put_object", doing, (), **asked)
            elif e.code not in _LOST:
                raise
        return marked(self._bucket) or mine


def marked(bucket: S3Bucket) -> str | None:
    """The installation that the folder of ``bucket`` belongs to, ``None`` while it has no mark.

    Raises:
        S3Refusal, Unavailable: nobody can tell.
    """

    def read() -> str:
        answer = bucket.once("get_object", doing, ("Body",), Key=_key(bucket))
        with closing(answer["Body"]) as body:
            return bytes(body.read(_SIZE_LIMIT)).decode("utf-8", "replace")

    doing = "looking whose the store is"
    try:
        return bucket.attempted(doing, read)
    except S3Refusal as e:
        if not e.is_missing_key:
            raise
        return None


def _key(bucket: S3Bucket) -> str:
    return bucket.settings.key_prefix + KEY

"""What steps printed about documents, where it is kept in a bucket."""

from collections.abc import Collection, Mapping

from etl_assets.backends.blanking import Blanking
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_listing import pages


class S3LogTraces:
    """Traces (see ``protocols.erasure``) in the objects of a folder of ``bucket``.

    A bucket with versioning keeps what an object was before; that is the bucket's own.
    """

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket

    def erase(self, names: Collection[str], texts: Collection[str]) -> Mapping[str, int]:
        """See ``Traces.erase``.

        Raises:
            Unavailable, S3Refusal: the store does not answer, or refuses.
        """
        blank = Blanking(names, texts)
        found = sum(
            self._in_object(self._bucket.settings.key_prefix + entry.key, blank)
            for page in pages(self._bucket, "", "listing what steps printed")
            for entry in page.entries
        )
        return {"log passages": found} if found else {}

    def _in_object(self, key: str, blank: Blanking) -> int:
        doing = "clearing what steps printed"
        before = self._bucket.attempted(
            doing, lambda: self._bucket.once("get_object", doing, ("Body",), Key=key)["Body"].read()
        )
        after, found = blank(before.decode("utf-8", "surrogateescape"))
        if found:
            body = after.encode("utf-8", "surrogateescape")
            self._bucket.request("put_object", doing, Key=key, Body=body, **self._bucket.settings.encryption())
        return found

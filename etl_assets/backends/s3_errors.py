"""What an error of boto3 means here, and messages that hold no secret. No request is made here.

Codes: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; MinIO's own begin with ``XMinio``.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from etl_assets.backends.circuit import Unavailable
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError
from etl_assets.redaction import NOT_SHOWN, redacted

_SHOWN_CHARACTERS = 300
_NOW_BUSY = frozenset(
    "SlowDown RequestTimeout RequestTimeoutException TooManyRequests RequestLimitExceeded BandwidthLimitExceeded "
    "Throttling ThrottlingException KMS.ThrottlingException ServiceUnavailable InternalError OperationAborted "
    "ConditionalRequestConflict BadDigest IncompleteBody".split()
)
"""May pass whatever their status. BadDigest and IncompleteBody: the bytes were damaged or cut off on their way."""
_FULL = frozenset("XMinioStorageFull XMinioAdminBucketQuotaExceeded QuotaExceeded InsufficientStorage".split())
_WRONG_REGION = frozenset(
    "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException 301 307".split()
)
_BAD_CREDENTIALS = frozenset(
    "InvalidAccessKeyId SignatureDoesNotMatch InvalidToken ExpiredToken TokenRefreshRequired InvalidClientTokenId "
    "AuthFailure Unauthorized 401".split()
)
_SIGNED = re.compile(
    r"(?i)(x-amz-(?:signature|credential|security-token)|signature|credential|awsaccesskeyid|authorization|password)"
    r"(\"?'?\s*[=:>]\s*b?[\"']?)(?:AWS4-HMAC-SHA256\s+)?[^\s&,;\"'<>]+"
)


class S3Refusal(PermanentError):
    """The service refused, and will refuse again. ``code`` is the service's own, or the HTTP status where none came."""

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def is_missing_key(self) -> bool:
        """Whether what is missing is the object, as far as the answer tells: HEAD does not tell it from the bucket."""
        return self.code in ("NoSuchKey", "NoSuchVersion", "404")

    @property
    def may_be_of_credentials(self) -> bool:
        """Whether other credentials might be accepted; an answer to HEAD has a status and no code."""
        return self.code in _BAD_CREDENTIALS or self.code == "403"

    def __reduce__(self) -> tuple[object, ...]:
        return (_refusal, (str(self), self.status, self.code))


def _refusal(message: str, status: int, code: str) -> S3Refusal:
    return S3Refusal(message, status=status, code=code)


class Redaction:
    """Takes secrets out of errors. ``secrets`` gives those in use now; each is replaced wherever it stands."""

    def __init__(self, secrets: Callable[[], Sequence[str]]) -> None:
        self._secrets = secrets

    def text(self, text: str) -> str:
        """``text`` without the secrets, and without what looks like a signature, a credential or a password."""
        return _SIGNED.sub(rf"\1\2{NOT_SHOWN}", redacted(text, *self._secrets()))

    def clean(self, error: Exception) -> Exception:
        """``error`` itself, whose texts hold no secret any more: as the cause of ours it is printed too.

        A server or a proxy may send back whatever it was sent, in the message of its refusal.
        """
        error.args = tuple(self.text(arg) if isinstance(arg, str) else arg for arg in error.args)
        details: object = getattr(error, "response", None)
        if isinstance(details, dict):
            error.response = self._without_secrets(details)  # type: ignore[attr-defined]
        if hasattr(error, "kwargs"):
            # The library's own errors keep what they were made of, live requests among it, which nobody needs.
            error.kwargs = {}
        # Below it are errors of the HTTP library, with the whole URL and sometimes the headers.
        error.__cause__ = None
        error.__context__ = None
        return error

    def _without_secrets(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self._without_secrets(one) for key, one in value.items()}
        return value


def translated(error: Exception, doing: str) -> EtlAssetsError:
    """Our error for one of boto3, to be raised from it.

    ``Unavailable`` for what may pass; ``S3Refusal`` for what the service refused; ``ConfigError`` for what stopped
    the request on this side.
    """
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    if isinstance(error, boto.ClientError):
        return _answered(error, doing)
    if isinstance(error, boto.SSLError) and "CERTIFICATE" in str(error).upper():
        remedy = "set the CA bundle of the service, or correct its certificate"
        return S3Refusal(f"{doing}: the certificate of the service is not trusted; {remedy}", status=0, code="SSLError")
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return ConfigError(f"{doing}: no complete credentials were found; set the access key id and secret access key")
    passing = (
        boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, boto.MetadataRetrievalError,
        boto.CredentialRetrievalError, ResponseParserError, HTTPError,
    )  # fmt: skip
    if isinstance(error, passing):
        return Unavailable(f"{doing}: {_short(error)}")
    return ConfigError(f"{doing}: the request cannot be made: {_short(error)}")


def _answered(error: Any, doing: str) -> EtlAssetsError:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    code = str(error.response.get("Error", {}).get("Code") or status)
    said = str(error.response.get("Error", {}).get("Message") or "")[:_SHOWN_CHARACTERS]
    what = f"{doing}: HTTP {status} {code}" + (f" ({said})" if said else "")
    if code in _FULL:
        return S3Refusal(f"{what}; make room, then run again", status=status, code=code)
    if code in _NOW_BUSY or status in (408, 429) or (status >= 500 and status not in (501, 505)):
        return Unavailable(what, retry_after_s=_seconds(headers.get("retry-after")))
    return S3Refusal(f"{what}{_remedy(status, code)}", status=status, code=code)


def _remedy(status: int, code: str) -> str:
    if code in _BAD_CREDENTIALS:
        return "; check the access key id, the secret access key and the session token"
    if code == "RequestTimeTooSkewed":
        return "; set the clock of this machine"
    if code == "NoSuchBucket":
        return "; check the name of the bucket and the endpoint, or create the bucket"
    if code in _WRONG_REGION:
        return "; set the region of the bucket"
    if code.startswith("KMS."):
        return "; check the KMS key and the right to use it"
    if status in (401, 403):
        return "; give this access key the right to it"
    return ""


def _seconds(header: object) -> float | None:
    try:
        return max(float(str(header)), 0.0)
    except ValueError:  # absent, or a date, which servers of S3 do not send
        return None


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:_SHOWN_CHARACTERS]}"

"""What an error of boto3 means for the services of AWS that keep keys, secrets and events. S3 has ``s3_errors``.

Messages hold a service's code and never its words: requests and answers are not part of them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError

_PASSING = frozenset(
    "DependencyTimeoutException InternalError InternalFailure InternalServiceError InternalServiceErrorException "
    "KMS.ThrottlingException KMSInternalException KeyUnavailableException KmsThrottled OverLimit RequestLimitExceeded "
    "RequestThrottled RequestTimeout ServiceUnavailable Throttling ThrottlingException TooManyRequestsException".split()
)


@dataclass(frozen=True, slots=True)
class Refusals:
    """How one service's refusals are told: what to do, by the service's code.

    ``settings`` are codes that a wrong setting causes; any other that is in neither mapping gets ``otherwise``.
    """

    settings: Mapping[str, str]
    otherwise: str
    remedies: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def aws_failures(what: str, refusals: Refusals) -> Iterator[None]:
    """boto3's errors as ours, whose messages begin with ``what``.

    Raises:
        ConfigError: a setting is wrong, or there are no credentials.
        PermanentError: the service refused, and will refuse again.
        TransientError: it is busy, or does not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except ClientError as e:
        # Not as its cause: its words may repeat the request, session token included.
        raise _refused(e, what, refusals) from None
    except (NoCredentialsError, PartialCredentialsError) as e:
        raise ConfigError(f"{what}: {e}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role") from e
    except BotoCoreError as e:
        raise TransientError(f"{what}: the service does not answer ({type(e).__name__}); try later") from e


def _refused(error: Any, what: str, refusals: Refusals) -> EtlAssetsError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in refusals.settings:
        return ConfigError(f"{what}: {refusals.settings[code]}")
    if code in _PASSING or status >= 500:
        return TransientError(f"{what}: {code}; try later")
    return PermanentError(f"{what}: {code}; {refusals.remedies.get(code, refusals.otherwise)}")

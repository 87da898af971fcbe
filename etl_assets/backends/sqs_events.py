"""Events of a bucket from an SQS queue.

API: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from etl_assets.backends.aws_errors import Refusals, aws_failures
from etl_assets.backends.s3_event_messages import read_message
from etl_assets.errors import ConfigError
from etl_assets.protocols.arrival_events import EventMessage

HIDDEN_S = 300
"""How long a received message is hidden from other receivers: longer than a tick may take. Then it comes again."""
_MOST = 10
"""SQS takes and gives no more messages in one request."""
_NO_QUEUE = "there is no such queue; check its URL and region"
_REFUSALS = Refusals(
    settings=dict.fromkeys(
        ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue"), _NO_QUEUE
    ),
    otherwise="allow sqs:ReceiveMessage and sqs:DeleteMessage on it, and kms:Decrypt if it is encrypted",
)


def queue_client(
    queue_url: str,
    *,
    region: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    session_token: str | None = None,
    profile: str | None = None,
    timeout_s: float = 10.0,
) -> Any:
    """A client of boto3 for the service that ``queue_url`` names, with its own bounded retries.

    Raises:
        ConfigError: the URL or the region cannot be used.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    parts = urlsplit(queue_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ConfigError("the queue of arrivals: use the URL of an SQS queue, https://HOST/ACCOUNT/NAME")
    is_aws = parts.hostname.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    labels = parts.hostname.split(".")
    named = labels[1] if is_aws and labels[0] == "sqs" else None
    config = Config(connect_timeout=timeout_s, read_timeout=timeout_s, retries={"mode": "standard", "max_attempts": 4})
    try:
        session = boto3.Session(
            aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key,
            aws_session_token=session_token, profile_name=profile,
        )  # fmt: skip
        return session.client(
            "sqs", region_name=named or region or session.region_name or (None if is_aws else "us-east-1"),
            endpoint_url=None if is_aws else f"{parts.scheme}://{parts.netloc}", config=config,
        )  # fmt: skip
    except (BotoCoreError, ValueError) as e:
        raise ConfigError(f"the queue of arrivals: {e}; set AWS_REGION") from e


class SqsEvents:
    """``ArrivalEvents`` of the bucket's keys below ``prefix``. ``client`` is boto3's, see ``queue_client``."""

    def __init__(self, client: Any, queue_url: str, *, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._url = queue_url
        self._bucket = bucket
        self._prefix = prefix

    def receive(self) -> Sequence[EventMessage]:
        """Up to ten messages, hidden for ``HIDDEN_S``. Raises as ``ArrivalEvents.receive``."""
        with aws_failures("the queue of arrivals: reading", _REFUSALS):
            answer = self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=_MOST, VisibilityTimeout=HIDDEN_S, WaitTimeSeconds=1
            )
        found = answer.get("Messages", ())
        return [
            read_message(str(one.get("Body", "")), one["ReceiptHandle"], self._bucket, self._prefix) for one in found
        ]

    def done(self, messages: Sequence[EventMessage]) -> int:
        """Take messages out of the queue; how many could not be. Raises as ``ArrivalEvents.done``."""
        failed = 0
        for start in range(0, len(messages), _MOST):
            part = messages[start : start + _MOST]
            entries = [{"Id": str(n), "ReceiptHandle": one.receipt} for n, one in enumerate(part)]
            with aws_failures("the queue of arrivals: taking messages out", _REFUSALS):
                answer = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
            failed += len(answer.get("Failed", ()))
        return failed

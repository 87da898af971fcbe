"""What a message about a bucket says: the keys that something happened to.

Read are S3's own notifications (MinIO's too), S3's events of EventBridge, and both inside an envelope of SNS. What
happened, and in which order (``sequencer``), is left aside on purpose: messages come twice and in any order, so each
key is looked up in the store.

Formats: docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and ev-events.html
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from etl_assets.protocols.arrival_events import EventMessage

_ENVELOPES = 3
"""SNS may deliver what another SNS topic wrapped; nobody wraps more often."""
_SHOWN_CHARACTERS = 200


class _Strange(ValueError):
    """The message cannot be read; its text says why."""


def read_message(text: str, receipt: str, bucket: str, prefix: str) -> EventMessage:
    """The keys of ``bucket`` below ``prefix`` that a message names.

    A message that cannot be read has no keys and a problem. Keys outside the prefix are somebody else's: left out.
    """
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    keys: list[str] = []
    problem = ""
    try:
        for owner, key in _records(_unwrapped(text)):
            if owner != bucket:
                problem = f"tells of the bucket {ascii(owner[:64])}, not of {bucket}"
            elif key.startswith(prefix):
                keys.append(key.removeprefix(prefix))
    except _Strange as e:
        problem = f"{e}: {ascii(text[:_SHOWN_CHARACTERS])}"
    return EventMessage(receipt, digest, tuple(dict.fromkeys(keys)), problem)


def _unwrapped(text: str) -> Mapping[str, Any]:
    for _ in range(_ENVELOPES):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise _Strange("is not JSON") from e
        if not isinstance(value, dict):
            raise _Strange("is no JSON object")
        if value.get("Type") == "Notification" and isinstance(value.get("Message"), str):
            text = value["Message"]
            continue
        return value
    raise _Strange("is wrapped too often")


def _records(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if value.get("Event") == "s3:TestEvent" or value.get("Type") == "SubscriptionConfirmation":
        return
    records = value.get("Records")
    if isinstance(records, list):
        for record in records:
            # Only in notifications is a key written as in a form: EventBridge has it as it is.
            owner, key = _named(record, "s3")
            yield owner, _decoded(key)
    elif value.get("source") == "aws.s3" and "detail" in value:
        yield _named(value, "detail")
    else:
        raise _Strange("is no event of S3")


def _named(record: object, part: str) -> tuple[str, str]:
    try:
        inside = record[part]  # type: ignore[index]
        owner, key = inside["bucket"]["name"], inside["object"]["key"]
    except (KeyError, TypeError, IndexError) as e:
        raise _Strange("names no bucket and key") from e
    if not isinstance(owner, str) or not isinstance(key, str):
        raise _Strange("names no bucket and key")
    return owner, key


def _decoded(key: str) -> str:
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError as e:
        raise _Strange("names a key that is not UTF-8") from e

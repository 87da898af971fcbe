"""User metadata and content types as S3 keeps them: ASCII headers, whose other characters are written by RFC 2047.

docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

import base64
import re
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header

from etl_assets.errors import ConfigError
from etl_assets.protocols.objects import ObjectAttributes

_UNKNOWN_TYPE = "binary/octet-stream"
_SAYS_NOTHING = (_UNKNOWN_TYPE, "application/octet-stream")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_ENCODED = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=")


def metadata_to_send(attributes: ObjectAttributes) -> dict[str, object]:
    """Parameters of a write that keep ``attributes``.

    Raises:
        ConfigError: a name has other characters than a-z, 0-9, ``_``, ``.`` and ``-``: S3 would change it.
    """
    for name in attributes.metadata:
        if _NAME.fullmatch(name) is None:
            raise ConfigError(f"metadata {name!r}: S3 keeps names of 1 to 128 of a-z, 0-9, _, . and - only")
    values = {name: _sent(value) for name, value in attributes.metadata.items()}
    # Said in any case: a service that is not told guesses from the key.
    return {"ContentType": attributes.content_type or _UNKNOWN_TYPE, "Metadata": values}


def metadata_of(received: Mapping[str, str]) -> dict[str, str]:
    """User metadata as text, by name."""
    return {name.lower(): _received(received[name]) for name in sorted(received)}


def content_type_of(received: str | None) -> str | None:
    """The content type, unless it is one that services give to what has none."""
    return None if received in _SAYS_NOTHING else received or None


def _sent(value: str) -> str:
    if _PLAIN.fullmatch(value) and not _ENCODED.search(value):
        return value
    return f"=?UTF-8?B?{base64.b64encode(value.encode('utf-8', 'backslashreplace')).decode()}?="


def _received(value: str) -> str:
    if _ENCODED.search(value):
        return _decoded(value)
    try:
        # Some services send UTF-8 as it is, which HTTP libraries read as Latin-1.
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _decoded(value: str) -> str:
    try:
        parts = decode_header(value)
        return "".join(part if isinstance(part, str) else part.decode(charset or "ascii") for part, charset in parts)
    except (HeaderParseError, UnicodeError, LookupError):  # it only looked like an encoded word
        return value

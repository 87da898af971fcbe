"""Mailboxes of many mails, one after the other (RFC 4155)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_START = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From [^\r\n]{1,200}\d{4}[^\r\n]{0,40}\r?\n(?=[A-Za-z-]{1,60}:)")


def mails_of(data: bytes) -> Iterator[bytes]:
    """Every mail, without the line that begins with ``From`` and a space and parts it from the one before."""
    starts = [match.start() for match in _START.finditer(data)]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield data[data.index(b"\n", start) + 1 : end]


def is_mbox(data: bytes) -> bool:
    """Whether bytes hold two mails or more."""
    starts = _START.finditer(data)
    return next(starts, None) is not None and next(starts, None) is not None

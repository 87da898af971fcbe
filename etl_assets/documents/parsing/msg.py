"""Outlook messages: subject, headers people read, body, and attachments as pages. [MS-OXMSG], [MS-OXPROPS]."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from etl_assets.documents.parsing.compound import CompoundFile
from etl_assets.documents.parsing.document import MAX_DEPTH, Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.html import declared_charset, html_page
from etl_assets.documents.parsing.members import Members
from etl_assets.documents.parsing.properties import instant
from etl_assets.documents.parsing.text import PageBuilder, decode, one_line
from etl_assets.errors import DataError

_SUBJECT, _FROM, _FROM_ADDRESS, _TO, _CC, _BODY, _HTML = "0037", "0C1A", "5D01", "0E04", "0E03", "1000", "1013"
_NAME, _SHORT_NAME, _MEDIA_TYPE, _DATA = "3707", "3704", "370E", "3701"
_SENT = (0x0039, 0x0E06)
_ATTACHMENT = re.compile(r"(__attach_version1\.0_#[0-9A-Fa-f]{8})/")
_EMBEDDED = "__substg1.0_3701000D"
_MESSAGE = re.compile(rf"(__attach_version1\.0_#[0-9A-Fa-f]{{8}})/{_EMBEDDED}/")
_MEDIA = "application/vnd.ms-outlook"


def parse_msg(source: Source, parse_part: Callable[[Source], Extract]) -> Extract:
    """Page 1 is the message, and every attachment follows with its own pages, as those of a mail do.

    Raises:
        DataError: ``truncated`` or ``corrupt``.
    """
    return _message(CompoundFile(source.read()), "", source, parse_part)


def _message(file: CompoundFile, folder: str, source: Source, parse_part: Callable[[Source], Extract]) -> Extract:
    """The message whose streams are in ``folder``, which ends with "/" or is the file itself."""
    budget = TextBudget()
    date = _sent(file, folder)
    attached = Members(parse_part, budget, [_page(file, folder, date, budget)])
    paths = [path.removeprefix(folder) for path in file.streams() if path.startswith(folder)]
    held = {match.group(1): path for path in paths if (match := _ATTACHMENT.match(path))}
    messages = {match.group(1) for path in paths if (match := _MESSAGE.match(path))}
    for number, inner in enumerate(held, 1):
        if inner in messages:
            _add_message(attached, file, f"{folder}{inner}/{_EMBEDDED}/", source, parse_part, number)
        else:
            attached.add(_attachment(file, f"{folder}{inner}/", source, number))
    return Extract(
        pages=attached.pages,
        method="own reader of [MS-OXMSG]",
        title=one_line(_text(file, folder, _SUBJECT)) or None,
        date=date,
        source=_sender(file, folder),
        facts=attached.facts("attachments"),
    )


def _add_message(
    attached: Members,
    file: CompoundFile,
    folder: str,
    source: Source,
    parse_part: Callable[[Source], Extract],
    number: int,
) -> None:
    """Add a message within the message, which is a folder of the same file."""
    name = one_line(_text(file, folder, _SUBJECT)) or f"message {number}"
    inner = source.member(name, b"", media_type=_MEDIA)
    if inner.depth >= MAX_DEPTH:
        attached.refuse(name, DataError("is too deep to be opened", reason="nesting"), media_type=_MEDIA)
    else:
        attached.keep(name, _message(file, folder, inner, parse_part), media_type=_MEDIA)


def _attachment(file: CompoundFile, folder: str, source: Source, number: int) -> Source:
    name = _text(file, folder, _NAME) or _text(file, folder, _SHORT_NAME) or f"attachment {number}"
    data = file.read(f"{folder}__substg1.0_{_DATA}0102")
    return source.member(one_line(name), data, media_type=_text(file, folder, _MEDIA_TYPE) or None)


def _text(file: CompoundFile, folder: str, name: str) -> str:
    wide = file.read(f"{folder}__substg1.0_{name}001F")
    if wide:
        return wide.decode("utf-16-le", "replace").rstrip("\x00")
    narrow = file.read(f"{folder}__substg1.0_{name}001E")
    return decode(narrow)[0].rstrip("\x00") if narrow else ""


def _sender(file: CompoundFile, folder: str) -> str | None:
    name, address = one_line(_text(file, folder, _FROM)), one_line(_text(file, folder, _FROM_ADDRESS))
    return f"{name} <{address}>" if name and address and name != address else name or address or None


def _page(file: CompoundFile, folder: str, date: str | None, budget: TextBudget) -> Page:
    builder = PageBuilder(budget)
    builder.add(_text(file, folder, _SUBJECT), level=1)
    to, copies = _text(file, folder, _TO), _text(file, folder, _CC)
    headers = {"From": _sender(file, folder), "To": to, "Cc": copies, "Date": date}
    for name, value in headers.items():
        if value:
            builder.add(f"{name}: {one_line(value)}", group="headers")
    body = _text(file, folder, _BODY)
    html = file.read(f"{folder}__substg1.0_{_HTML}0102") or _text(file, folder, _HTML).encode()
    if not body.strip() and html:
        from selectolax.lexbor import LexborHTMLParser

        body = html_page(LexborHTMLParser(decode(html, declared_charset(html))[0]), 1, budget).text
    builder.add(body)
    return builder.page(1)


def _sent(file: CompoundFile, folder: str) -> str | None:
    """When it was sent, or else delivered: fixed properties of eight bytes, after a head of 32 bytes, or 24 within."""
    data = file.read(f"{folder}__properties_version1.0")
    for at in range(24 if folder else 32, len(data) - 15, 16):
        kind, number = struct.unpack_from("<HH", data, at)
        if kind == 0x40 and number in _SENT and (found := instant(struct.unpack_from("<Q", data, at + 8)[0])):
            return found
    return None

"""Outlook messages: subject, headers people read, body, and attachments as pages. [MS-OXMSG], [MS-OXPROPS]."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from etl_assets.documents.parsing.compound import CompoundFile
from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.html import declared_charset, html_page
from etl_assets.documents.parsing.members import Members
from etl_assets.documents.parsing.properties import instant
from etl_assets.documents.parsing.text import PageBuilder, decode, one_line

_SUBJECT, _FROM, _FROM_ADDRESS, _TO, _CC, _BODY, _HTML = "0037", "0C1A", "5D01", "0E04", "0E03", "1000", "1013"
_NAME, _SHORT_NAME, _MEDIA_TYPE, _DATA = "3707", "3704", "370E", "3701"
_SENT = (0x0039, 0x0E06)
_ATTACHMENT = re.compile(r"(__attach_version1\.0_#[0-9A-Fa-f]{8})/")
_EMBEDDED = "__substg1.0_3701000D"


def parse_msg(source: Source, parse_part: Callable[[Source], Extract]) -> Extract:
    """Page 1 is the message, and every attachment follows with its own pages, as those of a mail do.

    A message within the message is told in ``attachments`` and not opened.

    Raises:
        DataError: ``truncated`` or ``corrupt``.
    """
    file = CompoundFile(source.read())
    budget = TextBudget()
    date = _sent(file)
    attached = Members(parse_part, budget, [_page(file, date, budget)])
    folders = dict.fromkeys(m.group(1) for path in file.streams() if (m := _ATTACHMENT.match(path)))
    for number, folder in enumerate(folders, 1):
        if any(path.startswith(f"{folder}/{_EMBEDDED}/") for path in file.streams()):
            attached.records.append({"name": f"message {number}", "media_type": None, "reason": "nesting"})
            continue
        name = _text(file, f"{folder}/", _NAME) or _text(file, f"{folder}/", _SHORT_NAME) or f"attachment {number}"
        data = file.read(f"{folder}/__substg1.0_{_DATA}0102")
        media_type = _text(file, f"{folder}/", _MEDIA_TYPE) or None
        attached.add(Source(name=one_line(name), data=data, media_type=media_type, depth=source.depth + 1))
    return Extract(
        pages=attached.pages,
        method="own reader of [MS-OXMSG]",
        title=one_line(_text(file, "", _SUBJECT)) or None,
        date=date,
        source=_sender(file),
        facts={"attachments": attached.records} if attached.records else {},
    )


def _text(file: CompoundFile, folder: str, name: str) -> str:
    wide = file.read(f"{folder}__substg1.0_{name}001F")
    if wide:
        return wide.decode("utf-16-le", "replace").rstrip("\x00")
    narrow = file.read(f"{folder}__substg1.0_{name}001E")
    return decode(narrow)[0].rstrip("\x00") if narrow else ""


def _sender(file: CompoundFile) -> str | None:
    name, address = one_line(_text(file, "", _FROM)), one_line(_text(file, "", _FROM_ADDRESS))
    return f"{name} <{address}>" if name and address and name != address else name or address or None


def _page(file: CompoundFile, date: str | None, budget: TextBudget) -> Page:
    builder = PageBuilder(budget)
    builder.add(_text(file, "", _SUBJECT), level=1)
    headers = {"From": _sender(file), "To": _text(file, "", _TO), "Cc": _text(file, "", _CC), "Date": date}
    for name, value in headers.items():
        if value:
            builder.add(f"{name}: {one_line(value)}", group="headers")
    body = _text(file, "", _BODY)
    html = file.read(f"__substg1.0_{_HTML}0102") or _text(file, "", _HTML).encode()
    if not body.strip() and html:
        from selectolax.lexbor import LexborHTMLParser

        body = html_page(LexborHTMLParser(decode(html, declared_charset(html))[0]), 1, budget).text
    builder.add(body)
    return builder.page(1)


def _sent(file: CompoundFile) -> str | None:
    """When it was sent, or else delivered: fixed properties of eight bytes, after a head of 32 bytes."""
    data = file.read("__properties_version1.0")
    for at in range(32, len(data) - 15, 16):
        kind, number = struct.unpack_from("<HH", data, at)
        if kind == 0x40 and number in _SENT and (found := instant(struct.unpack_from("<Q", data, at + 8)[0])):
            return found
    return None

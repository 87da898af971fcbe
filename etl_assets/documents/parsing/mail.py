"""Mail (RFC 5322, MIME) by the standard library: the message is a page, its attachments are the pages after it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import EmailPolicy, compat32

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.html import html_page
from etl_assets.documents.parsing.members import Members
from etl_assets.documents.parsing.text import PageBuilder, decode, one_line
from etl_assets.errors import DataError

MAX_PARTS = 1000
MAX_HEADER_CHARS = 20_000
"""Longer headers are kept as they are written: the standard library takes a gigabyte for half a megabyte of them."""
_SHOWN = ("From", "To", "Cc", "Date")
_BAD_HEADER = (ValueError, TypeError, AttributeError, LookupError, OverflowError, MessageError)
"""What the standard library's header parser lets pass on hostile headers (its bug tracker has one of each)."""


class _Policy(EmailPolicy):
    """The usual policy, with a bound on what is taken apart."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value if len(value) > MAX_HEADER_CHARS else super().header_fetch_parse(name, value)


_POLICY = _Policy()


def parse_mail(source: Source, parse_part: Callable[[Source], Extract]) -> Extract:
    """Page 1 is the subject, the headers people read and the body (plain text before HTML).

    Every attachment follows with its own pages, read by ``parse_part``. ``attachments`` in the facts says of each its
    name, type and pages, or why it has none; a part that cannot be read costs that part only.
    """
    message = BytesParser(EmailMessage, policy=_POLICY).parsebytes(source.read())
    assert isinstance(message, EmailMessage)
    budget = TextBudget()
    pages = [_message_page(message, budget)]
    attached = Members(parse_part, budget, pages)
    for part in _attachments(message):
        name = one_line(_filename(part)) or f"attachment {len(attached.records) + 1}"
        attached.add(_part_source(part, name, source))
    return Extract(
        pages=pages,
        method=f"python email {'.'.join(map(str, sys.version_info[:3]))}",
        title=header(message, "Subject"),
        date=_sent(message),
        source=header(message, "From"),
        encoding=_body_charset(message),
        facts=attached.facts("attachments"),
    )


def header(message: EmailMessage, name: str) -> str | None:
    """A header's decoded text on one line; None when absent, empty or beyond what the standard library can read."""
    try:
        value = message.get(name)
    except _BAD_HEADER:
        value = next((v for k, v in message.raw_items() if k.lower() == name.lower()), None)
    return one_line(str(value)) or None if value is not None else None


def _sent(message: EmailMessage) -> str | None:
    try:
        sent = message.get("Date")
        return sent.datetime.date().isoformat() if sent is not None and sent.datetime is not None else None
    except _BAD_HEADER:
        return iso_date(header(message, "Date"))


def _message_page(message: EmailMessage, budget: TextBudget) -> Page:
    builder = PageBuilder(budget)
    builder.add(header(message, "Subject") or "", level=1)
    for name in _SHOWN:
        value = header(message, name)
        if value:
            builder.add(f"{name}: {value}", group="headers")
    for part in _bodies(message):
        text, _ = _part_text(part)
        if part.get_content_subtype() == "html":
            from selectolax.lexbor import LexborHTMLParser

            text = html_page(LexborHTMLParser(text), 1, budget).text
        builder.add(text)
    return builder.page(1)


def _walk(message: EmailMessage) -> Iterator[EmailMessage]:
    """Leaf parts in order; of alternatives the plain text, or when that is empty the last, which is the richest."""
    stack = [message]
    seen = 0
    while stack:
        part = stack.pop()
        seen += 1
        if seen > MAX_PARTS:
            raise DataError(f"has more than {MAX_PARTS} parts", reason="too-large")
        children = [p for p in part.get_payload() if isinstance(p, EmailMessage)] if part.is_multipart() else []
        if not children or part.get_content_type() == "message/rfc822":
            yield part
        elif part.get_content_subtype() == "alternative":
            plain = [p for p in children if p.get_content_type() == "text/plain" and _part_text(p)[0].strip()]
            stack.append(plain[0] if plain else children[-1])
        else:
            stack.extend(reversed(children))


def _is_body(part: EmailMessage) -> bool:
    is_text = part.get_content_type() in ("text/plain", "text/html")
    return is_text and not _filename(part) and _disposition(part) != "attachment"


def _bodies(message: EmailMessage) -> Iterator[EmailMessage]:
    return (part for part in _walk(message) if _is_body(part))


def _attachments(message: EmailMessage) -> Iterator[EmailMessage]:
    return (part for part in _walk(message) if not _is_body(part) and part.get_content_maintype() != "multipart")


def _filename(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except _BAD_HEADER:
        return ""


def _disposition(part: EmailMessage) -> str | None:
    try:
        return part.get_content_disposition()
    except _BAD_HEADER:
        return None


def _charset(part: EmailMessage) -> str | None:
    try:
        return part.get_content_charset()
    except _BAD_HEADER:
        return None


def _bytes(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _part_text(part: EmailMessage) -> tuple[str, str]:
    return decode(_bytes(part), _charset(part))


def _body_charset(message: EmailMessage) -> str:
    return next((_part_text(part)[1] for part in _bodies(message)), "us-ascii")


def _part_source(part: EmailMessage, name: str, mail: Source) -> Source:
    if part.get_content_type() == "message/rfc822":
        payload = part.get_payload() if part.is_multipart() else []
        inner = next((p for p in payload if isinstance(p, EmailMessage)), None)
        data = inner.as_bytes(policy=compat32) if inner is not None else _bytes(part)
        return mail.member(name, data, media_type="message/rfc822")
    return mail.member(name, _bytes(part), media_type=part.get_content_type(), charset=_charset(part))

"""Which kind of document some bytes are: by their content; a name's ending only settles ties between kinds of text."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import PurePosixPath
from typing import Literal, TypeAlias, get_args

from etl_assets.documents.parsing.chunk_file import MARK
from etl_assets.documents.parsing.compound import CompoundFile
from etl_assets.documents.parsing.delimited import sniff_delimiter
from etl_assets.documents.parsing.document import Source
from etl_assets.documents.parsing.json_values import loads
from etl_assets.documents.parsing.mbox import is_mbox
from etl_assets.documents.parsing.ooxml import BROKEN_ZIP, office_main_part, open_archive
from etl_assets.documents.parsing.text import decode
from etl_assets.errors import DataError

DocumentType: TypeAlias = Literal[
    "pdf", "docx", "pptx", "xlsx", "html", "markdown", "text", "json", "csv", "eml", "image", "rtf", "odt", "ods",
    "odp", "epub", "doc", "xls", "ppt", "msg", "archive", "chunks", "xml",
]  # fmt: skip
DOCUMENT_TYPES: tuple[DocumentType, ...] = get_args(DocumentType)

MEDIA_TYPES: dict[DocumentType, str] = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "markdown": "text/markdown",
    "text": "text/plain",
    "json": "application/json",
    "csv": "text/csv",
    "eml": "message/rfc822",
    "image": "image/*",
    "rtf": "application/rtf",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "epub": "application/epub+zip",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
    "archive": "application/zip",
    "chunks": "application/x-ndjson",
    "xml": "application/xml",
}

_SUFFIXES: dict[str, DocumentType] = {
    "md": "markdown", "markdown": "markdown", "mdx": "markdown", "txt": "text", "text": "text", "log": "text",
    "json": "json", "jsonl": "json", "ndjson": "json", "csv": "csv", "tsv": "csv", "htm": "html", "html": "html",
    "xhtml": "html", "eml": "eml", "mht": "eml", "xml": "xml", "rss": "xml", "atom": "xml", "svg": "xml",
}  # fmt: skip
_DECLARED: dict[str, DocumentType] = {
    **{media_type: kind for kind, media_type in MEDIA_TYPES.items() if kind != "chunks"},
    "application/xhtml+xml": "html", "text/x-markdown": "markdown", "text/tab-separated-values": "csv",
    "application/x-ndjson": "json", "application/jsonl": "json", "text/xml": "xml", "image/svg+xml": "xml",
}  # fmt: skip
_MAGIC = (
    (b"RIFF", "a RIFF media file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"), (b"(\xb5/\xfd", "a Zstandard archive"), (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"), (b"MZ", "a program"), (b"SQLite format 3", "an SQLite database"),
    (b"PAR1", "a Parquet file"), (b"OggS", "an Ogg media file"), (b"ID3", "an MP3 file"), (b"\xffWPC", "WordPerfect"),
    (b"%!PS", "PostScript"), (b"AT&TFORM", "DjVu"), (b"wOF", "a web font"), (b"\x00asm", "WebAssembly"),
    (b"\xca\xfe\xba\xbe", "a compiled class or program"), (b"\x93NUMPY", "a NumPy array"), (b"ARROW1", "an Arrow file"),
)  # fmt: skip
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"BM")
"""Whole: tesseract takes a file that begins otherwise for a list of the files that it is to read."""
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_STREAMS: tuple[tuple[str, DocumentType], ...] = (
    ("WordDocument", "doc"), ("Workbook", "xls"), ("Book", "xls"), ("PowerPoint Document", "ppt"),
    ("__properties_version1.0", "msg"),
)  # fmt: skip
_MIME_TYPES: tuple[tuple[str, DocumentType], ...] = (
    ("application/vnd.oasis.opendocument.text", "odt"), ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/vnd.oasis.opendocument.presentation", "odp"), ("application/epub+zip", "epub"),
)  # fmt: skip
_MAIN_PARTS: tuple[tuple[str, DocumentType], ...] = (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx"))
_HTML_START = re.compile(r"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_HTML_TAG = re.compile(
    r"</?(?:p|div|span|h[1-6]|table|tr|td|ul|ol|li|a|br|b|i|strong|em|img|center|font)(?![\w:.-])[^<>]*>", re.I
)
_XML_START = re.compile(r"\s*<(?:\?xml|!DOCTYPE|!--|[A-Za-z_][\w.-]*(?::[\w.-]+)?(?:\s+[\w:.-]+\s*=|\s*/?>))")
_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60}):[ \t]?[^\n]*\n(?:[ \t]+[^\n]*\n)*")
_MAIL_HEADERS = frozenset((
    "from", "to", "cc", "subject", "date", "message-id", "received", "mime-version", "return-path", "reply-to",
    "delivered-to", "content-type", "sender",
))  # fmt: skip
_MARKDOWN = (
    re.compile(r"^#{1,6} \S", re.M), re.compile(r"^(?:```|~~~)", re.M),
    re.compile(r"\[[^\[\]\n]{1,300}\]\([^)\s]{1,300}\)"),
    re.compile(r"^ {0,3}[-*+] \S", re.M), re.compile(r"\*\*[^*\n]+\*\*"), re.compile(r"^\|.*\|[ \t]*$", re.M),
)  # fmt: skip
_SAMPLE_BYTES = 262_144
_SAMPLE_CHARS = 65_536


def detect(source: Source) -> DocumentType:
    """The kind of document that ``source`` is.

    Raises:
        DataError: ``empty``; ``unsupported-type``, naming what it looks like; ``encrypted`` for an office file under
            a password; ``truncated``, ``corrupt`` or ``too-large`` for an office package that cannot be opened.
    """
    head = source.head(_SAMPLE_BYTES)
    if not head:
        raise DataError("has no bytes; upload it again", reason="empty")
    if head.startswith(MARK):
        return "chunks"
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _detect_package(source, head)
    if head.startswith(_OLE):
        return _detect_legacy(source)
    if head.startswith(b"{\\rtf"):
        return "rtf"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or head[257:262] == b"ustar":
        return "archive"
    if _is_image(head):
        return "image"
    for magic, name in _MAGIC:
        if head.startswith(magic) and not (len(magic) < 4 and _is_text(head)):
            raise _unsupported(name)
    if head[4:8] == b"ftyp":
        raise _unsupported("an MP4 or HEIF media file")
    if head.startswith(b"From ") and is_mbox(head):
        return "archive"
    if not _is_text(head):
        raise _unsupported("binary data of no known kind")
    return _detect_text(decode(head, source.charset)[0], _hint(source), is_whole=len(head) < _SAMPLE_BYTES)


def _unsupported(what: str) -> DataError:
    return DataError(f"looks like {what}; read are {', '.join(DOCUMENT_TYPES)}", reason="unsupported-type")


def _is_image(head: bytes) -> bool:
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    return head.startswith(_IMAGES) and not (head.startswith(b"BM") and _is_text(head))


def _hint(source: Source) -> DocumentType | None:
    """What the name's ending says, or else the declared media type: a guess by whoever stored it."""
    suffix = PurePosixPath(source.name).suffix.lower().lstrip(".")
    declared = (source.media_type or "").split(";")[0].strip().lower()
    return _SUFFIXES.get(suffix) or _DECLARED.get(declared)


def _is_text(head: bytes) -> bool:
    """Whether bytes read as text: hardly any control characters in the encoding they seem to have."""
    sample = head[:8192]
    if sample.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    text = decode(sample)[0]
    controls = sum(c < " " and c not in "\t\n\r\x0b\x0c\x1b\x1a" or c == "\x7f" for c in text)
    return controls * 100 <= len(text)


def _detect_package(source: Source, head: bytes) -> DocumentType:
    with open_archive(source, may_be_locked=True) as archive:
        names = archive.namelist()
        main = office_main_part(archive) or ""
        declared = _declared_type(archive) if not main else ""
        for folder, kind in _MAIN_PARTS:
            is_main = main.lower().startswith(folder) or (not main and any(n.lower().startswith(folder) for n in names))
            if is_main and not main.endswith(".bin"):
                return kind
    if main.endswith(".bin"):
        raise _unsupported("a binary Excel workbook (XLSB)")
    for media_type, kind in _MIME_TYPES:
        if declared.startswith(media_type):
            return kind
    if declared:
        raise _unsupported(declared)
    return "archive"


def _declared_type(archive: zipfile.ZipFile) -> str:
    """What a package says it is in its part ``mimetype``, as OpenDocument and EPUB do; "" without one."""
    try:
        with archive.open("mimetype") as part:
            return part.read(200).decode("latin-1").strip()
    except (KeyError, *BROKEN_ZIP):
        return ""


def _detect_legacy(source: Source) -> DocumentType:
    names = CompoundFile(source.read()).streams()
    if "EncryptedPackage" in names:
        raise DataError("needs a password to be opened; store it without one", reason="encrypted")
    for stream, kind in _OLE_STREAMS:
        if stream in names:
            return kind
    raise _unsupported("a legacy office file (OLE)")


def _detect_text(text: str, hint: DocumentType | None, *, is_whole: bool) -> DocumentType:
    text = text.lstrip("\ufeff")
    if not text.strip():
        return "text"
    if _HTML_START.match(text[:8192]) or (hint == "html" and _HTML_TAG.search(text)):
        return "html"
    if text.lstrip()[:1] in "{[" and (hint == "json" or _is_json(text, is_whole=is_whole)):
        return "json"
    if is_mail(text) or (hint == "eml" and _HEADER.match(text)):
        return "eml"
    if hint in ("markdown", "text"):
        return hint
    if text.lstrip().startswith("<"):
        is_xml = _XML_START.match(text) is not None
        if is_xml and (hint == "xml" or text.lstrip().startswith("<?xml")):
            return "xml"
        if len(_HTML_TAG.findall(text[:20_000])) >= 2:
            return "html"
        if is_xml:
            return "xml"
    if hint == "csv":
        return "csv"
    return _detect_unnamed_text(text)


def _detect_unnamed_text(text: str) -> DocumentType:
    text = text[:_SAMPLE_CHARS]
    if sum(bool(mark.search(text)) for mark in _MARKDOWN) >= 2 and _MARKDOWN[0].search(text):
        return "markdown"
    lines = [line for line in text.split("\n") if line.strip()]
    delimiter = sniff_delimiter(text)
    # Prose has commas too: only rows of one width, with hardly a comma followed by a space, are a table.
    if delimiter and len(lines) >= 3 and (delimiter == "\t" or text.count(f"{delimiter} ") * 4 < text.count(delimiter)):
        return "csv"
    return "text"


def _is_json(text: str, *, is_whole: bool) -> bool:
    try:
        loads(text if is_whole else "")
        return True
    except RecursionError:
        return True
    except json.JSONDecodeError as e:
        if is_whole and e.msg != "Extra data":
            return False
    if not is_whole:
        return re.match(r"\s*(?:\{\s*\"|\[\s*[\[{\"\d\-tfn])", text) is not None
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return all(isinstance(loads(line), (tuple, list)) for line in lines[:20])
    except json.JSONDecodeError:
        return False


def is_mail(text: str) -> bool:
    """Whether a text begins with a block of header lines, at least two of which only mails have, and one ``From``."""
    text = text.replace("\r\n", "\n").lstrip("\n")
    if text.startswith("From ") and "\n" in text:
        text = text[text.index("\n") + 1 :]
    names: set[str] = set()
    position = 0
    while (match := _HEADER.match(text, position)) is not None and len(names) < 40:
        names.add(match.group(1).lower())
        position = match.end()
    known = names & _MAIL_HEADERS
    has_sender = bool({"from", "received", "return-path"} & known)
    return len(known) >= 3 and has_sender and text[position : position + 1] in ("\n", "")

"""One file in, one parsed document out: the table of formats, and the facts every document has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from importlib import import_module
from pathlib import Path

from etl_assets.documents.parsing import dates
from etl_assets.documents.parsing.chain import extract_by_chain
from etl_assets.documents.parsing.chunk_file import GIVEN
from etl_assets.documents.parsing.detection import MEDIA_TYPES, DocumentType, detect
from etl_assets.documents.parsing.document import (
    MAX_DEPTH,
    MAX_FACT_CHARS,
    MAX_OUTLINE,
    Extract,
    Page,
    ParsedDocument,
    Source,
)
from etl_assets.documents.parsing.markdown import heading_title
from etl_assets.documents.parsing.text import one_line
from etl_assets.errors import DataError
from etl_assets.stages.spec import Json

_FORMATS: Mapping[DocumentType, str] = {
    "pdf": "pdf:parse_pdf",
    "docx": "docx:parse_docx",
    "pptx": "pptx:parse_pptx",
    "xlsx": "xlsx:parse_xlsx",
    "html": "html:parse_html",
    "markdown": "markdown:parse_markdown",
    "text": "plain:parse_plain",
    "image": "image:parse_image",
    "rtf": "rtf:parse_rtf",
    "odt": "odf:parse_odf",
    "ods": "odf:parse_odf",
    "odp": "odf:parse_odf",
    "epub": "epub:parse_epub",
    "doc": "doc:parse_doc",
    "xls": "xls:parse_xls",
    "ppt": "ppt:parse_ppt",
    "json": "json_values:parse_json",
    "csv": "delimited:parse_delimited",
    "chunks": "chunk_file:parse_chunks",
    "xml": "xml_values:parse_xml",
}
"""Type -> where its parser is, ``Source -> Extract``; imported when the first document of the type comes."""

_CONTAINERS: Mapping[DocumentType, str] = {
    "eml": "mail:parse_mail",
    "msg": "msg:parse_msg",
    "archive": "archive:parse_archive",
}
"""Likewise, for documents that hold others; their parsers are given what reads those."""

_DATED_CHARS = 4000
"""Publication dates stand at the top: in the first this many characters."""


def parse(path: Path, *, name: str, content_type: str | None) -> ParsedDocument:
    """Pages and facts of one file. The result depends on the bytes, ``name`` and ``content_type`` alone.

    ``name`` is the document's path or file name; its ending settles ties between kinds of text, and a date in it
    serves when the document states none. ``content_type`` is the media type declared by the store.

    Raises:
        DataError: ``reason`` is one of ``empty``, ``unsupported-type``, ``encrypted``, ``truncated``, ``corrupt``,
            ``nesting``, ``too-large`` and ``no-text``.
    """
    declared = Message()
    declared["Content-Type"] = one_line(content_type or "application/octet-stream")
    charset = declared.get_content_charset()
    source = Source(name=name, path=path, media_type=declared.get_content_type(), charset=charset)
    try:
        kind, extract = _extract(source)
        if not any(page.text for page in extract.pages):
            raise _no_text(extract)
    except DataError as e:
        raise DataError(f"{name}: {e}", reason=e.reason) from e
    return ParsedDocument(tuple(extract.pages), _facts(kind, extract, name))


def _extract(source: Source) -> tuple[DocumentType, Extract]:
    kind = detect(source)
    if kind in _CONTAINERS:
        if source.depth >= MAX_DEPTH:
            raise DataError(f"is inside {source.depth} others; {MAX_DEPTH} are opened", reason="nesting")
        return kind, _parser(_CONTAINERS[kind])(source, _attached)
    return kind, extract_by_chain(kind, _FORMATS[kind], _parser(_FORMATS[kind]), source)


def _no_text(extract: Extract) -> DataError:
    warnings = extract.facts.get("warnings")
    if isinstance(warnings, list) and warnings:
        more = f" (and {len(warnings) - 1} pages more)" if len(warnings) > 1 else ""
        return DataError(f"has no text: {warnings[0]}{more}", reason="no-text")
    return DataError("has no text", reason="no-text")


def _attached(source: Source) -> Extract:
    kind, extract = _extract(source)
    if kind not in _CONTAINERS:
        source.nest.read(sum(len(page.text) for page in extract.pages))
    return extract


def _parser(place: str) -> Callable[..., Extract]:
    module, function = place.split(":")
    parser: Callable[..., Extract] = getattr(import_module(f"etl_assets.documents.parsing.{module}"), function)
    return parser


def _facts(kind: DocumentType, extract: Extract, name: str) -> Mapping[str, Json]:
    outline = _outline(extract.pages)
    facts: dict[str, Json] = {
        "title": _bounded(extract.title) or (outline[0]["title"] if outline else None),
        "date": extract.date or _date_from_content(extract, name),
        "source": _bounded(extract.source),
        "document_type": kind,
        "media_type": MEDIA_TYPES[kind],
        "page_count": len(extract.pages),
        "char_count": sum(len(page.text) for page in extract.pages),
        "heading_count": sum(heading.level != GIVEN for page in extract.pages for heading in page.headings),
        "table_count": sum(len(page.tables) for page in extract.pages),
        "outline": list(extract.outline)[:MAX_OUTLINE] or outline,
        "method": extract.method,
    }
    if extract.encoding is not None:
        facts["encoding"] = extract.encoding
    return {**facts, **extract.facts}


def _date_from_content(extract: Extract, name: str) -> str | None:
    """A labelled date, one that stands alone, the file's property, a bare month, and last a date in the name.

    File properties come third: those of the printed web pages among the test documents are years late.
    """
    text = ""
    for page in extract.pages:
        text += page.text[: _DATED_CHARS - len(text)] + "\n"
        if len(text) >= _DATED_CHARS:
            break
    return (
        dates.labelled_date(text)
        or dates.standing_alone(text)
        or extract.file_date
        or dates.standing_alone(text, month_is_enough=True)
        or dates.iso_date(name.rsplit("/", 1)[-1].replace("_", " "))
    )


def _outline(pages: Sequence[Page]) -> list[Mapping[str, Json]]:
    outline: list[Mapping[str, Json]] = []
    for page in pages:
        for heading in page.headings:
            if len(outline) == MAX_OUTLINE:
                return outline
            if heading.level == GIVEN:
                continue
            title = _bounded(heading_title(page.text[heading.start : heading.end]))
            outline.append({"level": heading.level, "title": title, "page": page.number})
    return outline


def _bounded(text: str | None) -> str | None:
    return one_line(text)[:MAX_FACT_CHARS] or None if text else None

"""Builders of small office files, mails and bombs, written as the specifications say and nothing more."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_CORE = (
    f'<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:dcterms="http://purl.org/dc/terms/"><dc:title>A title</dc:title><dc:creator>An author</dc:creator>'
    "<dcterms:modified>2024-03-05T10:00:00Z</dcterms:modified></cp:coreProperties>"
)


def package(path: Path, main: str, parts: Mapping[str, str | bytes], related: Mapping[str, str] = {}) -> Path:
    """A zip of ``parts``, whose ``main`` part is related to others by ``related`` (target -> type)."""
    folder, name = main.rsplit("/", 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types"/>')
        archive.writestr(
            "_rels/.rels",
            relationships({main: f"{R}/officeDocument", "docProps/core.xml": f"{R}/metadata/core-properties"}),
        )
        archive.writestr("docProps/core.xml", _CORE)
        archive.writestr(f"{folder}/_rels/{name}.rels", relationships({t: f"{R}/{k}" for t, k in related.items()}))
        for part, text in parts.items():
            archive.writestr(part, text)
    return path


def relationships(targets: Mapping[str, str]) -> str:
    """A relationships part; ids are rId1, rId2 ... in order."""
    entries = (f'<Relationship Id="rId{n}" Type="{k}" Target="{t}"/>' for n, (t, k) in enumerate(targets.items(), 1))
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{"".join(entries)}</Relationships>'


def paragraph(text: str, *, style: str = "", extra: str = "") -> str:
    """A Word paragraph."""
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{text}</w:t>{extra}</w:r></w:p>'


def docx(path: Path, body: str, parts: Mapping[str, str] = {}, related: Mapping[str, str] = {}) -> Path:
    """A Word file with ``body`` and, when given, other parts under ``word/``."""
    document = f'<w:document xmlns:w="{W}" xmlns:r="{R}" xmlns:a="{A}"><w:body>{body}</w:body></w:document>'
    word = {f"word/{name}": text for name, text in parts.items()}
    return package(path, "word/document.xml", {"word/document.xml": document, **word}, related)


def slide(*shapes: str) -> str:
    """A slide part with these shapes."""
    tree = f"<p:cSld><p:spTree>{''.join(shapes)}</p:spTree></p:cSld>"
    return f'<p:sld xmlns:p="{P}" xmlns:a="{A}" xmlns:r="{R}">{tree}</p:sld>'


def shape(*paragraphs: str, kind: str = "") -> str:
    """A text shape, a placeholder when ``kind`` is given."""
    holder = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>' if kind else ""
    lines = "".join(f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>" for text in paragraphs)
    return f"<p:sp>{holder}<p:txBody>{lines}</p:txBody></p:sp>"


def pptx(path: Path, slides: Mapping[str, str], parts: Mapping[str, str] = {}) -> Path:
    """A presentation whose slides are shown in the order given; other parts keep their full names."""
    order = "".join(f'<p:sldId id="{255 + n}" r:id="rId{n}"/>' for n in range(1, len(slides) + 1))
    main = f'<p:presentation xmlns:p="{P}" xmlns:r="{R}"><p:sldIdLst>{order}</p:sldIdLst></p:presentation>'
    named = {f"ppt/slides/{name}": text for name, text in slides.items()}
    related = {f"slides/{name}": "slide" for name in slides}
    return package(path, "ppt/presentation.xml", {"ppt/presentation.xml": main, **named, **parts}, related)


def mail(subject: str, text: str) -> EmailMessage:
    """A mail of 5 May 2023."""
    message = EmailMessage()
    message["From"] = "Anna Example <anna@example.org>"
    message["To"] = "ben@example.org"
    message["Subject"] = subject
    message["Date"] = "Fri, 05 May 2023 10:00:00 +0200"
    message.set_content(text)
    return message


def entity_bomb() -> str:
    """Ten levels of ten entities: a billion words, were they expanded."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<?xml version="1.0"?><!DOCTYPE w:document [<!ENTITY l0 "lol">{levels}]>'
    return f'{head}<w:document xmlns:w="{W}">&l9;</w:document>'

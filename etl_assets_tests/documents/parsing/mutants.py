"""Damaged files of every format, the same for the same seed: cut, flipped, spliced, damaged inside their package."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from etl_assets_tests.documents.parsing import files
from etl_assets_tests.documents.parsing.old_files import compound, record

_PROSE = "A pump of the plant was reached from outside; the operator restored it from a copy. "
_MAX_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class Mutant:
    """A damaged file. ``name`` has the ending of what it was, or of something else."""

    number: int
    name: str
    data: bytes


def sound_files(folder: Path, zoo: Path | None = None) -> Mapping[str, bytes]:
    """Name -> bytes: one file of every format, built here, and those of ``zoo`` that are not too large."""
    built = {**_texts(), **_office(folder), **_old(), **_packed(), **_pictures()}
    if zoo is not None:
        found = sorted(path for path in zoo.rglob("*") if path.is_file() and path.suffix not in (".tsv", ".md"))
        built |= {path.relative_to(zoo).as_posix().replace("/", "-"): path.read_bytes() for path in found}
    return {name: data for name, data in built.items() if len(data) <= _MAX_BYTES}


def mutants(sound: Mapping[str, bytes], count: int, seed: int) -> Iterator[Mutant]:
    """``count`` mutants, taking format after format and file after file within it."""
    chance = random.Random(seed)
    groups: dict[str, list[str]] = {}
    for name in sorted(sound):
        groups.setdefault(name.rsplit(".", 1)[-1], []).append(name)
    kinds = sorted(groups)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        name = groups[kind][number // len(kinds) % len(groups[kind])]
        data = _damaged(sound[name], chance, sound)
        shown = name if chance.random() < 0.9 else f"{name}.{chance.choice(kinds)}"
        yield Mutant(number, f"{number}-{shown}", data)


def _damaged(data: bytes, chance: random.Random, others: Mapping[str, bytes]) -> bytes:
    if data.startswith(b"PK") and chance.random() < 0.6:
        return _damaged_inside(data, chance)
    for _ in range(chance.randint(1, 3)):
        data = _hurt(data, chance, others[chance.choice(sorted(others))] if chance.random() < 0.1 else b"")
    return data


def _hurt(data: bytes, chance: random.Random, other: bytes) -> bytes:
    if not data:
        return other
    at, length = chance.randrange(len(data)), chance.choice((1, 2, 4, 16, 300, 4000))
    before, hit, after = data[:at], data[at : at + length], data[at + length :]
    ways: Sequence[bytes] = (
        before,
        before + bytes(b ^ 1 << chance.randrange(8) for b in hit) + after,
        before + chance.randbytes(len(hit)) + after,
        before + chance.choice((b"\x00", b"\xff", b"\x7f", b"9", b"(", b"<")) * len(hit) + after,
        before + after,
        before + hit * chance.choice((2, 3, 50)) + after,
        before + other[: 2 * length] + after,
        before + chance.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", bytes(4), b"4294967295")) + data[at + 4 :],
    )
    return chance.choice(ways)


def _damaged_inside(data: bytes, chance: random.Random) -> bytes:
    """The same package with one member damaged, or gone, and its checksums right."""
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            names = old.namelist()
            hit = chance.choice(names)
            for name in names:
                part = old.read(name)
                if name != hit:
                    new.writestr(name, part)
                elif chance.random() < 0.8:
                    new.writestr(name, _hurt(part, chance, b""))
    except (zipfile.BadZipFile, IndexError, NotImplementedError, zlib.error):
        return data[: chance.randrange(len(data))]
    return packed.getvalue()


def _texts() -> dict[str, bytes]:
    mail = files.mail("A report", _PROSE * 5)
    mail.add_alternative(f"<p>{_PROSE}</p>", subtype="html")
    mail.add_attachment(_PROSE.encode(), maintype="text", subtype="plain", filename="note.txt")
    one = b"From anna Fri May  5 10:00:00 2023\n" + mail.as_bytes() + b"\n\n"
    rows = "".join(f"pump {n},{n},2024-01-0{n % 9 + 1}\n" for n in range(40))
    json = '{"title": "A note", "items": [' + ", ".join(f'{{"n": {n}, "t": "{_PROSE}"}}' for n in range(9)) + "]}"
    rtf = (
        r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial;}}{\stylesheet{\s1 heading 1;}}{\info"
        r"{\title A}{\revtim\yr2024\mo3\dy5}}\pard\s1 First\par\pard caf\'e9 \f1\'cf\'f0\f0 \u8364? {\footnote n}"
        r"\par\trowd\intbl a\cell b\cell\row\pard\page " + _PROSE * 3 + r"\par}"
    )
    html = f"<!doctype html><title>A</title><h1>One</h1><p>{_PROSE}</p><table><tr><td>a<td>b</table><ul><li>c</ul>"
    xml = f'<?xml version="1.0"?><report xmlns:a="urn:a"><a:title>One</a:title><text>{_PROSE}</text></report>'
    texts = {"a.csv": "name,count,day\n" + rows, "a.json": json, "a.rtf": rtf, "a.html": html * 3, "a.xml": xml}
    texts |= {"a.md": f"---\ntitle: A\n---\n# One\n\n{_PROSE}\n\n| a | b |\n|---|---|\n", "a.txt": _PROSE * 20}
    return {**{name: text.encode() for name, text in texts.items()}, "a.eml": mail.as_bytes(), "a.mbox": one * 3}


def _office(folder: Path) -> dict[str, bytes]:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [["name", "count", "day"], *([f"pump {n}", n, f"2024-01-{n + 1:02}"] for n in range(28))]:
        book.active.append(row)
    kept = io.BytesIO()
    book.save(kept)
    table = "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
    word = files.docx(folder / "a.docx", files.paragraph("One", style="Heading1") + files.paragraph(_PROSE) + table)
    slides = {f"s{n}.xml": files.slide(files.shape("One", kind="title"), files.shape(_PROSE)) for n in (1, 2, 3)}
    shown = files.pptx(folder / "a.pptx", slides)
    names = " ".join(f"xmlns:{n}='urn:oasis:names:tc:opendocument:xmlns:{n}:1.0'" for n in ("office", "text", "table"))
    bodies = {
        "odt": ("text", f"<office:text><text:h>One</text:h><text:p>{_PROSE}</text:p></office:text>"),
        "ods": (
            "spreadsheet",
            "<office:spreadsheet><table:table table:name='A'>"
            + "<table:table-row><table:table-cell table:number-columns-repeated='3'><text:p>7</text:p>"
            "</table:table-cell></table:table-row>" * 5 + "</table:table></office:spreadsheet>",
        ),
    }
    odf = {
        f"a.{ending}": _zipped(
            {
                "mimetype": f"application/vnd.oasis.opendocument.{kind}",
                "content.xml": f"<office:document-content {names}><office:body>{body}</office:body>"
                "</office:document-content>",
            }
        )
        for ending, (kind, body) in bodies.items()
    }
    return {"a.xlsx": kept.getvalue(), "a.docx": word.read_bytes(), "a.pptx": shown.read_bytes(), **odf}


def _old() -> dict[str, bytes]:
    text = record(0x0F9F, struct.pack("<I", 0)) + record(0x0FA0, _PROSE.encode("utf-16-le"))
    outline = record(0x0FF0, (record(0x03F3, bytes(20)) + text) * 3, is_container=True)
    show = record(0x03E8, outline, is_container=True) + record(0x03EE, text, is_container=True)
    named = {"0037": "A subject", "0C1A": "Anna", "1000": _PROSE * 3}
    message = {f"__substg1.0_{key}001F": value.encode("utf-16-le") for key, value in named.items()}
    held = "__attach_version1.0_#00000000"
    message |= {"__properties_version1.0": bytes(64), f"{held}/__substg1.0_3707001F": "a.txt".encode("utf-16-le")}
    message[f"{held}/__substg1.0_37010102"] = _PROSE.encode()
    return {"a.ppt": compound({"PowerPoint Document": show}), "a.msg": compound(message)}


def _packed() -> dict[str, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("one.txt", "two/three.md"):
            entry = tarfile.TarInfo(name)
            entry.size = len(_PROSE)
            archive.addfile(entry, io.BytesIO(_PROSE.encode()))
    inner = _zipped({"in.txt": _PROSE, "in.html": f"<html><p>{_PROSE}</html>"})
    book = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": "<container><rootfiles><rootfile full-path='b.opf'/></rootfiles></container>",
        "b.opf": "<package><manifest><item id='a' href='a.xhtml'/></manifest>"
        "<spine><itemref idref='a'/></spine></package>",
        "a.xhtml": f"<html><body><p>{_PROSE}</p></body></html>",
    }
    return {"a.tgz": buffer.getvalue(), "a.zip": _zipped({"a.txt": _PROSE, "b.zip": inner}), "a.epub": _zipped(book)}


def _pictures() -> dict[str, bytes]:
    head = struct.pack(">IIBBBBB", 40, 30, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\x00" + bytes(range(100, 140)) for _ in range(30)))
    parts = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    )
    return {"a.png": b"\x89PNG\r\n\x1a\n" + parts}


def _zipped(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()

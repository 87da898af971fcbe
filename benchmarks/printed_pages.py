"""Pages of known words and tables of known rows as HTML, and their printing to PDF by Chromium."""

from __future__ import annotations

import html
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.printed_texts import LANGUAGES, english, sentences

TIME_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Printed:
    """One kind of document: ``text`` in the order of reading, or the ``rows`` of its tables."""

    name: str
    body: str
    text: str = ""
    rows: Sequence[Sequence[str]] = field(default=())
    style: str = ""
    language: str = "en"


def printed(kind: Printed, folder: Path, font: Path | None) -> Path:
    """The PDF of one kind. ``font`` is the file of a font with Chinese letters, for those alone.

    Raises:
        subprocess.CalledProcessError: Chromium failed.
    """
    face = f"@font-face {{ font-family: wide; src: url('{font.as_uri()}') }}" if font else ""
    direction = "rtl" if kind.language == "ar" else "ltr"
    style = f"{face} body {{ font: 10pt 'DejaVu Serif', wide }} {kind.style}"
    page = f"<!doctype html><html lang={kind.language} dir={direction}><meta charset=utf-8><style>{style}</style>"
    source, target = folder / "page.html", folder / f"{re.sub('[^a-z0-9]+', '-', kind.name)}.pdf"
    source.write_text(f"{page}<body>{kind.body}</body></html>", encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--no-pdf-header-footer", f"--user-data-dir={profile}"]
        command = ["chromium", *options, f"--print-to-pdf={target}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=TIME_LIMIT_S)
    return target


def texts(root: Path, *, wide: bool) -> Iterator[Printed]:
    """Pages of running text, of ``root`` of the seed documents and in other languages; Chinese where ``wide``."""
    prose = english(root, 60)
    yield Printed("paragraphs", _paragraphs(prose[:20]), " ".join(prose[:20]))
    justified = "p { text-align: justify }"
    yield Printed("justified", _paragraphs(prose[:20]), " ".join(prose[:20]), style=justified)
    for count in (2, 3):
        columns = f"body {{ column-count: {count}; column-gap: 16pt; font-size: 8pt }} {justified}"
        yield Printed(f"{count} columns", _paragraphs(prose), " ".join(prose), style=columns)
    yield Printed("soft hyphens", _paragraphs(map(hyphenated, prose[:40])), " ".join(prose[:40]), style=columns)
    yield Printed("small caps", _paragraphs(prose[:15]), " ".join(prose[:15]), style="p { font-variant: small-caps }")
    wide_set = "p { letter-spacing: 2pt }"
    yield Printed("letter-spaced", _paragraphs(prose[:15]), " ".join(prose[:15]), style=wide_set)
    yield from _furnished(prose)
    for language in LANGUAGES:
        if language != "zh" or wide:
            said = [" ".join(sentences(language, 5, seed=n)) for n in range(30)]
            yield Printed(f"paragraphs {language}", _paragraphs(said), " ".join(said), language=language)
            two = "body { column-count: 2; font-size: 9pt } p { text-align: justify }"
            broken = map(hyphenated, said) if language in ("de", "ru") else said
            yield Printed(f"2 columns {language}", _paragraphs(broken), " ".join(said), style=two, language=language)
            rows = list(_rows(language, 40))
            page = _paragraphs(said[:4]) + _table(rows) + _paragraphs(said[4:8])
            text = " ".join([*said[:4], *(cell for row in rows for cell in row), *said[4:8]])
            yield Printed(f"text and table {language}", page, text, style=RULED, language=language)


def _furnished(prose: Sequence[str]) -> Iterator[Printed]:
    """Pages with what stands beside running text."""
    notes = [f"{n} {prose[20 + n][:160].rsplit(' ', 1)[0]}" for n in range(1, 10)]
    body = text = ""
    for n in range(0, 9, 3):
        three = [f"{prose[n + k]} See note {n + k + 1} below." for k in range(3)]
        marked = [f"<p>{html.escape(t)}<sup>{n + k + 1}</sup></p>" for k, t in enumerate(three)]
        below = "".join(f"<div>{html.escape(note)}</div>" for note in notes[n : n + 3])
        body += f"<div class=page>{''.join(marked)}<div class=notes>{below}</div></div>"
        text += " ".join(t + f" {n + k + 1} " for k, t in enumerate(three)) + " ".join(notes[n : n + 3]) + " "
    style = ".page { height: 240mm; position: relative; page-break-after: always } sup { font-size: 6pt }"
    style += ".notes { position: absolute; bottom: 0; font-size: 7pt; border-top: 1px solid }"
    yield Printed("footnotes", body, text, style=style)
    aside = "aside { float: right; width: 35%; border: 1px solid; padding: 6pt; margin-left: 10pt; font-size: 8pt } "
    aside += ".page { page-break-after: always }"
    pages = [(prose[30 + n], prose[3 * n : 3 * n + 3]) for n in range(8)]
    body = "".join(f"<div class=page><aside>{html.escape(t)}</aside>{_paragraphs(more)}</div>" for t, more in pages)
    yield Printed("sidebars", body, " ".join(f"{beside} {' '.join(more)}" for beside, more in pages), style=aside)
    items = [prose[n].split(". ")[0] for n in range(40)]
    body = "".join(f"<li>{html.escape(item)}" for item in items)
    yield Printed("numbered list", f"<ol>{body}</ol>", " ".join(f"{n} {item}" for n, item in enumerate(items, 1)))
    yield Printed("list of marks", f"<ul>{body}</ul>", " ".join(items))
    code = "\n".join(f"def step_{n}(name: str = 'v{n}') -> int:\n    return len(name) * {n}\n" for n in range(60))
    both = "".join(f"<p>{html.escape(prose[n])}</p><pre>{html.escape(code)}</pre>" for n in range(2))
    yield Printed("code", both, " ".join(f"{prose[n]} {code}" for n in range(2)))
    head = "@page { @top-center { content: 'Report 77' } @bottom-right { content: counter(page) } }"
    yield Printed("headers and footers", _paragraphs(prose[:40]), " ".join(prose[:40]), style=head)
    caps = "p::first-letter { font-size: 30pt; float: left }"
    yield Printed("drop capitals", _paragraphs(prose[:20]), " ".join(prose[:20]), style=caps)
    titles = "".join(f"<h2>{html.escape(' '.join(p.split()[:5]))}</h2><p>{html.escape(p)}" for p in prose[:20])
    yield Printed("headings", titles, " ".join(f"{' '.join(p.split()[:5])} {p}" for p in prose[:20]))


def hyphenated(text: str) -> str:
    """With a place to break, shown as a hyphen only there, after every third letter of words of eight or more."""
    return re.sub(r"[^\W\d_]{8,}", lambda m: "\u00ad".join(re.findall(r".{3,5}(?=.{3})|.+", m.group())), text)


_CELL = "vertical-align: top; text-align: start }"
RULED = f"table {{ border-collapse: collapse }} td, th {{ border: 1px solid; padding: 3pt; {_CELL}"
PLAIN = f"table {{ border-spacing: 0 }} td, th {{ padding: 5pt 12pt; {_CELL}"
LINED = f"table {{ border-collapse: collapse }} td, th {{ border-bottom: 1px solid #999; padding: 4pt 9pt; {_CELL}"
SHADED = f"table {{ border-spacing: 0 }} tr:nth-child(even) {{ background: #ddd }} td, th {{ padding: 4pt 9pt; {_CELL}"


def tables(*, wide: bool) -> Iterator[Printed]:
    """Tables over several pages; Chinese ones where ``wide``."""
    for language in LANGUAGES:
        if language == "zh" and not wide:
            continue
        rows = list(_rows(language, 70))
        soft = [[hyphenated(cell) for cell in row] for row in rows] if language in ("de", "ru") else rows
        for name, style in (("ruled", RULED), ("lined", LINED), ("shaded", SHADED), ("without lines", PLAIN)):
            yield Printed(f"{name} {language}", _table(soft), rows=rows, style=style, language=language)
        narrow = f"{RULED} table {{ width: 62%; table-layout: fixed }}"
        yield Printed(f"narrow {language}", _table(soft), rows=rows, style=narrow, language=language)
        centred = f"{RULED} td {{ vertical-align: middle }}"
        yield Printed(f"centred {language}", _table(soft), rows=rows, style=centred, language=language)
        yield _merged(language)
        yield _turned(rows, language)
        inner = [[row[0], row[2]] for row in rows[:30]]
        yield Printed(f"two columns {language}", _table(inner), rows=inner, style=RULED, language=language)


def _merged(language: str) -> Printed:
    """Cells over several rows and over several columns."""
    rows = list(_rows(language, 40))
    body, truth = "", []
    for n, row in enumerate(rows):
        cells = [html.escape(cell) for cell in row]
        if n % 8 == 3:
            body += f"<tr><td colspan=4>{cells[2]}</td></tr>"
            truth.append([row[2]])
        elif n % 8 in (5, 6):
            first = f"<td rowspan=2>{cells[0]}</td>" if n % 8 == 5 else ""
            body += f"<tr>{first}{''.join(f'<td>{cell}</td>' for cell in cells[1:])}</tr>"
            truth.append(row if first else row[1:])
        else:
            body += f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
            truth.append(row)
    return Printed(f"merged {language}", f"<table>{body}</table>", rows=truth, style=RULED, language=language)


def _turned(rows: Sequence[Sequence[str]], language: str) -> Printed:
    """Pages whose writing runs downwards."""
    style = f"{RULED} .page {{ height: 255mm; width: 180mm; writing-mode: vertical-rl; text-orientation: sideways; "
    style += "page-break-after: always; font-size: 8pt }"
    pages = (rows[n : n + 10] for n in range(0, len(rows), 10))
    body = "".join(f"<div class=page>{_table(page)}</div>" for page in pages)
    return Printed(f"turned {language}", body, rows=rows, style=style, language=language)


def _rows(language: str, count: int) -> Iterator[list[str]]:
    said = sentences(language, 3 * count, seed=99)
    for n in range(count):
        text = " ".join(said[3 * n : 3 * n + 1 + n % 3])
        yield [f"{1 + n // 10}.{1 + n % 10}", f"CVE-20{10 + n % 14}-{1000 + 37 * n}", text, "✓" if n % 4 else ""]


def _paragraphs(texts: Sequence[str] | Iterator[str]) -> str:
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("#", "CVE", "…", "L1")[: len(rows[0])])
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

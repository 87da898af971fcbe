"""Writing read from pictures by tesseract, a program that is called where it is installed (Debian: tesseract-ocr)."""

from __future__ import annotations

import csv
import functools
import io
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.document import Source
from etl_assets.documents.parsing.pdf_words import Word
from etl_assets.documents.parsing.reading import picture_languages, reads_pictures
from etl_assets.errors import DataError

if TYPE_CHECKING:
    import pypdfium2 as pdfium


DOTS_PER_INCH = 300
MAX_PIXELS = 30_000_000
TIME_LIMIT_S = 300.0
"""Of one page. A worker's own limit, that of the whole document, ends the program sooner."""
MIN_CONFIDENCE = 30.0
"""Of 100. Below, tesseract saw letters in a drawing more often than in writing."""
HOW_TO_INSTALL = "install tesseract-ocr"
_NOT_LANGUAGES = ("osd", "equ", "snum")
_PREFERRED = "eng"


@dataclass(frozen=True, slots=True)
class Engine:
    """The program, its version, and the languages it reads: all that are installed."""

    path: str
    version: str
    languages: tuple[str, ...]
    turns_pages: bool

    @property
    def name(self) -> str:
        """For records: ``tesseract 5.3.0``."""
        return f"tesseract {self.version}"


def engine() -> Engine | None:
    """The installed tesseract; None without one, or without any language that is wanted. Asked once a process."""
    path = shutil.which("tesseract") if reads_pictures() else None
    found = _engine_at(path) if path is not None else None
    if found is None or not (wanted := picture_languages()):
        return found
    languages = tuple(one for one in wanted if one in found.languages)
    return replace(found, languages=languages) if languages else None


def remedy() -> str:
    """What to do where there is no engine."""
    if not reads_pictures():
        return "set parsing.ocr to auto"
    wanted = picture_languages() if shutil.which("tesseract") is not None else []
    return " and ".join([HOW_TO_INSTALL, *(f"its language {one}" for one in wanted)])


@functools.cache
def _engine_at(path: str) -> Engine | None:
    try:
        version = _said([path, "--version"]).split("\n", 1)[0].removeprefix("tesseract").strip()
        listed = [line.strip() for line in _said([path, "--list-langs"]).splitlines()[1:]]
    except (OSError, subprocess.SubprocessError):
        return None
    languages = sorted((one for one in listed if one and one not in _NOT_LANGUAGES), key=lambda n: (n != _PREFERRED, n))
    return Engine(path, version, tuple(languages), "osd" in listed) if languages else None


def _said(command: Sequence[str]) -> str:
    run = subprocess.run(command, capture_output=True, timeout=30, check=True)
    return (run.stdout or run.stderr).decode("utf-8", "replace")


def read_page(page: pdfium.PdfPage, tesseract: Engine) -> list[list[Word]]:
    """Lines of words on a page of a PDF as it is shown, turned as it says, in points from its lower left corner.

    Raises:
        DataError: ``unreadable``, when tesseract cannot read the picture, or takes too long.
    """
    width, height = page.get_size()
    scale = min(DOTS_PER_INCH / 72, (MAX_PIXELS / max(1.0, width * height)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=True)
    try:
        pixels = bytes(bitmap.buffer)
        rows = (pixels[y * bitmap.stride : y * bitmap.stride + bitmap.width] for y in range(bitmap.height))
        picture = b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + b"".join(rows)
    finally:
        bitmap.close()
    table = _read(tesseract, ["stdin"], picture, dots_per_inch=round(scale * 72))
    return next(iter(_pages(table, 1 / scale).values()), [])


def read_pictures(source: Source, tesseract: Engine) -> list[list[list[Word]]]:
    """For every picture in a file (a TIFF may hold many) its lines of words, in points at 300 dots per inch.

    Raises:
        DataError: ``corrupt``, when tesseract cannot read the file, or ``too-large``, when a side of it is over its
            limit of 32,767 pixels.
    """
    try:
        if source.path is not None:
            table = _read(tesseract, [os.fspath(source.path.absolute())], None, dots_per_inch=DOTS_PER_INCH)
        else:
            table = _read(tesseract, ["stdin"], source.read(), dots_per_inch=DOTS_PER_INCH)
    except DataError as e:
        reason = "too-large" if "too large" in str(e) else "corrupt"
        raise DataError(f"is a picture that cannot be read: {e}", reason=reason) from e
    pages = _pages(table, 72 / DOTS_PER_INCH)
    return [pages.get(number, []) for number in range(1, max(pages, default=0) + 1)]


def _read(tesseract: Engine, place: list[str], picture: bytes | None, *, dots_per_inch: int) -> str:
    layout = "1" if tesseract.turns_pages else "3"
    languages = "+".join(tesseract.languages)
    options = ["--psm", layout, "-l", languages, "--dpi", str(dots_per_inch), "tsv"]
    # A page of a document costs one core, as all else in a worker does.
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1", "LC_ALL": "C"}
    command = [tesseract.path, *place, "stdout", *options]
    try:
        run = subprocess.run(command, input=picture, capture_output=True, timeout=TIME_LIMIT_S, env=environment)
    except subprocess.TimeoutExpired as e:
        raise DataError(f"tesseract took longer than {TIME_LIMIT_S:g} s on one page", reason="unreadable") from e
    if run.returncode != 0:
        said = run.stderr.decode("utf-8", "replace").replace(str(Path(place[0]).parent), "").strip()[-200:]
        raise DataError(f"tesseract ended with {run.returncode} ({said})", reason="unreadable")
    return run.stdout.decode("utf-8", "replace")


def _pages(table: str, points_per_pixel: float) -> dict[int, list[list[Word]]]:
    """Page number -> lines, of tesseract's table of words, with y growing upwards from the picture's lower edge."""
    pages: dict[int, list[list[Word]]] = {}
    heights: dict[int, float] = {}
    last: tuple[int, ...] | None = None
    for at, row in enumerate(csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE)):
        page = int(row["page_num"])
        if row["level"] == "1":
            heights[page] = int(row["height"]) * points_per_pixel
            pages[page] = []
        if row["level"] != "5" or float(row["conf"]) < MIN_CONFIDENCE or not (row["text"] or "").strip():
            continue
        line = (page, *(int(row[name]) for name in ("block_num", "par_num", "line_num")))
        if line != last:
            pages[page].append([])
        last = line
        pages[page][-1].append(_word(row, points_per_pixel, heights[page], at))
    return {page: list(_level(lines)) for page, lines in pages.items()}


def _word(row: Mapping[str, str], scale: float, height: float, at: int) -> Word:
    left, top = int(row["left"]) * scale, height - int(row["top"]) * scale
    right, bottom = left + int(row["width"]) * scale, top - int(row["height"]) * scale
    return Word(row["text"].strip(), left, bottom, right, top, at)


def _level(lines: Sequence[list[Word]]) -> Iterator[list[Word]]:
    """Lines whose words all have the line's height: tesseract gives each word that of its own letters."""
    for line in lines:
        bottom, top = min(w.bottom for w in line), max(w.top for w in line)
        yield [Word(w.text, w.left, bottom, w.right, top, w.at, em=(top - bottom) * 0.9) for w in line]

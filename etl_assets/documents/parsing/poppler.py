"""PDF by pdftotext, a program of poppler that is called where it is installed: for files that PDFium cannot read."""

from __future__ import annotations

import shutil
import subprocess

from etl_assets.documents.parsing.document import Extract, Page, Source
from etl_assets.documents.parsing.text import clean
from etl_assets.errors import DataError

PROGRAM = "pdftotext"
TIME_LIMIT_S = 60.0


def parse_by_pdftotext(source: Source) -> Extract:
    """Text of every page, without headings and tables.

    Raises:
        DataError: ``corrupt``, when the program is not installed or gives nothing either.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise DataError(f"{PROGRAM} is not installed", reason="corrupt")
    command = [program, "-q", "-enc", "UTF-8", "-", "-"]
    try:
        run = subprocess.run(command, input=source.read(), capture_output=True, timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired as e:
        raise DataError(f"{PROGRAM} took longer than {TIME_LIMIT_S:g} s", reason="corrupt") from e
    texts = run.stdout.decode("utf-8", "replace").split("\x0c")
    if run.returncode != 0 and not any(text.strip() for text in texts):
        raise DataError(f"{PROGRAM} cannot read it either", reason="corrupt")
    pages = [Page(number, clean(text)) for number, text in enumerate(texts[: max(1, len(texts) - 1)], 1)]
    return Extract(pages=pages, method=PROGRAM)

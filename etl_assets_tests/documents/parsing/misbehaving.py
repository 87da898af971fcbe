"""What a worker may be told to run instead of the parser: names decide how it goes wrong."""

import ctypes
import os
import time
from pathlib import Path

from etl_assets.documents.parsing.document import Page, ParsedDocument
from etl_assets.documents.parsing.parser import parse as parse_soundly

kept: list[bytearray] = []


def parse(path: Path, *, name: str, content_type: str | None) -> ParsedDocument:
    """Misbehave as ``name`` says, or parse."""
    if name.startswith("hang"):
        while True:
            time.sleep(60)
    if name.startswith("crash"):
        ctypes.string_at(0)
    if name.startswith("grow"):
        while True:
            block = bytearray(4 << 20)
            block[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(block[:: os.sysconf("SC_PAGE_SIZE")])
            kept.append(block)
            time.sleep(0.01)
    if name.startswith("allocate"):
        kept.append(bytearray(1 << 40))
    if name.startswith("bug"):
        raise ZeroDivisionError("a bug in a library")
    if name.startswith("poison"):
        kept.append(bytearray(1))
    elif kept and name.startswith("victim"):
        os.abort()
    if name.startswith("pid"):
        return ParsedDocument((Page(1, str(os.getpid())),), {})
    return parse_soundly(path, name=name, content_type=content_type)


def no_start(*_: object) -> None:
    """Never reached: importing ``absent`` below fails first."""

"""Rows of another index as JSON lines, plain or compressed by gzip: one object a line."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from etl_assets.errors import ConfigError, PermanentError
from etl_assets.protocols.foreign_index import ForeignRow

LINE_BYTES = 64 * 2**20
"""Longest line: a chunk with its vector takes some 10 KB."""

_GZIP = b"\x1f\x8b"


class JsonLines:
    """ForeignIndex over one file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def name(self) -> str:
        """The file's whole path."""
        return str(self._file.resolve())

    def rows(self) -> Iterator[ForeignRow]:
        """A row for each line that is not blank. A line that is no JSON object has a problem.

        Raises:
            ConfigError: there is no such file, or it is no JSON lines.
            PermanentError: it cannot be read, or ends in the middle of a line or of the compressed data.
        """
        try:
            with self._file.open("rb") as raw:
                packed = raw.read(2) == _GZIP
                raw.seek(0)
                # Reading decompresses block by block, so a large file is never in memory whole.
                yield from self._lines(gzip.GzipFile(fileobj=raw) if packed else raw)  # type: ignore[arg-type]
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            raise PermanentError(
                f"{self._file}: its compressed data is cut off or broken ({e}); export it again"
            ) from e
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as e:
            raise ConfigError(f"{self._file}: {e.strerror}; name a file of JSON lines, or of those in gzip") from e
        except OSError as e:
            raise PermanentError(f"{self._file}: cannot be read ({e.strerror})") from e

    def _lines(self, file: BinaryIO) -> Iterator[ForeignRow]:
        number = 0
        while line := file.readline(LINE_BYTES + 1):
            number += 1
            if len(line) > LINE_BYTES:
                raise ConfigError(
                    f"{self._file}, line {number}: longer than {LINE_BYTES >> 20} MiB; write one JSON object a line"
                )
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
                self._refuse_other_forms(line)
            if line.strip():
                yield self._row(line, number)

    def _refuse_other_forms(self, line: bytes) -> None:
        if line.lstrip()[:1] != b"{":
            form = "a JSON array" if line.lstrip()[:1] == b"[" else "no JSON"
            raise ConfigError(f"{self._file}: begins with {form}; write one JSON object a line")

    def _row(self, line: bytes, number: int) -> ForeignRow:
        place = f"line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as e:
            if not line.endswith(b"\n"):
                raise PermanentError(f"{self._file}: ends in the middle of line {number}; export it again") from e
            return ForeignRow(place, {}, f"is no sound JSON ({e})")
        if not isinstance(value, dict):
            return ForeignRow(place, {}, "is no JSON object")
        return ForeignRow(place, value)

"""Compound files (OLE), which hold the streams of old office programs. [MS-CFB], Microsoft open specifications."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from etl_assets.errors import DataError

_END = 0xFFFFFFFA
"""Sector numbers from here on are no sectors: end of chain, free, or of the tables themselves."""
MAX_STREAM_BYTES = 256 << 20
MAX_ENTRIES = 50_000


class CompoundFile:
    """Streams by their path, such as ``WordDocument`` or ``__attach_version1.0_#00000000/__substg1.0_37010102``."""

    def __init__(self, data: bytes) -> None:
        """Read the tables and the directory.

        Raises:
            DataError: ``truncated`` or ``corrupt``.
        """
        self._data = data
        try:
            shift, mini_shift = struct.unpack_from("<HH", data, 30)
            fat_count, directory, _, self._cutoff, mini_fat, _, difat, _ = struct.unpack_from(
                "<I I I I I I I I", data, 44
            )
            if shift not in (9, 12) or mini_shift != 6:
                raise DataError("is not a sound compound file (OLE); repair it", reason="corrupt")
            self._size, self._mini_size = 1 << shift, 1 << mini_shift
            self._fat = self._table(self._fat_sectors(difat)[: fat_count or None])
            self._mini_fat = self._table(self._chain(mini_fat))
            self._entries = self._directory(directory)
        except (struct.error, IndexError) as e:
            raise DataError("the file ends in the middle; upload it again", reason="truncated") from e
        self._ministream = b""
        if self._entries:
            _, start, size = self._root
            self._ministream = self._read(start, size, is_mini=False)

    def streams(self) -> Mapping[str, int]:
        """Paths and sizes in bytes."""
        return {path: size for path, (_, size) in self._entries.items()}

    def read(self, path: str) -> bytes:
        """The bytes of a stream; empty when there is none of that path.

        Raises:
            DataError: ``truncated``, ``corrupt`` or ``too-large``.
        """
        start, size = self._entries.get(path, (_END, 0))
        return self._read(start, size, is_mini=size < self._cutoff)

    def _fat_sectors(self, difat: int) -> list[int]:
        sectors = [n for n in struct.unpack_from("<109I", self._data, 76) if n < _END]
        seen: set[int] = set()
        while difat < _END and difat not in seen:
            seen.add(difat)
            numbers = struct.unpack(f"<{self._size // 4}I", self._sector(difat))
            sectors += [n for n in numbers[:-1] if n < _END]
            difat = numbers[-1]
        return sectors

    def _sector(self, number: int) -> bytes:
        start = (number + 1) * self._size
        sector = self._data[start : start + self._size]
        # The last one is often cut short by its writer.
        return sector.ljust(self._size, b"\x00") if sector else b"\xff" * self._size

    def _content(self, number: int) -> bytes:
        if (number + 1) * self._size >= len(self._data):
            raise DataError("the file ends in the middle; upload it again", reason="truncated")
        return self._sector(number)

    def _table(self, sectors: list[int]) -> tuple[int, ...]:
        joined = b"".join(map(self._sector, sectors))
        return struct.unpack(f"<{len(joined) // 4}I", joined)

    def _chain(self, start: int, table: tuple[int, ...] | None = None) -> list[int]:
        table = self._fat if table is None else table
        chain: list[int] = []
        while start < len(table):
            chain.append(start)
            if len(chain) > len(table):
                raise DataError("a chain of sectors runs in a circle; repair the file", reason="corrupt")
            start = table[start]
        return chain

    def _read(self, start: int, size: int, *, is_mini: bool) -> bytes:
        if size > MAX_STREAM_BYTES:
            raise DataError(f"holds a stream of {size:,} bytes", reason="too-large")
        if not is_mini:
            return b"".join(map(self._content, self._chain(start)))[:size]
        unit = self._mini_size
        return b"".join(self._ministream[n * unit : (n + 1) * unit] for n in self._chain(start, self._mini_fat))[:size]

    def _directory(self, start: int) -> dict[str, tuple[int, int]]:
        raw = b"".join(map(self._sector, self._chain(start)))
        rows = [raw[n : n + 128] for n in range(0, min(len(raw), MAX_ENTRIES * 128), 128)]
        self._root = _entry(rows[0])
        found: dict[str, tuple[int, int]] = {}
        stack = [(struct.unpack_from("<I", rows[0], 76)[0], "")]
        seen: set[int] = set()
        while stack:
            number, folder = stack.pop()
            if number >= len(rows) or number in seen:
                continue
            seen.add(number)
            name, first, size = _entry(rows[number])
            left, right, child = struct.unpack_from("<III", rows[number], 68)
            stack += [(left, folder), (right, folder)]
            if rows[number][66] == 1:
                stack.append((child, f"{folder}{name}/"))
            elif rows[number][66] == 2:
                found[f"{folder}{name}"] = (first, size)
        return found


def _entry(row: bytes) -> tuple[str, int, int]:
    """(name, first sector, size)."""
    length = max(0, min(struct.unpack_from("<H", row, 64)[0], 64) - 2)
    start, size = struct.unpack_from("<II", row, 116)
    return row[:length].decode("utf-16-le", "replace"), start, size

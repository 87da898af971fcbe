"""Builders of compound files (OLE), with streams that are all in whole sectors ([MS-CFB])."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 512
END, FREE, FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file of these streams, in storages as ``storage/storage/stream``. No stream is in the mini stream."""
    storages = list(dict.fromkeys(path[:at] for path in streams for at, c in enumerate(path) if c == "/"))
    names = ["Root Entry", *storages, *streams]
    sectors: list[bytes] = []
    table: list[int] = []

    def put(data: bytes) -> int:
        first = len(sectors)
        parts = [data[n : n + SECTOR].ljust(SECTOR, b"\x00") for n in range(0, len(data), SECTOR)]
        sectors.extend(parts)
        table.extend([*range(first + 1, first + len(parts)), END] if parts else [])
        return first if parts else END

    places = {path: put(data) for path, data in streams.items()}
    parents = [-1, *(names.index(name.rpartition("/")[0] or names[0]) for name in names[1:])]
    entries = b""
    for number, name in enumerate(names):
        kind = 2 if name in streams else 1 if number else 5
        child = next((n for n, parent in enumerate(parents) if parent == number), FREE)
        right = next((n for n, parent in enumerate(parents) if n > number and parent == parents[number]), FREE)
        size = len(streams.get(name, b""))
        entries += _entry(name.split("/")[-1], kind, right, child, places.get(name, END), size)
    directory = put(entries)
    fat_at = len(sectors)
    table.append(FAT)
    sectors.append(struct.pack(f"<{SECTOR // 4}I", *table, *[FREE] * (SECTOR // 4 - len(table))))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, directory, 0, 0, END, 0, END, 0)
    return head + struct.pack("<109I", fat_at, *[FREE] * 108) + b"".join(sectors)


def _entry(name: str, kind: int, right: int, child: int, start: int, size: int) -> bytes:
    wide = name.encode("utf-16-le")
    head = wide.ljust(64, b"\x00") + struct.pack("<HBBIII", len(wide) + 2, kind, 1, FREE, right, child)
    return head + bytes(36) + struct.pack("<IQ", start, size)


def record(kind: int, body: bytes, *, instance: int = 0, is_container: bool = False) -> bytes:
    """A record of a presentation ([MS-PPT] 2.3.1)."""
    return struct.pack("<HHI", instance << 4 | (0x0F if is_container else 0), kind, len(body)) + body

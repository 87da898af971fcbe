"""What this machine has left: processor, memory and disk. Elsewhere than on Linux some of it is unknown."""

import os
import shutil
from pathlib import Path
from typing import Any

_BUSY_FIELDS = 8


class Machine:
    """Asked again and again; the share of the processor is that since the last question."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._before = _ticks()

    def figures(self) -> dict[str, Any]:
        """Plain values; ``None`` for what cannot be told. Bytes, and shares from 0 to 1."""
        now, before = _ticks(), self._before
        self._before = now
        share = None
        if now is not None and before is not None and now[1] > before[1]:
            share = round((now[0] - before[0]) / (now[1] - before[1]), 3)
        memory = _memory()
        disk = shutil.disk_usage(_existing(self._home))
        return {
            "cpu_share": share, "cpu_count": os.cpu_count(), "load_1_min": round(os.getloadavg()[0], 2),
            "memory_total_bytes": memory.get("MemTotal"), "memory_free_bytes": memory.get("MemAvailable"),
            "disk_total_bytes": disk.total, "disk_free_bytes": disk.free,
        }  # fmt: skip


def size(value: int | None) -> str:
    """Bytes as people read them."""
    if value is None:
        return "?"
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"


def _ticks() -> tuple[int, int] | None:
    """(busy, all) ticks of all processors since the machine started."""
    try:
        fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1 : 1 + _BUSY_FIELDS]]
    except (OSError, ValueError):
        return None
    return sum(fields) - fields[3] - fields[4], sum(fields)  # idle, and waiting for a disk


def _memory() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines) if rest}


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that there is."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path

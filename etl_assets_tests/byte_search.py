"""Looks for words in everything under a home: names and bytes of files, and what compressed files hold."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import lancedb
import polars as pl


def found_in(home: Path, words: Sequence[str]) -> list[str]:
    """``file: word`` for every file below ``home`` whose path, bytes or unpacked content holds a word, in any case."""
    wanted = [word.lower().encode() for word in words]
    hits = []
    for path in sorted(home.rglob("*")):
        name = str(path.relative_to(home))
        contents = [name.encode()]
        if path.is_file():
            contents += [path.read_bytes(), *_unpacked(path)]
        hits += [f"{name}: {word.decode()}" for word in wanted if any(word in one.lower() for one in contents)]
    for folder in home.rglob("*.lance"):
        if folder.is_dir():
            table = lancedb.connect(folder.parent).open_table(folder.stem)
            rows = str(table.to_arrow().drop_columns("vector" if "vector" in table.schema.names else []).to_pylist())
            hits += [f"{folder.name}: {word.decode()}" for word in wanted if word in rows.lower().encode()]
    return hits


def _unpacked(path: Path) -> list[bytes]:
    data = path.read_bytes()
    if data[:4] == b"PAR1":
        frame = pl.read_parquet(path)
        statistics = data[-8192:]
        return [str(frame.to_dicts()).encode(), statistics]
    if data[:2] == b"\x1f\x8b":
        return [gzip.decompress(data)]
    try:
        return [zlib.decompress(data)]
    except zlib.error:
        return []

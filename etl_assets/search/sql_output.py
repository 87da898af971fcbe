"""Results of SQL as text for people, or as JSON lines, CSV and Parquet for programs. Written here, never by DuckDB.

JSON and CSV: NaN and infinities are null (JSON) or empty (CSV); times are ISO 8601; bytes are lower-case hex;
decimals are numbers up to 15 digits and text beyond, where a float would lose some. In CSV, nested values are JSON,
null is the empty field, and text is kept as it is: a cell that starts with ``=`` or ``+`` is a formula to a
spreadsheet program, so do not open results of strangers' documents there without importing them as text.
"""

import csv
import io
import json
import math
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from etl_assets.errors import ConfigError, PermanentError
from etl_assets.search.sql import Selection

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "json", "csv", "parquet")
"""What ``write_result`` knows. ``json`` is one object a line."""

_WIDEST_CELL = 80
_EXACT_DIGITS = 15
"""Decimal digits that a 64-bit float always keeps."""


def format_of(out: Path) -> str:
    """The format that a file's name asks for: .csv, .parquet, .json, .jsonl or .ndjson; .txt is a table.

    Raises:
        ConfigError: it has another extension.
    """
    names = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
    known = {**names, ".txt": "table"}
    if out.suffix.lower() not in known:
        raise ConfigError(f"{out}: name the file {', '.join(known)}, or give the format")
    return known[out.suffix.lower()]


def write_result(selection: Selection, file: IO[str], format_name: str) -> int:
    """Write all rows as text, with a header but for JSON, and return their number.

    Raises:
        ConfigError: the format is unknown or Parquet, or a value has no such form.
    """
    if format_name == "json":
        return _write_json(selection, file)
    if format_name == "csv":
        return _write_csv(selection, file)
    if format_name == "table":
        return _write_table(selection, file)
    if format_name == "parquet":
        raise ConfigError("Parquet is not text: write it to a file")
    raise ConfigError(f"format {format_name!r}: use one of {', '.join(FORMATS)}")


def save_result(selection: Selection, out: Path, format_name: str | None = None) -> int:
    """Write all rows to ``out``, which appears whole or not at all, and return their number.

    Raises:
        ConfigError: the format is unknown, or a value has no form in it.
        PermanentError: ``out`` cannot be written.
    """
    format_name = format_name or format_of(out)
    try:
        with _appearing(out) as part:
            if format_name == "parquet":
                return _save_parquet(selection, part)
            with open(part, "w", encoding="utf-8", newline="") as file:
                return write_result(selection, file, format_name)
    except OSError as e:
        raise PermanentError(f"{out}: cannot be written: {e.strerror or e}") from e


def records(selection: Selection) -> Iterator[dict[str, Any]]:
    """Each row as values that JSON can hold, by column."""
    for batch in selection.batches:
        columns = [_plain_values(column, name) for column, name in zip(batch.columns, selection.columns, strict=True)]
        for row in range(batch.num_rows):
            yield {name: values[row] for name, values in zip(selection.columns, columns, strict=True)}


def _write_json(selection: Selection, file: IO[str]) -> int:
    count = 0
    for record in records(selection):
        count += 1
        file.write(json.dumps(record, ensure_ascii=False, separators=(", ", ": "), allow_nan=False) + "\n")
    return count


def _write_csv(selection: Selection, file: IO[str]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(selection.columns)
    count = 0
    for record in records(selection):
        count += 1
        writer.writerow([_cell(value) for value in record.values()])
    return count


def _write_table(selection: Selection, file: IO[str]) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for field in selection.schema:
        numeric = str(field.type).startswith(("int", "uint", "float", "double", "decimal"))
        table.add_column(Text(field.name), justify="right" if numeric else "left", no_wrap=True)
    count = 0
    for record in records(selection):
        count += 1
        table.add_row(*(Text(_short(_cell(value))) for value in record.values()))
    # As wide as it needs to be: a terminal wraps, a pipe should not lose columns.
    width = max(40, sum(2 + max([_WIDEST_CELL, len(name)]) for name in selection.columns))
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, highlight=False).print(table)
    file.writelines(line.rstrip() + "\n" for line in buffer.getvalue().splitlines() if line.strip())
    return count


def _save_parquet(selection: Selection, part: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    try:
        with pq.ParquetWriter(part, selection.schema, compression="zstd") as writer:
            for batch in selection.batches:
                writer.write_batch(batch)
                count += batch.num_rows
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as e:
        raise ConfigError(f"Parquet cannot hold this result: {e}; cast the column to VARCHAR") from e
    return count


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A file beside ``out`` that takes its name when the context ends well, and vanishes otherwise."""
    part = out.with_name(f".{out.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, out)
    finally:
        with suppress(OSError):
            part.unlink()


def _plain_values(column: "pa.Array", name: str) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.string())  # Python's datetime stops at microseconds
    exact = pa.types.is_decimal(column.type) and column.type.scale == 0
    try:
        values = column.to_pylist(maps_as_pydicts="strict")
    except (ValueError, OverflowError) as e:
        raise ConfigError(f"column {name}: a value has no form in text ({e}); cast the column to VARCHAR") from e
    if exact:
        return [None if value is None else int(value) for value in values]
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """A value of Arrow as one of JSON's."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(of_key) for key, of_key in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return float(value) if len(value.as_tuple().digits) <= _EXACT_DIGITS else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _short(text: str) -> str:
    """One line of at most ``_WIDEST_CELL`` characters, without control characters a terminal would obey."""
    line = "".join(c if c.isprintable() else " " for c in text[: _WIDEST_CELL + 1])
    return line if len(line) <= _WIDEST_CELL else line[: _WIDEST_CELL - 1] + "\u2026"

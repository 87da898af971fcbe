"""The ledger's rows in a form of no database: lines of JSON, cut into parts that stay the same where rows do.

So a ledger in SQLite may be brought back in PostgreSQL, and the reverse. What only running work needs is left out.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, Table, delete, insert, select

from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets.ledger.database import insert_rows

LEFT_OUT = frozenset(
    {
        "pins", "leases", "listing_passes", "listing_parts", "touched", "settled_recipes", "check_marks", "repairs",
        "store_places", "held_arrivals",
    }
)  # fmt: skip
"""Tables that describe work at this moment, or stores that are written anew."""

MOST_LINES = 4096
_CUT = 256
"""A part ends on average after so many lines: what is added or changed in one place changes one part."""
_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """Some lines, each ended by a line feed."""

    content: bytes
    lines: int


def dumped_tables() -> list[Table]:
    """The tables of a dump, by name."""
    return [table for name, table in sorted(schema.metadata.tables.items()) if name not in LEFT_OUT]


def table_lines(connection: Connection, table: Table) -> Iterator[tuple[bytes, bytes]]:
    """(key, line) of each row, by primary key. The connection is in use until the last one is taken."""
    keys = [column.name for column in table.primary_key.columns]
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_ROWS)
    for row in connection.execute(query):
        values = _plain(row)
        key = [values[at] for at, column in enumerate(table.columns) if column.name in keys]
        yield _line(key), _line(values)


def parts(lines: Iterable[tuple[bytes, bytes]]) -> Iterator[Part]:
    """Lines in parts. Where one ends is told by the keys alone, so a row that is added moves no other boundary."""
    held: list[bytes] = []
    for key, line in lines:
        held.append(line)
        if len(held) >= MOST_LINES or zlib.crc32(key) % _CUT == 0:
            yield Part(b"".join(held), len(held))
            held = []
    if held:
        yield Part(b"".join(held), len(held))


def load_part(connection: Connection, name: str, columns: Sequence[str], content: bytes) -> int:
    """Insert the rows of one part; how many.

    Raises:
        ConfigError: the table or a column is not known here, or a column that is needed is not in the dump: it was
            written by another version of this program.
    """
    table = _known(name, columns)
    binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
    rows = [
        row | {one: base64.b64decode(row[one]) for one in binary if row.get(one) is not None}
        for row in read_part(columns, content)
    ]
    insert_rows(connection, table, rows)
    return len(rows)


def read_part(columns: Sequence[str], content: bytes) -> list[dict[str, Any]]:
    """The rows of one part, bytes as base64."""
    return [dict(zip(columns, json.loads(line), strict=True)) for line in content.splitlines()]


def empty(connection: Connection) -> None:
    """Delete every row of every table, what a dump leaves out too."""
    for table in schema.metadata.tables.values():
        connection.execute(delete(table))


def copy_all(source: Connection, target: Connection) -> None:
    """Insert every row that a dump of ``source`` would hold into ``target``, whose tables are empty."""
    for table in dumped_tables():
        rows = source.execute(select(table).execution_options(yield_per=_ROWS))
        for some in rows.mappings().partitions():
            insert_rows(target, table, [dict(row) for row in some])


def enter_meta(connection: Connection, key: str, value: str) -> None:
    """Put one value in the place of what stood under ``key``."""
    connection.execute(delete(schema.meta).where(schema.meta.c.key == key))
    connection.execute(insert(schema.meta), {"key": key, "value": value})


def _known(name: str, columns: Sequence[str]) -> Table:
    table = schema.metadata.tables.get(name)
    strange = [] if table is None else [one for one in columns if one not in table.columns]
    if table is None or strange:
        raise ConfigError(
            f"the backup's table {name} {strange or ''} is not known here: restore it with the version of etl-assets "
            "that made it"
        )
    lacking = [one.name for one in table.columns if one.name not in columns and not one.nullable]
    if lacking:
        raise ConfigError(
            f"the backup's table {name} lacks {', '.join(lacking)}: restore it with the version of etl-assets that "
            "made it, then run `etl-assets migrate`"
        )
    return table


def _plain(row: Row[Any]) -> list[Any]:
    return [base64.b64encode(value).decode() if isinstance(value, bytes | memoryview) else value for value in row]


def _line(values: Sequence[Any]) -> bytes:
    return (json.dumps(values, ensure_ascii=True, separators=(",", ":"), sort_keys=True) + "\n").encode()

"""What Dagster keeps of documents on PostgreSQL: its runs, events, ticks and their tags."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from etl_assets.backends.blanking import Blanking
from etl_assets.errors import PermanentError, TransientError
from etl_assets.ledger.erasing import rewrite_postgresql

if TYPE_CHECKING:
    from psycopg import Connection, Cursor
    from psycopg.sql import Identifier

TABLES = (
    "alembic_version", "asset_check_executions", "asset_daemon_asset_evaluations", "asset_event_tags", "asset_keys",
    "backfill_tags", "bulk_actions", "concurrency_limits", "concurrency_slots", "daemon_heartbeats",
    "dynamic_partitions", "event_logs", "instance_info", "instigators", "job_ticks", "jobs", "kvs", "pending_steps",
    "run_tags", "runs", "secondary_indexes", "snapshots",
)  # fmt: skip
"""Tables of Dagster 1.13; others in the database are somebody else's."""

PATIENCE_S = 60
"""How long to wait for whoever holds a table, and for the server to answer."""

_BATCH = 500
_MARK = "etl-assets: to be rewritten, so that no page holds what was blanked"


class PostgresTraces:
    """Traces (see ``protocols.erasure``) in Dagster's tables of the database that ``url`` says.

    A table is closed to writers while it is read through, and to everybody while it is rewritten, which is done only
    where something was found. The server's write-ahead log, its replicas and its backups are its own.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url

    def erase(self, names: Collection[str], texts: Collection[str]) -> Mapping[str, int]:
        """See ``Traces.erase``. Tables that Dagster has not made yet hold nothing.

        Raises:
            TransientError: the server does not answer, or others kept a table for over ``PATIENCE_S``.
            PermanentError: the server refuses; nothing is blanked in the table that the message names.
        """
        import psycopg

        blank = Blanking(names, texts)
        at, found = "Dagster's database", 0
        try:
            with psycopg.connect(self._url(), autocommit=True, connect_timeout=10) as connection:
                connection.execute(f"SET lock_timeout = '{PATIENCE_S}s'")
                tables = _tables(connection)
                for at, columns in tables.items():
                    found += _in_table(connection, at, columns, blank)
                _rewrite(connection, tables)
        except (psycopg.OperationalError, psycopg.errors.LockNotAvailable) as e:
            raise TransientError(f"clearing {at} on PostgreSQL: {type(e).__name__}; run again") from e
        except psycopg.Error as e:
            raise PermanentError(f"clearing {at} on PostgreSQL: {type(e).__name__}") from e
        return {"database rows": found} if found else {}


def _tables(connection: "Connection[tuple[object, ...]]") -> dict[str, list[str]]:
    """The columns of text of each of Dagster's tables that is there."""
    rows = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = ANY(%s)"
        " AND data_type IN ('text', 'character varying') ORDER BY table_name, ordinal_position",
        [list(TABLES)],
    )
    columns: dict[str, list[str]] = {}
    for table, column in rows:
        columns.setdefault(str(table), []).append(str(column))
    return columns


def _in_table(connection: "Connection[tuple[object, ...]]", table: str, columns: list[str], blank: Blanking) -> int:
    """How many passages were blanked. The table is marked until it is rewritten, whoever does that."""
    from psycopg import sql

    name = sql.Identifier(table)
    wanted = sql.SQL(", ").join(map(sql.Identifier, columns))
    found = 0
    with connection.transaction(), connection.cursor(name="traces") as reader, connection.cursor() as writer:
        writer.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(name))
        reader.itersize = _BATCH
        reader.execute(sql.SQL("SELECT ctid::text, {} FROM {}").format(wanted, name))
        for place, *values in reader:
            found += _in_row(writer, name, str(place), dict(zip(columns, values, strict=True)), blank)
        if found:
            writer.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(_MARK)))
    return found


def _rewrite(connection: "Connection[tuple[object, ...]]", tables: Iterable[str]) -> None:
    from psycopg import sql

    marked = connection.execute(
        "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relnamespace = current_schema()::regnamespace"
        " AND obj_description(oid, 'pg_class') = %s",
        [list(tables), _MARK],
    ).fetchall()
    if marked:
        names = [str(name) for (name,) in marked]
        rewrite_postgresql(connection, names, "Dagster's database")
        for name in names:
            connection.execute(sql.SQL("COMMENT ON TABLE {} IS NULL").format(sql.Identifier(name)))


def _in_row(
    writer: "Cursor[tuple[object, ...]]", table: "Identifier", place: str, row: Mapping[str, object], blank: Blanking
) -> int:
    from psycopg import sql

    blanked = {column: blank(value) for column, value in row.items() if isinstance(value, str)}
    changed = {column: after for column, (after, count) in blanked.items() if count}
    if changed:
        assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in changed)
        writer.execute(
            sql.SQL("UPDATE {} SET {} WHERE ctid = %s::tid").format(table, assignments), [*changed.values(), place]
        )
    return sum(count for _, count in blanked.values())

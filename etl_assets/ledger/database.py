"""Opening the ledger, its transactions, its clock and its counters. SQL about documents is in the other modules."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Dialect,
    Engine,
    PoolProxiedConnection,
    Table,
    bindparam,
    create_engine,
    event,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql as postgres
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets.ledger import postgresql, schema
from etl_assets.ledger.waiting import PATIENCE_S, begun
from etl_assets.protocols.secrets import Credential

BUSY_TIMEOUT_S = 60.0
"""How long a writer waits for another one before it gives up with a TransientError."""


class Ledger:
    """One open ledger. Safe to share between threads; each process opens its own."""

    def __init__(self, engine: Engine, *, lock_folder: Path | None) -> None:
        self._engine = engine
        self.lock_folder = lock_folder
        self._producers: dict[str, int] = {}
        self._patience_s = 0.0

    @classmethod
    def sqlite(cls, path: Path) -> "Ledger":
        """Open the SQLite ledger at ``path`` and make its tables if it is new.

        Raises:
            ConfigError: the ledger was written by a newer version of this program.
            PermanentError: the file cannot be opened or written, or is no SQLite database.
        """
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
            json_serializer=_compact_json,
        )
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        ledger = cls(engine, lock_folder=path.with_name(path.name + ".locks"))
        with _named_errors(f"ledger {path.name}"):
            ledger._prepare()
        return ledger

    @classmethod
    def postgresql(
        cls, url: str | Credential, *, transaction_pooling: bool, migrate: bool = False,
        statement_limit_s: float = postgresql.STATEMENT_LIMIT_S,
    ) -> "Ledger":  # fmt: skip
        """Open the ledger in a PostgreSQL database, 15 or newer, and make its tables if there are none.

        ``transaction_pooling``: the URL leads to a pooler that gives each transaction another session, such as
        PgBouncer in transaction mode or port 6543 of Supabase. A URL that a store of secrets holds is read anew when
        the server refuses it. ``migrate``: bring an older ledger up to date. ``statement_limit_s``: how long one
        statement may take.

        Raises:
            ConfigError: the URL cannot be read, the driver is missing, the server is too old, or the ledger was
                written by a newer version of this program, or by an older one and ``migrate`` is not set.
            TransientError: the server cannot be reached now.
            PermanentError: it refuses this user, or the user may not make tables.
        """
        engine = postgresql.open_engine(
            url, transaction_pooling=transaction_pooling, statement_limit_s=statement_limit_s
        )
        ledger = cls(engine, lock_folder=None)
        try:
            with _named_errors("ledger"):
                ledger._prepare_by_migrations(migrate=migrate)
        except BaseException:
            ledger.close()
            raise
        # Whoever opens a ledger is told at once that it cannot be reached: the URL may be wrong.
        ledger._patience_s = PATIENCE_S
        return ledger

    def _prepare_by_migrations(self, *, migrate: bool) -> None:
        with self.reading() as connection:
            postgresql.check_version(connection)
            version = schema_version(connection)
        if version is None or (migrate and version <= schema.SCHEMA_VERSION):
            from etl_assets.ledger.migrations import upgrade  # Alembic is loaded only when there is work for it

            upgrade(self)
        elif version > schema.SCHEMA_VERSION:
            raise newer_schema(version)
        elif version < schema.SCHEMA_VERSION:
            raise ConfigError(
                f"the ledger has schema {version}, this program needs {schema.SCHEMA_VERSION}: run `etl-assets migrate`"
            )

    def _prepare(self) -> None:
        with self.reading() as connection:
            version = schema_version(connection)
        if version is None:
            with self.writing() as connection:
                schema.metadata.create_all(connection, checkfirst=True)
                present = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "schema"))
                if present is None:
                    connection.execute(insert(schema.meta), {"key": "schema", "value": str(schema.SCHEMA_VERSION)})
        elif version > schema.SCHEMA_VERSION:
            raise newer_schema(version)
        elif version < schema.SCHEMA_VERSION:
            from etl_assets.ledger.migrations import upgrade  # Alembic is loaded only when there is work for it

            upgrade(self)

    def close(self) -> None:
        """Give back every connection. The ledger can be used again afterwards."""
        self._engine.dispose()

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot for the time of the context; it takes no lock.

        Raises:
            TransientError: the database is busy or unreachable.
            PermanentError: it refused for good (full disk, damaged file).
        """
        with self._transaction("DEFERRED") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, committed when the context ends well and rolled back when it raises.

        On SQLite it begins with BEGIN IMMEDIATE. (Measured with four processes: the driver's default lost over half
        of 1,200 increments, plain BEGIN failed 396 times, IMMEDIATE lost none.)

        Raises:
            TransientError, PermanentError: as for ``reading``.
        """
        with self._transaction("IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def maintaining(self) -> Iterator[PoolProxiedConnection]:
        """A connection outside every transaction, for statements such as VACUUM that cannot be in one."""
        with _named_errors("ledger"), closing(self._engine.raw_connection()) as raw:
            yield raw

    @contextmanager
    def _transaction(self, mode: str) -> Iterator[Connection]:
        with _named_errors("ledger"):
            connection, ending = begun(lambda: self._begun(mode), may_pass=_may_pass, patience_s=self._patience_s)
            with ending:
                yield connection

    def _begun(self, mode: str) -> tuple[Connection, ExitStack]:
        with ExitStack() as ending:
            connection = ending.enter_context(self._engine.connect())
            connection.info["mode"] = mode
            ending.enter_context(connection.begin())
            return connection, ending.pop_all()

    def known_producer_id(self, producer: str) -> int:
        """The number of a producer, or -1 for one that never ran: no output can be its."""
        known = self._producers.get(producer)
        if known is None:
            table = schema.producers
            with self.reading() as connection:
                known = connection.scalar(select(table.c.producer_id).where(table.c.producer == producer))
        return -1 if known is None else int(known)

    def producer_id(self, stage: str, producer: str, parameters: Any) -> int:
        """The number of a producer, given out on first sight."""
        known = self._producers.get(producer)
        if known is not None:
            return known
        table = schema.producers
        find = select(table.c.producer_id).where(table.c.producer == producer)
        with self.reading() as connection:
            found = connection.scalar(find)
        if found is None:
            with self.writing() as connection:
                # The counter is held to the commit, so whoever draws second sees what the first one entered.
                number = draw(connection, "producer")
                found = connection.scalar(find)
                if found is None:
                    found = number
                    row = {"producer_id": found, "producer": producer, "stage": stage, "parameters": parameters}
                    connection.execute(insert(table), row)
        self._producers[producer] = int(found)
        return int(found)


def draw(connection: Connection, counter: str, count: int = 1) -> int:
    """Take ``count`` numbers of a counter and return the first; the row stays locked until the commit.

    Counters are rows and not database sequences, whose numbers commit out of order.
    """
    drawn = {"counter": counter, "by": count}
    last = connection.scalar(_advance(), drawn)
    if last is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(schema.counters), {"name": counter, "value": 0})
        except IntegrityError:
            pass  # somebody else made the row in this instant
        last = connection.scalar(_advance(), drawn)
    return int(last or 0) - count + 1


@cache
def _advance() -> ReturningUpdate[Any]:
    table = schema.counters
    further = update(table).where(table.c.name == bindparam("counter")).values(value=table.c.value + bindparam("by"))
    return further.returning(table.c.value)


def schema_version(connection: Connection) -> int | None:
    """The version of the tables in this database; ``None`` where there are none."""
    if not connection.dialect.has_table(connection, "meta"):
        return None
    value = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "schema"))
    return None if value is None else int(value)


def newer_schema(version: int) -> ConfigError:
    """What to say of a ledger that a newer program has written."""
    return ConfigError(
        f"the ledger has schema {version}, this program knows {schema.SCHEMA_VERSION}: "
        "use the newer etl-assets that wrote it"
    )


def sequence(connection: Connection) -> int:
    """The highest sequence number committed so far, as this transaction sees it; 0 in a new ledger."""
    table = schema.counters
    return int(connection.scalar(select(table.c.value).where(table.c.name == "sequence")) or 0)


def next_sequence(connection: Connection) -> int:
    """The next sequence number, taken by this transaction."""
    return draw(connection, "sequence")


def hold_sequence(connection: Connection) -> None:
    """Let nobody else take a sequence number before this transaction has committed.

    Times that are compared with each other are taken after this: then they have the order of their commits.
    """
    table = schema.counters
    connection.execute(select(table.c.value).where(table.c.name == "sequence").with_for_update())


def now(connection: Connection) -> ColumnElement[float]:
    """The database's clock as an SQL expression, Unix seconds UTC: hosts' clocks differ, the database has one."""
    if connection.dialect.name == "sqlite":
        return literal_column("((julianday('now') - 2440587.5) * 86400.0)")
    return literal_column("extract(epoch from clock_timestamp())::double precision")


def clock(connection: Connection) -> float:
    """The database's clock, Unix seconds UTC."""
    return float(connection.scalar(select(now(connection))) or 0.0)


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode


def _compact_json(value: object) -> str:
    return _encode(value)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows that all have the same columns.

    (Measured: the statement compiled once and its JSON encoded here takes a third of the CPU time that executing an
    ``insert()`` with a list of dictionaries takes, which builds every row's parameters by name.)
    """
    if not rows:
        return
    names = tuple(rows[0])
    statement, order = _insert_statement(table, names, connection.dialect)
    nested = {column.name for column in table.columns if isinstance(column.type, JSON)} & set(names)
    values = [
        tuple(_encode(row[name]) if name in nested and row[name] is not None else row[name] for name in order)
        for row in rows
    ]
    connection.exec_driver_sql(statement, values)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, differs: str = "") -> None:
    """Insert rows, each in place of the one with its primary key: a writer beside this one is no error.

    With the name of a column in ``differs``, a row whose value there is the same already is left as it is.
    """
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgres
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key.columns]
    values = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    changed = table.c[differs] != statement.excluded[differs] if differs else None
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values, where=changed), list(rows))


@lru_cache(maxsize=64)
def _insert_statement(table: Table, names: tuple[str, ...], dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    compiled = insert(table).compile(dialect=dialect, column_keys=list(names))
    return str(compiled), tuple(compiled.positiontup or names)


def digest_of(value: object) -> str:
    """BLAKE2b-128 over the canonical JSON of a value, in hex."""
    return hashlib.blake2b(_compact_json(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _configure_sqlite(raw: Any, _record: object) -> None:
    cursor = raw.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.info.get('mode', 'DEFERRED')}")


@contextmanager
def _named_errors(what: str) -> Iterator[None]:
    """Database errors as ours; what is raised inside the context by our own code passes untouched."""
    try:
        yield
    except EtlAssetsError:
        raise
    except PoolTimeout as error:
        raise TransientError(f"{what}: every connection is in use; try again") from error
    except DBAPIError as error:
        raise _translated(what, error) from error


def _may_pass(error: DBAPIError) -> bool:
    return isinstance(_translated("ledger", error), TransientError)


def _translated(what: str, error: DBAPIError) -> EtlAssetsError:
    if hasattr(error.orig, "sqlstate"):
        return postgresql.translated(what, error)
    text = str(error.orig)
    if "full" in text:
        return PermanentError(f"{what}: {text}; free some space and run again, nothing was lost")
    if "locked" in text or "busy" in text:
        return TransientError(f"{what}: another process has kept it locked for {BUSY_TIMEOUT_S:.0f} s; try again")
    if any(word in text for word in ("unable to open", "readonly", "disk I/O", "malformed", "not a database")):
        return PermanentError(f"{what}: {text}; check the file and its folder's rights")
    if not isinstance(error, OperationalError) or any(word in text for word in ("no such", "syntax error")):
        return PermanentError(f"{what}: {text}")
    return TransientError(f"{what}: {text}")

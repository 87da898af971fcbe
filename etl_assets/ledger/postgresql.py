"""PostgreSQL as the ledger's database: how it is reached, how a transaction begins, and what its errors mean.

No session state is kept, so a pooler may give every transaction another session (PgBouncer and Supabase in transaction
mode): limits are set inside each transaction, in the same message that begins it. The driver is opened in its
autocommit mode for that reason alone; COMMIT and ROLLBACK are its own.
"""

import time
from collections.abc import Callable, Generator
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.secrets import Credential

OLDEST_VERSION = 15
CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 60
"""How long a statement waits for a row that another transaction holds."""

STATEMENT_LIMIT_S = 300.0
"""How long the server works on one statement, unless ``ETL_POSTGRES_STATEMENT_LIMIT_S`` says otherwise."""

LATE_S = 15.0
"""How much longer this side waits for the answer: a server that can will say itself that its limit has passed."""

IDLE_WRITER_S = 30
"""A writer that says nothing for so long, stopped or cut off, loses its transaction: it may hold a counter."""

IDLE_READER_S = 900
POOL_SIZE = 5
POOL_OVERFLOW = 15
POOL_TIMEOUT_S = 60

_OF_THE_URL = ("host", "port", "user", "password", "dbname")
_FOREIGN_OPTIONS = ("pgbouncer", "connection_limit", "pool_timeout", "schema")
"""What other programs put into URLs of hosted databases; libpq refuses them."""

_PASSING = ("08", "40001", "40P01", "53", "55P03", "57014", "57P", "25P03", "25P04")
"""SQLSTATE, or how it begins: lost connections, serialisation failures and deadlocks, too many connections, lock and
statement limits, shut-downs, and the limit on idle transactions."""

_OF_CREDENTIALS = ("authentication", "password", "Tenant or user not found")
_REFUSED = (
    *_OF_CREDENTIALS, "pg_hba", "does not exist", "certificate", "SSL is not enabled", "does not support SSL",
    "permission denied", "could not translate host name",
)  # fmt: skip
"""Words of refusals to connect, which come without an SQLSTATE."""


def open_engine(
    url: str | Credential, *, transaction_pooling: bool, statement_limit_s: float = STATEMENT_LIMIT_S
) -> Engine:
    """An engine whose pool replaces connections that a restarted server has lost. Nothing is connected yet.

    When the server refuses a ``url`` of a store of secrets, it is read anew, and used if it is another one.

    ``transaction_pooling``: the URL leads to a pooler that gives each transaction another session; statements are then
    not prepared. ``statement_limit_s``: how long the server may work on one statement. A server or pooler that says
    nothing ``LATE_S`` after that has hung, and its connection is given up.

    Raises:
        ConfigError: the URL cannot be read (it is not repeated: it may hold a password), or the driver is missing.
    """
    target = _target(url if isinstance(url, str) else url.value())
    try:
        engine = create_engine(
            target,
            connect_args={
                "autocommit": True,
                "connect_timeout": CONNECT_TIMEOUT_S,
                "prepare_threshold": None if transaction_pooling else 5,
                "application_name": "etl-assets",
                # A peer that vanished without a word is noticed in about a minute.
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "tcp_user_timeout": 60_000,
            },
            paramstyle="format",
            use_native_hstore=False,
            hide_parameters=True,
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=POOL_TIMEOUT_S,
            pool_pre_ping=True,
            pool_recycle=1800,
            pool_use_lifo=True,
        )
    except ModuleNotFoundError as e:
        raise ConfigError("a ledger on PostgreSQL needs the driver: pip install 'etl-assets[postgres]'") from e
    event.listen(engine, "begin", lambda connection: _begin(connection, statement_limit_s))
    event.listen(engine, "connect", lambda raw, _: _give_up_after(raw, statement_limit_s + LATE_S), insert=True)
    if not isinstance(url, str):
        event.listen(engine, "do_connect", _Connecting(url))
    return engine


class _Connecting:
    """Opens the connections of a pool by the URL that is in use now."""

    def __init__(self, url: Credential) -> None:
        self._url = url

    def __call__(self, dialect: Dialect, record: object, arguments: object, parameters: dict[str, Any]) -> Any:
        url = self._url.value()
        try:
            return self._connected(dialect, url, parameters)
        except dialect.loaded_dbapi.OperationalError as e:
            if not any(word in str(e) for word in _OF_CREDENTIALS):
                raise
            renewed = self._url.renewed(url)
            if renewed is None:
                raise
        return self._connected(dialect, renewed, parameters)

    def _connected(self, dialect: Dialect, url: str, parameters: dict[str, Any]) -> Any:
        given, named = dialect.create_connect_args(_target(url))
        # What was set for the engine wins, as it does where SQLAlchemy connects by itself.
        own = {name: value for name, value in parameters.items() if name not in _OF_THE_URL}
        return dialect.connect(*given, **{**named, **own})


def _target(url: str) -> URL:
    try:
        target = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "the ledger's database URL cannot be read; expected postgresql://USER@HOST/DATABASE"
        ) from None
    if target.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ConfigError(f"the ledger's database URL begins with {target.drivername}://; expected postgresql://")
    return target.set(drivername="postgresql+psycopg").difference_update_query(_FOREIGN_OPTIONS)


def _give_up_after(raw: Any, limit_s: float) -> None:
    """Let every wait of a connection of the driver end: one whose peer lives and is silent would wait for ever."""
    wait = raw.wait

    def given_up() -> Exception:
        raw.pgconn.finish()
        error: Exception = raw.OperationalError(f"the database has not answered for {limit_s:g} s")
        return error

    def bounded(answer: Generator[int, int, Any], *arguments: Any, **options: Any) -> Any:
        return wait(_within(limit_s, answer, given_up), *arguments, **options)

    raw.wait = bounded


def _within(
    limit_s: float, answer: Generator[int, int, Any], given_up: Callable[[], Exception]
) -> Generator[int, int, Any]:
    """The driver's own dialogue, until it is over or has been silent for so long. It is asked ten times a second."""
    ends_at = time.monotonic() + limit_s
    try:
        wanted = next(answer)
        while True:
            ready = yield wanted
            if ready:
                ends_at = time.monotonic() + limit_s
            elif time.monotonic() > ends_at:
                raise given_up()
            wanted = answer.send(ready)
    except StopIteration as end:
        return end.value


def _begin(connection: Connection, statement_limit_s: float) -> None:
    """Readers get one snapshot for all their statements. Writers see, statement by statement, what is committed: who
    decides by what it reads first locks the row that others must change too (a lease, a counter, a collection)."""
    if connection.info.get("mode") == "IMMEDIATE":
        begin, idle = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", IDLE_WRITER_S
    else:
        begin, idle = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", IDLE_READER_S
    limits = {
        "lock_timeout": LOCK_TIMEOUT_S,
        "statement_timeout": statement_limit_s,
        "idle_in_transaction_session_timeout": idle,
    }
    statements = [begin, *(f"SET LOCAL {name} = '{round(1000 * limit_s)}ms'" for name, limit_s in limits.items())]
    # Without parameters the driver sends all four as one message.
    connection.exec_driver_sql("; ".join(statements), execution_options={"no_parameters": True})


def check_version(connection: Connection) -> None:
    """Raises ConfigError for a server that is too old."""
    version = connection.dialect.server_version_info
    if version is not None and int(version[0]) < OLDEST_VERSION:
        raise ConfigError(
            f"the ledger's database is PostgreSQL {'.'.join(map(str, version))}: {OLDEST_VERSION} or newer is needed"
        )


def translated(what: str, error: DBAPIError) -> EtlAssetsError:
    """A database error as one of ours. Its parameters are not in the message."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    text = " ".join(str(error.orig).split())
    if state.startswith("53100"):
        return PermanentError(f"{what}: {text}; free some space and run again, nothing was lost")
    if state.startswith(_PASSING) or (not state and error.connection_invalidated):
        return TransientError(f"{what}: {text}; try again")
    if not state and _is_connection_failure(error.orig):
        if any(word in text for word in _REFUSED):
            return PermanentError(f"{what}: {text}; check the database's URL, user and password")
        return TransientError(f"{what}: {text}; try again")
    if state == "42501":
        return PermanentError(f"{what}: {text}; grant this right to the user, or take another user")
    if state == "25006":
        return PermanentError(f"{what}: {text}; the database is a standby or was made read-only")
    return PermanentError(f"{what}: {text}")


def _is_connection_failure(error: Any) -> bool:
    return type(error).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")

"""What can be said of a ledger on PostgreSQL without a server: its URL, its driver, and what errors mean."""

import sys

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.ledger import postgresql
from etl_assets.ledger.database import Ledger


def test_a_url_that_cannot_be_used_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="begins with mysql"):
        Ledger.postgresql("mysql://user:canary@host/db", transaction_pooling=False)
    with pytest.raises(ConfigError, match=r"cannot be read; expected postgresql://") as failure:
        Ledger.postgresql("canary", transaction_pooling=False)
    assert "canary" not in str(failure.value) and failure.value.__suppress_context__


def test_a_missing_driver_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'etl-assets\[postgres\]'"):
        postgresql.open_engine("postgresql://host/db", transaction_pooling=False)


def test_a_server_that_does_not_answer_may_be_tried_again_and_its_password_is_not_shown() -> None:
    with pytest.raises(TransientError, match="refused") as failure:
        Ledger.postgresql("postgresql://user:canary@127.0.0.1:1/db", transaction_pooling=True)
    assert "canary" not in f"{failure.value} {failure.value.__cause__}"


def test_options_of_other_programs_in_a_url_are_left_out() -> None:
    engine = postgresql.open_engine(
        "postgres://h/db?pgbouncer=true&connection_limit=1&sslmode=require", transaction_pooling=True
    )
    assert engine.url.drivername == "postgresql+psycopg" and dict(engine.url.query) == {"sslmode": "require"}


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (errors.SerializationFailure("x"), TransientError, "try again"),
        (errors.DeadlockDetected("x"), TransientError, "try again"),
        (errors.LockNotAvailable("x"), TransientError, "try again"),
        (errors.QueryCanceled("x"), TransientError, "try again"),
        (errors.AdminShutdown("x"), TransientError, "try again"),
        (errors.TooManyConnections("x"), TransientError, "try again"),
        (errors.IdleInTransactionSessionTimeout("x"), TransientError, "try again"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), TransientError, "try again"),
        (psycopg.OperationalError('password authentication failed for user "u"'), PermanentError, "check the database"),
        (errors.DiskFull("x"), PermanentError, "free some space"),
        (errors.InsufficientPrivilege("x"), PermanentError, "grant this right"),
        (errors.ReadOnlySqlTransaction("x"), PermanentError, "standby"),
        (errors.UndefinedTable("x"), PermanentError, "ledger: x"),
        (psycopg.DataError("text fields cannot contain NUL"), PermanentError, "NUL"),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(error: psycopg.Error, kind: type[Exception], words: str) -> None:
    wrapped = DBAPIError.instance("SELECT 1", {}, error, psycopg.Error)
    found = postgresql.translated("ledger", wrapped)  # type: ignore[arg-type]
    assert type(found) is kind and words in str(found)

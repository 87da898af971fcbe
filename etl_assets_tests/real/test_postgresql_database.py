"""The ledger on PostgreSQL as a database: what holds on SQLite, and what servers and poolers add to it."""

import threading
from collections.abc import Callable, Mapping
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.engine import make_url

from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.ledger import postgresql, schema
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.ledger.database import Ledger, draw, insert_rows, next_sequence, sequence
from etl_assets.ledger.generations import follow
from etl_assets.ledger.migrations import upgrade
from etl_assets_tests.ledger.test_database import (  # noqa: F401  they are tests of this module too
    test_a_ledger_opens_again_with_what_it_held,
    test_a_newer_schema_is_refused_with_what_to_do,
    test_a_reader_sees_one_snapshot,
    test_a_transaction_that_raises_keeps_nothing,
    test_counters_of_many_threads_lose_and_repeat_nothing,
    test_producers_have_one_number_for_ever,
    test_the_clock_never_goes_back,
)
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.toxiproxy import add_toxic, proxied, remove_toxic
from etl_assets_tests.trivial import definition

pytestmark = pytest.mark.usefixtures("ledgers_on_postgresql")


def in_threads(count: int, act: "callable") -> list[object]:  # type: ignore[valid-type]
    """What ``act`` gave or raised in each of so many threads that began together."""
    gate = threading.Barrier(count)
    results: list[object] = []

    def run() -> None:
        gate.wait()
        try:
            results.append(act())  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001  the test looks at it
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_rows_inserted_in_bulk_read_back_the_same(ledger: Ledger) -> None:
    rows = [
        {"entry": n, "at": n / 3, "action": "100% 'so' %s", "subject": "ü€😀\n" * n, "detail": {"n": None, "x": ["%"]}}
        for n in range(50)
    ]
    with ledger.writing() as connection:
        insert_rows(connection, schema.audit, rows)
    with ledger.reading() as connection:
        found = connection.execute(select(schema.audit).order_by(schema.audit.c.entry)).mappings().all()
    assert [dict(row) for row in found] == rows


def test_broken_rules_and_missing_tables_are_permanent_and_show_no_values(ledger: Ledger) -> None:
    with pytest.raises(PermanentError, match="unique constraint"), ledger.writing() as connection:
        connection.execute(insert(schema.meta), {"key": "schema", "value": "canary"})
    with pytest.raises(PermanentError, match="unheard_of") as failure, ledger.reading() as connection:
        connection.execute(text("SELECT * FROM unheard_of WHERE 'canary' = :canary"), {"canary": "canary-2"})
    assert "canary-2" not in str(failure.value) and "canary-2" not in str(failure.value.__cause__)


def test_a_reader_cannot_write(ledger: Ledger) -> None:
    with pytest.raises(PermanentError, match="read-only transaction"), ledger.reading() as connection:
        next_sequence(connection)


def test_one_name_is_entered_once_however_many_ask_at_the_same_moment(ledger: Ledger) -> None:
    for n in range(5):
        made = in_threads(6, lambda n=n: [p.cid for p in ensure_collection(ledger, "acme", f"c{n}", shards=4)])
        assert all(one == made[0] for one in made), made
        numbers = in_threads(6, lambda n=n: ledger.producer_id("pages", f"pages/{n}", {}))
        assert len(set(numbers)) == 1, numbers


def test_shards_that_begin_together_share_one_generation_and_one_reign(ledger: Ledger) -> None:
    partitions = ensure_collection(ledger, "acme", "reports", shards=4)
    free = list(partitions)

    def begin() -> int:
        with ledger.writing() as connection:
            (number,) = follow(connection, free.pop().cid, definition("m"))
            return number

    assert len(set(in_threads(4, begin))) == 1
    with ledger.reading() as connection:
        assert len(connection.execute(select(schema.reigns)).all()) == 1
        assert [row.state for row in connection.execute(select(schema.generations))] == ["live"]


def test_a_deadlock_is_transient_and_the_other_one_goes_on(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        draw(connection, "one")
        draw(connection, "two")
    met = threading.Barrier(2)
    orders = [("one", "two"), ("two", "one")]

    def cross() -> str:
        first, second = orders.pop()
        with ledger.writing() as connection:
            draw(connection, first)
            met.wait()
            draw(connection, second)
        return "done"

    results = in_threads(2, cross)
    assert "done" in results
    assert [type(one) for one in results if one != "done"] == [TransientError]


def test_a_row_that_is_held_too_long_is_a_transient_error(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger.writing() as connection:
        draw(connection, "held")
    monkeypatch.setattr(postgresql, "LOCK_TIMEOUT_S", 1)
    with ledger.writing() as holder:
        draw(holder, "held")
        with pytest.raises(TransientError, match="lock timeout"), ledger.writing() as connection:
            draw(connection, "held")


def test_a_writer_that_falls_silent_loses_its_transaction(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "IDLE_WRITER_S", 1)
    with pytest.raises(TransientError), ledger.writing() as silent:
        draw(silent, "held")
        monkeypatch.setattr(postgresql, "IDLE_WRITER_S", 60)
        with ledger.writing() as other:
            assert draw(other, "held") == 1  # it waits until the server ends the silent one
        draw(silent, "held")
    with ledger.writing() as connection:
        assert draw(connection, "held") == 2


def test_connections_that_the_server_ended_are_replaced(ledger: Ledger, ledgers_on_postgresql: dict[str, str]) -> None:
    with ledger.writing() as connection:
        next_sequence(connection)
        name = connection.scalar(text("SELECT current_database()"))
    with psycopg.connect(ledgers_on_postgresql["admin"], autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    for _ in range(2):
        try:
            with ledger.reading() as connection:
                assert sequence(connection) == 1
            break
        except TransientError:  # through a pooler: its own connection was the one that was ended
            continue
    with ledger.reading() as connection:
        assert sequence(connection) == 1


def test_a_server_that_falls_silent_is_given_up_and_asked_again(
    ledger: Ledger, ledgers_on_postgresql: dict[str, str], toxiproxy: Variables, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger.reading() as connection:
        name = connection.scalar(text("SELECT current_database()"))
    target = make_url(ledgers_on_postgresql["url"]).set(database=name)
    admin, proxy = toxiproxy["ETL_TEST_TOXIPROXY_URL"], f"ledger-{uuid4().hex}"
    host, _, port = proxied(admin, proxy, f"{target.host}:{target.port}").partition(":")
    url = target.set(host=host, port=int(port)).render_as_string(hide_password=False)
    monkeypatch.setattr(postgresql, "LATE_S", 0.5)
    one = Ledger.postgresql(url, transaction_pooling=ledgers_on_postgresql["pooled"] == "1", statement_limit_s=0.5)
    with pytest.raises(TransientError, match="has not answered for 1 s"), one.reading() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
        toxic = add_toxic(admin, proxy, "timeout", timeout=0)
        connection.scalar(text("SELECT 2"))
    remove_toxic(admin, proxy, toxic)
    with one.reading() as connection:
        assert connection.scalar(text("SELECT 3")) == 3
    with pytest.raises(TransientError, match="statement timeout"), one.reading() as connection:
        connection.execute(text("SELECT pg_sleep(60)"))
    one.close()


def test_nothing_of_a_session_is_left_behind(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == "1min"
    with ledger._engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        cursor = raw.cursor()
        cursor.execute("SELECT current_setting('lock_timeout'), (SELECT count(*) FROM pg_prepared_statements)")
        assert cursor.fetchone()[0] == "0"
        cursor.close()


def test_text_is_ordered_by_code_points_in_any_locale(ledger: Ledger) -> None:
    keys = ["a.b", "a-b", "B", "a b", "ä", "Z", "a"]
    with ledger.writing() as connection:
        connection.execute(insert(schema.meta), [{"key": key, "value": ""} for key in keys])
        found = connection.scalars(
            select(schema.meta.c.key).where(schema.meta.c.value == "").order_by(schema.meta.c.key)
        )
        assert list(found) == sorted(keys)


def test_an_old_ledger_is_brought_up_to_date_only_when_asked(
    ledgers_on_postgresql: dict[str, str], ledger: Ledger
) -> None:
    with ledger.writing() as connection:
        connection.execute(update(schema.meta).where(schema.meta.c.key == "schema").values(value="0"))
    url = ledger._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    pooled = ledgers_on_postgresql["pooled"] == "1"
    with pytest.raises(ConfigError, match="schema 0.*run `etl-assets migrate`"):
        Ledger.postgresql(url, transaction_pooling=pooled)
    again = Ledger.postgresql(url, transaction_pooling=pooled, migrate=True)
    assert upgrade(again) == schema.SCHEMA_VERSION
    again.close()


def test_refusals_to_connect_are_told_from_failures(postgres: Variables) -> None:
    url = make_url(postgres["ETL_TEST_POSTGRES_URL"])

    def open_at(**changes: object) -> None:
        target = url.set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]
        Ledger.postgresql(target, transaction_pooling=False).close()

    with pytest.raises(PermanentError, match="does not exist.*check the database's URL"):
        open_at(database="nowhere")
    with pytest.raises(TransientError, match="refused") as failure:
        open_at(port=1, password="canary")
    assert "canary" not in str(failure.value)
    with pytest.raises(ConfigError, match="begins with mysql"):
        Ledger.postgresql("mysql://user:canary@host/db", transaction_pooling=False)
    with pytest.raises(ConfigError, match="cannot be read") as unread:
        Ledger.postgresql("canary", transaction_pooling=False)
    assert "canary" not in str(unread.value)


def test_options_of_other_programs_in_a_url_are_left_out(postgres: Variables) -> None:
    url = postgres["ETL_TEST_POSTGRES_URL"].replace("postgresql://", "postgres://")
    engine = postgresql.open_engine(f"{url}?pgbouncer=true&connection_limit=1", transaction_pooling=True)
    with engine.connect() as connection, connection.begin():
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_a_transaction_that_finds_the_server_away_begins_when_it_is_back(
    own_server: Callable[[str, Mapping[str, str]], Server],
) -> None:
    server = own_server("postgres", {})
    ledger = Ledger.postgresql(server.variables["ETL_TEST_POSTGRES_URL"], transaction_pooling=False)
    ledger._patience_s = 120.0  # however slowly it starts here
    drawn: list[int] = []

    def draw_one() -> None:
        with ledger.writing() as connection:
            drawn.append(draw(connection, "n"))

    draw_one()
    server.kill()
    waiting = threading.Thread(target=draw_one)
    waiting.start()
    server.restart()
    waiting.join()
    ledger.close()
    assert drawn == [1, 2]

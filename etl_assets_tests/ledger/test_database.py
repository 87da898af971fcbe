"""The ledger as a database: opening, transactions, counters, errors in our own words."""

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, text, update

from etl_assets.errors import ConfigError, DataError, PermanentError, TransientError
from etl_assets.ledger import database, schema
from etl_assets.ledger.database import Ledger, clock, digest_of, draw, insert_rows, next_sequence, sequence


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.sqlite(tmp_path / "ledger.sqlite")


def test_a_ledger_opens_again_with_what_it_held(tmp_path: Path, ledger: Ledger) -> None:
    with ledger.writing() as connection:
        assert next_sequence(connection) == 1
    ledger.close()
    with Ledger.sqlite(tmp_path / "ledger.sqlite").reading() as connection:
        assert sequence(connection) == 1


def test_a_newer_schema_is_refused_with_what_to_do(tmp_path: Path, ledger: Ledger) -> None:
    with ledger.writing() as connection:
        connection.execute(update(schema.meta).where(schema.meta.c.key == "schema").values(value="999"))
    with pytest.raises(ConfigError, match="schema 999.*use the newer etl-assets"):
        Ledger.sqlite(tmp_path / "ledger.sqlite")


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(PermanentError, match="not a database; check the file"):
        Ledger.sqlite(path)
    with pytest.raises(PermanentError, match="unable to open"):
        Ledger.sqlite(tmp_path / "nowhere" / "ledger.sqlite")


def test_a_transaction_that_raises_keeps_nothing(ledger: Ledger) -> None:
    for error in (DataError("x", reason="x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), ledger.writing() as connection:
            next_sequence(connection)
            raise error
    with ledger.reading() as connection:
        assert sequence(connection) == 0


def test_a_reader_sees_one_snapshot(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        assert sequence(connection) == 0
        with ledger.writing() as other:
            next_sequence(other)
        assert sequence(connection) == 0
    with ledger.reading() as connection:
        assert sequence(connection) == 1


@pytest.mark.parametrize("counter", ["sequence", "publication"])
def test_counters_of_many_threads_lose_and_repeat_nothing(ledger: Ledger, counter: str) -> None:
    taken: list[int] = []

    def take() -> None:
        for n in range(20):
            with ledger.writing() as connection:
                first = draw(connection, counter, 1 + n % 3)
            taken.extend(range(first, first + 1 + n % 3))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, len(taken) + 1))


def test_a_busy_database_is_a_transient_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    ledger = Ledger.sqlite(tmp_path / "ledger.sqlite")
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="another process has kept it locked"), ledger.writing():
        raise AssertionError("never entered")
    other.execute("ROLLBACK")
    other.close()
    with ledger.writing():
        pass


def test_broken_rules_of_the_tables_are_permanent_errors(ledger: Ledger) -> None:
    row = {"key": "schema", "value": "2"}
    with pytest.raises(PermanentError, match="UNIQUE"), ledger.writing() as connection:
        connection.execute(insert(schema.meta), row)
    with pytest.raises(PermanentError, match="no such table"), ledger.reading() as connection:
        connection.execute(text("SELECT * FROM unheard_of"))


def test_a_full_database_says_so_and_goes_on_when_there_is_room(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar() or 0)
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(PermanentError, match="full; free some space and run again, nothing was lost"):
        for n in range(10):
            with ledger.writing() as connection:
                connection.execute(insert(schema.meta), {"key": f"big {n}", "value": "x" * 10_000})
    with ledger.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        kept = connection.scalar(select(func.count()).select_from(schema.meta))
    with ledger.writing() as connection:
        connection.execute(insert(schema.meta), {"key": "after", "value": "x" * 10_000})
        assert connection.scalar(select(func.count()).select_from(schema.meta)) == int(kept or 0) + 1


def test_the_clock_never_goes_back(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        assert clock(connection) <= clock(connection)


def test_producers_have_one_number_for_ever(tmp_path: Path, ledger: Ledger) -> None:
    number = ledger.producer_id("pages", "pages/1/aa", {"a": 1})
    assert ledger.producer_id("pages", "pages/1/bb", {"a": 2}) == number + 1
    assert Ledger.sqlite(tmp_path / "ledger.sqlite").producer_id("pages", "pages/1/aa", {"a": 1}) == number


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.floats(0, 2e9), "action": st.text(st.characters(codec="utf-8"), max_size=60),
            "subject": st.text(st.characters(codec="utf-8")),
            "detail": st.dictionaries(st.text(st.characters(codec="utf-8")), st.none() | st.booleans() | st.integers()),
        }
    ), max_size=5,
)  # fmt: skip


@settings(max_examples=30)
@given(rows=ROWS)
def test_rows_inserted_in_bulk_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    ledger = Ledger.sqlite(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    numbered = [row | {"entry": n} for n, row in enumerate(rows)]
    with ledger.writing() as connection:
        insert_rows(connection, schema.audit, numbered)
        found = connection.execute(select(schema.audit).order_by(schema.audit.c.entry)).mappings().all()
    assert [dict(row) for row in found] == numbered
    ledger.close()


LEAVES = st.none() | st.booleans() | st.integers() | st.text()


@given(value=st.recursive(LEAVES, lambda of: st.lists(of) | st.dictionaries(st.text(), of)))
def test_digests_do_not_depend_on_the_order_of_keys(value: object) -> None:
    assert digest_of({"a": value, "b": 1}) == digest_of({"b": 1, "a": value})
    assert digest_of({"a": value}) != digest_of({"a": [value]})

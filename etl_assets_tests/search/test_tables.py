"""What SQL sees: the current rows of every stage and the ledger, at one moment, from real segments."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import func, select

from etl_assets.documents.model import PAGES, STAGES, Stage, pages_columns
from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets.ledger.export import table_names
from etl_assets.search.sql import TableSource, run_select
from etl_assets.search.tables import opened_tables
from etl_assets.stages import housekeeping
from etl_assets_tests.search.small_home import REPORTS, published
from etl_assets_tests.trivial import STAGES as CHAIN
from etl_assets_tests.trivial import Chain, Home


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The reports, published; nothing changes them."""
    return published(tmp_path_factory.mktemp("still"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return published(tmp_path)


def rows(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with opened_tables(home.ledger, home.lake, STAGES) as tables:
        return answer(tables, sql)


def answer(tables: Mapping[str, TableSource], sql: str) -> list[tuple[Any, ...]]:
    with run_select(sql, tables=tables) as selection:
        table = selection.table()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def pins(home: Home) -> int:
    with home.ledger.reading() as connection:
        return connection.scalar(select(func.count()).select_from(schema.pins)) or 0


def test_every_stage_has_its_rows_with_their_document(still: Home) -> None:
    pages = rows(still, "select tenant, collection, path, page, text from pages order by path")
    assert pages == [("acme", "reports", path, 1, text) for path, text in sorted(REPORTS.items())]
    joined = """
        select count(*), count(distinct c.path), bool_and(substr(p.text, c.start + 1, c."end" - c.start) = c.text),
               bool_and(len(e.vector) = 8), bool_and(c.version = p.version)
        from chunks c join pages p using (document_id, page) join embeddings e using (document_id, chunk_id)
    """
    assert rows(still, joined) == [(9, 4, True, True, True)]
    assert rows(still, "select name, count(*) from mentions group by 1 order by 1") == [("EMOTET", 2), ("TRICKBOT", 2)]


def test_only_rows_of_present_documents_in_their_current_version_are_shown(home: Home) -> None:
    home.put("notes/bank.txt", "The bank again")
    home.remove("notes/garden.txt")
    home.put("notes/new.txt", "BROKEN")
    Chain(home, time_limit_s=1000.0).run()
    counted = dict(rows(home, "select path, count(*) from chunks group by path"))
    assert counted == {"apt/bear.txt": 3, "apt/panda.txt": 2, "notes/bank.txt": 1}


def test_while_a_stage_is_behind_its_newest_output_is_shown_once(home: Home) -> None:
    from etl_assets.documents.model import CHUNKS
    from etl_assets.ledger.catalogue import ensure_collection
    from etl_assets.ledger.leases import acquire

    chain = Chain(home, parameters={"chunks": {"size": 2}})
    key = ensure_collection(home.ledger, "acme", "reports", shards=1)[0].key
    lease = acquire(home.ledger, key, holder="half a run")
    try:
        chain.stage(chain.work(lease), CHUNKS)
    finally:
        lease.release()
    assert rows(home, "select count(*) from outputs where end_seq is null")[0][0] == 5 * len(REPORTS)
    assert rows(home, "select count(*) from chunks") == [(9,)]


def test_a_stage_without_rows_is_an_empty_table_with_its_columns(tmp_path: Path) -> None:
    empty = Home.open(tmp_path)
    described = rows(empty, "describe embeddings")
    assert [row[0] for row in described][:6] == ["document_id", "tenant", "collection", "path", "version", "chunk_id"]
    assert rows(empty, "select count(*) from mentions") == [(0,)]
    assert rows(empty, "select count(*) from documents") == [(0,)]


def test_documents_shows_each_present_document_and_what_is_published_of_it(home: Home) -> None:
    home.put("notes/bank.txt", "BROKEN now")
    Chain(home).run()
    found = rows(
        home,
        "select path, version = published_version, record->>'title', arrived_at from documents order by path",
    )
    assert [row[:3] for row in found] == [
        ("apt/bear.txt", True, REPORTS["apt/bear.txt"].split("\n")[0]),
        ("apt/panda.txt", True, REPORTS["apt/panda.txt"].split("\n")[0]),
        ("notes/bank.txt", False, REPORTS["notes/bank.txt"].split("\n")[0]),
        ("notes/garden.txt", True, "Roses want sun and water"),
    ]
    assert all(isinstance(row[3], datetime) and row[3].year >= 2024 for row in found)
    assert found[0][3].astimezone(UTC).tzinfo is UTC


@pytest.mark.parametrize("name", table_names())
def test_every_table_of_the_ledger_can_be_read(still: Home, name: str) -> None:
    count = rows(still, f"select count(*) from {name}")[0][0]
    shown = rows(still, f"select * from {name}")
    assert len(shown) == count
    if name in ("documents", "objects", "outputs", "publications", "segments", "producers", "collections", "memo"):
        assert count > 0


def test_rows_of_the_ledger_name_their_collection(still: Home) -> None:
    query = "select distinct tenant, collection, stage from outputs join producers using (producer_id) order by stage"
    assert rows(still, query) == [("acme", "reports", stage.name) for stage in sorted(CHAIN, key=lambda s: s.name)]
    assert rows(still, "select count(*) from outputs where facts is null") == [(12,)]
    assert rows(still, "select distinct json_type(outputs->'chunks') from publications") == [("UBIGINT",)]


def test_all_tables_of_one_opening_show_one_moment(home: Home) -> None:
    with opened_tables(home.ledger, home.lake, STAGES) as tables:
        before = answer(tables, "select count(*) from documents")
        home.put("more.txt", "one more")
        home.put("apt/bear.txt", "changed")
        Chain(home).run()
        assert answer(tables, "select count(*) from documents") == before == [(4,)]
        assert answer(tables, "select count(*), count(distinct path) from chunks") == [(9, 4)]
        assert answer(tables, "select text from pages where path = 'apt/bear.txt'") == [(REPORTS["apt/bear.txt"],)]
    assert rows(home, "select count(*) from documents") == [(5,)]


def test_segments_are_pinned_while_they_are_read_and_not_longer(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SMALL_SEGMENTS", 1)

    @contextmanager
    def opened() -> Iterator[Mapping[str, TableSource]]:
        with opened_tables(home.ledger, home.lake, STAGES) as tables:
            yield tables

    with opened() as tables:
        assert pins(home) == 0
        reader: Any = tables["chunks"]()
        assert pins(home) == 1
        home.put("more.txt", "a line")  # its run merges the segments that the reader is about to read
        Chain(home).run()
        assert reader.read_all().num_rows == 9
    assert pins(home) == 0
    with pytest.raises(ZeroDivisionError), opened() as tables:
        tables["documents"]()
        raise ZeroDivisionError
    assert rows(home, "select count(*) from chunks") == [(10,)]
    assert pins(home) == 0


def test_a_statement_that_stops_early_leaves_nothing_open(still: Home) -> None:
    assert len(rows(still, "select * from outputs limit 1")) == 1
    assert len(rows(still, "select a.path from chunks a, chunks b limit 3")) == 3
    assert pins(still) == 0
    still.ledger.close()


def test_rows_written_before_a_column_was_added_have_none_of_it(still: Home) -> None:
    later = replace(PAGES, columns=lambda: pl.Schema({**pages_columns(), "later": pl.List(pl.Int32())}))
    with opened_tables(still.ledger, still.lake, [later]) as tables:
        found = answer(tables, "select distinct later, text is null from pages")
    assert found == [(None, False)]


def test_a_stage_may_not_hide_a_table_of_the_ledger(still: Home) -> None:
    stage = Stage("documents", (), "1", pages_columns, ("page",))
    with (
        pytest.raises(ConfigError, match="stage documents has the name"),
        opened_tables(still.ledger, still.lake, [stage]),
    ):
        pass

"""What SQL may do, what it must not, and that results come out as they are."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest

from etl_assets.errors import ConfigError, PermanentError
from etl_assets.search.sql import SqlLimits, TableSource, run_select

PAGES = pa.table({"document_id": ["a", "a", "b"], "page": [1, 2, 1], "text": ["one", "two", "three"]})
CHUNKS = pa.table({"document_id": ["a", "b"], "vector": pa.array([[1.0, 0.0], [0.0, 1.0]], pa.list_(pa.float32()))})


def opened(opens: list[str]) -> dict[str, TableSource]:
    def source(name: str, table: pa.Table) -> TableSource:
        def open_it() -> pa.Table:
            opens.append(name)
            return table

        return open_it

    return {"pages": source("pages", PAGES), "chunks": source("chunks", CHUNKS)}


def rows(sql: str, tables: dict[str, TableSource] | None = None, limits: SqlLimits | None = None) -> list[Any]:
    tables = opened([]) if tables is None else tables
    with run_select(sql, tables=tables, limits=limits) as selection:
        return [tuple(row.values()) for row in selection.table().to_pylist()]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select count(*) from pages", [(3,)]),
        ("SELECT p.text FROM PAGES p JOIN Chunks c USING (document_id) ORDER BY 1", [("one",), ("three",), ("two",)]),
        ("with pages as (select * from pages where page = 2) select text from pages", [("two",)]),
        ("select 1 union all select 2 order by 1", [(1,), (2,)]),
        ("values (1), (2)", [(1,), (2,)]),
        ("from pages select text limit 1", [("one",)]),
        ("table chunks", [("a", [1.0, 0.0]), ("b", [0.0, 1.0])]),
        ("select 1 -- a comment; drop table pages", [(1,)]),
        ("/* before */ select 1; ", [(1,)]),
        ("select ';', '--', $$;$$", [(";", "--", ";")]),
        ("with recursive n(i) as (select 1 union all select i + 1 from n where i < 3) select max(i) from n", [(3,)]),
        ("select (select max(page) from pages) from range(1)", [(2,)]),
        ("select unnest([1, 2])", [(1,), (2,)]),
        ("select document_id from pages where exists (from chunks c where c.document_id = 'a') limit 1", [("a",)]),
        ("from pages pivot (count(*) for page in (1, 2)) select count(*)", [(3,)]),
        ("select sum(x) from (select list_cosine_similarity(vector, [1.0, 0.0]) x from chunks)", [(1.0,)]),
        ("select count(*) from (describe pages)", [(3,)]),
        ("select column_name from (describe pages)", [("document_id",), ("page",), ("text",)]),
        ("select name from (show tables)", [("chunks",), ("pages",)]),
        ("select json_extract_string('{\"a\": 1}', '$.a')", [("1",)]),
    ],
)
def test_one_select_of_any_shape_runs(sql: str, expected: list[Any]) -> None:
    assert rows(sql) == expected


@pytest.mark.parametrize("sql", ["describe pages", "show pages", "summarize pages", "show tables", "show all tables"])
def test_questions_about_the_tables_are_answered(sql: str) -> None:
    assert rows(sql)


FILES = [
    "from '{file}'", "select * from \"{file}\"", "from read_csv('{file}')", "from read_csv_auto('{file}')",
    "from read_text('{file}')", "from read_blob('{file}')", "from read_json('{file}')", "from read_ndjson('{file}')",
    "from read_json_objects('{file}')", "from read_parquet('{file}')", "from parquet_scan('{file}')",
    "from parquet_metadata('{file}')", "from parquet_schema('{file}')", "from read_duckdb('{file}')",
    "from glob('/etc/*')", "from sniff_csv('{file}')", "from system.main.read_text('{file}')",
    "from query('from read_text(''{file}'')')", "from query_table('{file}')", "from query_table(['pages'])",
    "from json_execute_serialized_sql(json_serialize_sql('from read_text(''{file}'')'))",
    "from (select * from read_text('{file}'))", "with x as (from read_text('{file}')) from x",
    "with \"{file}\" as (select 1) select * from (from pages) a, \"{file}\" b, read_text('{file}')",
    "select (select content from read_text('{file}'))", "from pages, lateral (from read_text(pages.text))",
    "from pages where text in (select content from read_text('{file}'))", "from histogram('{file}', 'x')",
    "from arrow_scan(1, 2, 3)", "from python_arrow_scan(1, 2, 3)", "from pandas_scan(1)", "from seq_scan('pages')",
    "from read_csv_auto(['{file}', 'https://example.org/x.csv'])", "from 'https://example.org/x.parquet'",
    "from 's3://bucket/x.parquet'", "from '{file}' tablesample 1", "select * from main.'{file}'",
]  # fmt: skip

STATEMENTS = [
    "copy pages to '{file}.out'", "copy (select 1) to '{file}.out'", "copy pages from '{file}'",
    "copy (select 1) to '{file}.out' (format parquet)", "attach '{file}.db' as x", "attach ':memory:' as x", "use x",
    "install httpfs", "load httpfs", "force install httpfs", "pragma version", "pragma database_list",
    "pragma enable_profiling", "call pragma_version()", "set threads = 1", "set enable_external_access = true",
    "reset all", "export database '{file}.out'", "import database '{file}'", "create table x as select 1",
    "create view x as select 1", "create macro f() as 1", "create secret (type s3, key_id 'x')", "create schema x",
    "insert into pages values (1)", "update pages set page = 1", "delete from pages", "drop view pages",
    "truncate pages", "alter table pages drop page", "merge into pages using chunks on true when matched then delete",
    "begin", "commit", "checkpoint", "vacuum", "analyze", "explain select 1", "explain analyze select 1",
    "prepare p as select 1", "execute p", "deallocate p", "detach memory", "comment on view pages is 'x'",
    "select 1; select 2", "select 1; drop view pages", ";;select 1;;copy pages to '{file}.out'", "", " ", ";", "-- x",
    "select", "selec 1", "select 1 from", "pivot pages on page", "drop view pages; select 1",
    "with x as (insert into pages values (1) returning *) from x", "with x as (delete from pages returning *) from x",
    "with x as (update pages set page = 1 returning *) select 1",
    "with a as (with x as (delete from pages returning *) from x) from a",
    "select * into x from pages", "select 1 into outfile '{file}.out'", "show databases", "show variables",
]  # fmt: skip

FUNCTIONS = [
    "select getenv('HOME')", "select current_setting('secret_directory')", "select write_log('x')",
    "select sleep_ms(1)", "select pg_sleep(1)", "select nextval('x')", "from duckdb_settings()",
    "from duckdb_settings", "from duckdb_secrets()", "from duckdb_secrets(redact=false)",
    "from which_secret('x', 's3')",
    "from duckdb_extensions()", "from duckdb_logs", "from duckdb_databases()", "from pragma_database_size()",
    "from duckdb_views()", "from duckdb_functions()", "from information_schema.tables", "from pg_catalog.pg_tables",
    "from sqlite_master", "from pragma_table_info('pages')", "from enable_logging()", "from checkpoint()",
    "from force_checkpoint()", "from test_all_types()", "from pragma_user_agent()", "from main.pages",
    "from memory.main.pages", "from nothing", "select nothing from pages", "select nothing(1)", "select $1", "select ?",
    "select $name", "from pages at (version => 1)", "select 'x'::int", "from opens", "from PAGES_TABLE",
]  # fmt: skip


@pytest.mark.parametrize("sql", FILES + STATEMENTS + FUNCTIONS)
def test_nothing_but_reading_the_tables_is_possible(sql: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a,b\n1,2\n")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="sql: "):
        rows(sql.format(file=file))
    assert sorted(tmp_path.iterdir()) == before


def test_the_engine_itself_refuses_what_the_parse_tree_is_there_to_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from etl_assets.search import sql as module

    monkeypatch.setattr(module, "_checked", lambda statement, tables: set())
    monkeypatch.setattr(module, "_parsed", lambda connection, sql: None)
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    file = tmp_path / "secret.csv"
    for sql in [*FILES[:16], "copy (select 1) to '{file}.out'", "attach '{file}.db' as x", "install httpfs",
                "load httpfs", "set enable_external_access = true", "set disabled_filesystems = ''"]:  # fmt: skip
        with pytest.raises((ConfigError, PermanentError)):
            rows(sql.format(file=file))
    assert sorted(tmp_path.iterdir()) == [file]


def test_only_the_tables_that_are_named_are_opened() -> None:
    opens: list[str] = []
    tables = opened(opens)
    rows("select 'chunks' from pages -- chunks", tables)
    assert opens == ["pages"]
    opens.clear()
    rows("select 1 from pages, (from Chunks) where 'x' = 'y'", tables)
    assert sorted(opens) == ["chunks", "pages"]
    opens.clear()
    rows("with chunks2 as (select 1 as chunks) select chunks from chunks2", tables)
    assert opens == []


def test_a_python_variable_is_no_table() -> None:
    secret = pa.table({"a": [1]})
    with pytest.raises(ConfigError, match="no table 'secret'; the tables are chunks, pages"):
        rows("from secret")
    assert secret.num_rows == 1


def test_a_reader_is_scanned_as_often_as_the_statement_needs() -> None:
    opens: list[str] = []

    def source() -> pa.RecordBatchReader:
        opens.append("pages")
        return PAGES.to_reader()

    tables: dict[str, TableSource] = {"pages": source}
    assert rows("select count(*) from pages a join pages b using (document_id, page)", tables) == [(3,)]
    sql = "with x as (from pages) select (select count(*) from x), (select max(page) from x), count(*) from pages"
    assert rows(sql, tables) == [(3, 2, 3)]
    assert opens


def test_a_dataset_of_files_is_read_though_sql_may_open_none(tmp_path: Path) -> None:
    for n in range(3):
        pa.parquet.write_table(PAGES, tmp_path / f"{n}.parquet")
    tables: dict[str, TableSource] = {"pages": lambda: pa.dataset.dataset(tmp_path, format="parquet")}
    assert rows("select count(*), max(text) from pages where page = 1", tables) == [(6, "three")]


def test_a_source_that_fails_says_so_itself() -> None:
    def source() -> pa.Table:
        raise PermanentError("segment 7 is gone")

    with pytest.raises(PermanentError, match="segment 7"):
        rows("from pages", {"pages": source})


def test_types_have_names_and_values_of_their_own() -> None:
    sql = (
        "select 9223372036854775807 as big, 170141183460469231731687303715884105727::hugeint as huge, 1.50 as money, "
        "date '2024-02-29' as day, timestamp '2024-02-29 12:00:00.123456' as moment, [1, null] as list, "
        "{'a': [1]} as record, map {'k': 1} as pairs, null as nothing, 'x'::blob as bytes, "
        "uuid '00000000-0000-0000-0000-000000000001' as id"
    )
    with run_select(sql, tables={}) as selection:
        names, types = selection.columns, selection.types
        (row,) = selection.table().to_pylist()
    assert names == ("big", "huge", "money", "day", "moment", "list", "record", "pairs", "nothing", "bytes", "id")
    assert types[:5] == ("BIGINT", "HUGEINT", "DECIMAL(3,2)", "DATE", "TIMESTAMP")
    assert row["big"] == 2**63 - 1
    assert int(row["huge"]) == 2**127 - 1
    assert row["day"] == date(2024, 2, 29)
    assert (row["list"], row["record"], row["bytes"]) == ([1, None], {"a": [1]}, b"x")


@pytest.mark.parametrize("ending", ["", ";", " ; ", "; -- ; done\n", " -- done\n", "\n/* ; */ ;\n", "\n", ";;"])
def test_types_without_a_form_outside_come_as_text(ending: str) -> None:
    sql = (
        "select '101'::bit a, interval 3 day b, union_value(k := 1) c, 7::variant d, ';\u00e9' g, [interval 1 month] e"
    )
    with run_select(f"{ending}{sql} /* ; */, 1 f{ending}", tables={}) as selection:
        assert selection.columns == ("a", "b", "c", "d", "g", "e", "f")
        assert selection.table().to_pylist() == [
            {"a": "101", "b": "3 days", "c": "1", "d": "7", "g": ";\u00e9", "e": "[1 month]", "f": 1}
        ]


def test_columns_of_one_name_are_told_apart() -> None:
    with run_select("select 1 as a, 2 as a, 3 as a_1, 4 as a, interval 1 day as a", tables={}) as selection:
        assert selection.columns == ("a", "a_2", "a_1", "a_3", "a_4")
        assert [*selection.table().to_pylist()[0].values()] == [1, 2, 3, 4, "1 day"]


def test_an_empty_result_has_its_columns() -> None:
    with run_select("select page, text from pages where false", tables=opened([])) as selection:
        table = selection.table()
    assert (table.column_names, table.num_rows) == (["page", "text"], 0)


def test_a_statement_that_runs_too_long_is_stopped() -> None:
    with pytest.raises(ConfigError, match="after 0.2 s, its time limit"):
        rows("select count(*) from range(1000000000) a, range(1000) b", limits=SqlLimits(time_s=0.2))


def test_the_time_limit_holds_while_rows_are_taken() -> None:
    with run_select("from range(100000000)", tables={}, limits=SqlLimits(time_s=0.2)) as selection:
        waiting = threading.Event()
        batches: Iterator[pa.RecordBatch] = selection.batches
        next(batches)
        waiting.wait(0.3)
        with pytest.raises(ConfigError, match="time limit"):
            for _ in batches:
                pass


def test_a_statement_that_needs_too_much_memory_is_stopped_and_spills_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="more than 32 MiB of memory"):
        rows("select list(range) from range(20000000)", limits=SqlLimits(memory_bytes=32 << 20))
    assert [*tmp_path.iterdir()] == []


def test_a_statement_nested_beyond_reason_is_refused() -> None:
    for sql in ("select " + "(" * 5000 + "1" + ")" * 5000, "select " + "1 + " * 20000 + "1"):
        with pytest.raises(ConfigError, match="sql: "):
            rows(sql)


def test_no_timer_and_no_connection_stays_behind() -> None:
    before = threading.active_count()
    for _ in range(3):
        rows("from pages")
        with pytest.raises(ConfigError):
            rows("from nowhere")
    assert threading.active_count() <= before + 1


def test_importing_loads_no_engine(repository: Path) -> None:
    code = (
        "import sys, etl_assets.search.sql, etl_assets.search.sql_output, etl_assets.search.fusion\n"
        "assert not {'duckdb', 'pyarrow', 'polars', 'rich', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)

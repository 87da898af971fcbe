"""Results of SQL as files and text, read back by other code."""

import csv
import io
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

from etl_assets.errors import ConfigError, PermanentError
from etl_assets.search.sql import SqlLimits, run_select
from etl_assets.search.sql_output import format_of, save_result, write_result

SQL = """
select 1 as id, 'a,"b"\nc' as text, [0.5, null]::float[] as vector, {'k': date '2024-02-29'} as record,
  9007199254740993 as big, 1.5 as money, 12345678901234567890.12::decimal(22, 2) as fortune,
  170141183460469231731687303715884105727::hugeint as huge, 'nan'::double as nothing, true as flag,
  timestamp '2024-02-29 12:00:00' as moment, timestamptz '2024-02-29 12:00:00+00' as instant,
  '\\xAA'::blob as bytes, map {1: 'x'} as pairs, null as empty, timestamp_ns '2024-02-29 12:00:00.123456789' as nano,
  interval 90 minute as span, time '10:00' as clock
union all by name select 2 as id, '=1+1' as text
order by id
"""


def written(sql: str, format_name: str) -> str:
    file = io.StringIO()
    with run_select(sql, tables={}) as selection:
        write_result(selection, file, format_name)
    return file.getvalue()


def test_json_lines_hold_every_type() -> None:
    first, second = (json.loads(line) for line in written(SQL, "json").splitlines())
    assert first == {
        "id": 1, "text": 'a,"b"\nc', "vector": [0.5, None], "record": {"k": "2024-02-29"}, "big": 9007199254740993,
        "money": 1.5, "fortune": "12345678901234567890.12", "huge": 2**127 - 1, "nothing": None, "flag": True,
        "moment": "2024-02-29T12:00:00", "instant": "2024-02-29T12:00:00+00:00", "bytes": "aa", "pairs": {"1": "x"},
        "empty": None, "nano": "2024-02-29 12:00:00.123456789", "span": "01:30:00", "clock": "10:00:00",
    }  # fmt: skip
    assert (second["id"], second["text"], second["vector"]) == (2, "=1+1", None)


def test_csv_is_read_back_by_another_reader() -> None:
    first, second = csv.DictReader(io.StringIO(written(SQL, "csv")))
    assert first["text"] == 'a,"b"\nc'
    assert json.loads(first["vector"]) == [0.5, None]
    assert (first["flag"], first["empty"], first["big"]) == ("true", "", "9007199254740993")
    assert second["text"] == "=1+1"


def test_parquet_keeps_the_types(tmp_path: Path) -> None:
    with run_select(SQL, tables={}) as selection:
        assert save_result(selection, tmp_path / "out.parquet") == 2
    table = pa.parquet.read_table(tmp_path / "out.parquet")
    assert table.schema.field("vector").type.value_type == pa.float32()
    assert table.schema.field("nano").type == pa.timestamp("ns")
    assert table["big"].to_pylist() == [9007199254740993, None]
    assert pl.read_parquet(tmp_path / "out.parquet", columns=["id", "vector"]).rows() == [(1, [0.5, None]), (2, None)]


def test_a_table_is_for_people_and_shows_no_control_characters() -> None:
    text = written("select 1 as id, 'red \x1b[31m [bold]' || repeat('x', 200) as text, null as nothing", "table")
    assert "\x1b" not in text
    assert "[bold]" in text
    assert "\u2026" in text
    assert "id" in text.splitlines()[0]


@pytest.mark.parametrize("format_name", ["json", "csv", "table", "parquet"])
def test_an_empty_result_is_written_too(tmp_path: Path, format_name: str) -> None:
    with run_select("select 1 as a, [1] as b where false", tables={}) as selection:
        assert save_result(selection, tmp_path / "out", format_name) == 0
    assert (tmp_path / "out").exists()


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    sql = "select case when range = 50000 then error('stop') else range end from range(60000)"
    with pytest.raises(ConfigError, match="stop"), run_select(sql, tables={}) as selection:
        save_result(selection, tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_text() == "old"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="nowhere/out.csv"), run_select("select 1", tables={}) as selection:
        save_result(selection, tmp_path / "nowhere/out.csv")


def test_values_that_text_cannot_hold_are_named() -> None:
    with pytest.raises(ConfigError, match="column far.*VARCHAR"):
        written("select date '20000-01-01' as far", "json")


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="out.xls"):
        format_of(tmp_path / "out.xls")
    with pytest.raises(ConfigError, match="use one of"):
        written("select 1", "xml")
    with pytest.raises(ConfigError, match="not text"):
        written("select 1", "parquet")
    assert [format_of(Path(name)) for name in ("a.CSV", "a.jsonl", "a.txt")] == ["csv", "json", "table"]


def test_a_long_result_is_streamed(tmp_path: Path) -> None:
    with run_select("select range as n, 'x' as t from range(100000)", tables={}, limits=SqlLimits()) as selection:
        assert save_result(selection, tmp_path / "out.ndjson") == 100_000
    with open(tmp_path / "out.ndjson", encoding="utf-8") as lines:
        assert [json.loads(line)["n"] for line in lines] == [*range(100_000)]

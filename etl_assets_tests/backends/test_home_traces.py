"""What programs leave of documents: mentions are blanked, and everything else stays as readable as it was."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.backends.blanking import Blanking
from etl_assets.backends.home_traces import HomeTraces
from etl_assets.errors import TransientError

TEXT = (
    "The qwumblefrotz committee met again in May.\nNobody told the others über it.\nЭто совсем другое секретное слово."
)
NAME = "plans/secret plän.md"


def test_names_and_quotations_are_blanked_and_the_rest_stays() -> None:
    blank = Blanking([NAME], [TEXT])
    after, found = blank(f"error in {NAME}: 'qwumblefrotz committee met again in May' in step 7")
    assert (after, found) == ("error in xxxxx/xxxxxx xxxxx.xx: 'xxxxxxxxxxxx xxxxxxxxx xxx xxxxx xx xxx' in step 7", 2)
    assert blank("The committee met in June.") == ("The committee met in June.", 0)


def test_a_record_of_json_stays_one() -> None:
    record = {"path": NAME, "quote": TEXT, "numbers": [1, 2, 3, 4, 5, 6], "flags": [True, False, None], "2": "other"}
    for plain in (True, False):
        after, found = Blanking([NAME], [TEXT, "1 2 3 4 5 6 true false null"])(json.dumps(record, ensure_ascii=plain))
        read = json.loads(after)
        assert found >= 2 and "qwumble" not in after and "secret" not in after and "секрет" not in str(read)
        assert {key: read[key] for key in ("numbers", "flags", "2")} == {
            k: record[k] for k in ("numbers", "flags", "2")
        }


@given(st.text(max_size=60), st.text(max_size=60))
def test_blanking_keeps_the_length_and_what_stands_around(before: str, behind: str) -> None:
    text = f"{before} {TEXT} {behind}".encode("utf-8", "replace").decode()
    after, found = Blanking([], [TEXT])(text)
    assert found >= 1 and len(after.encode()) == len(text.encode()) and "qwumblefrotz committee" not in after


def test_databases_logs_and_caches_of_a_home_are_cleared(tmp_path: Path) -> None:
    told, cache = tmp_path / "logs", tmp_path / "results"
    told.mkdir()
    cache.mkdir()
    (cache / "one").write_text("a result")
    (told / "run.log").write_bytes(b"\xff\xfe " + NAME.encode() + b" failed\n")
    with closing(sqlite3.connect(told / "events.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, event TEXT)")
        db.executemany("INSERT INTO events (event) VALUES (?)", [(f"{NAME}: {TEXT}",), ("other",)])
        db.commit()
    found = HomeTraces([told], [cache], [tmp_path / "none"]).erase([NAME], [TEXT])
    assert found == {"cached results": 1, "database rows": 2, "log passages": 1}
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"qwumble" not in left and b"secret" not in left and b"other" in left and b"\xff\xfe " in left


def test_a_database_that_is_in_use_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_assets.backends.home_traces.PATIENCE_S", 0.01)
    with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE events (event TEXT)")
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match="run again"):
            HomeTraces([tmp_path], [], []).erase([NAME], [])
        db.execute("ROLLBACK")


def test_a_database_whose_clearing_was_cut_off_is_cleared_to_the_last_byte_by_the_next_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with closing(sqlite3.connect(tmp_path / "events.db")) as held:  # a daemon: the journal outlives who writes
        held.execute("PRAGMA journal_mode = WAL")
        held.execute("CREATE TABLE events (event TEXT)")
        held.execute("INSERT INTO events VALUES (?)", [TEXT])
        held.commit()
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("etl_assets.backends.home_traces.rewrite_sqlite", cut_off)
            HomeTraces([tmp_path], [], []).erase([], [TEXT])
        assert HomeTraces([tmp_path], [], []).erase([], [TEXT]) == {}, "all was blanked before"
        left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"qwumble" not in left

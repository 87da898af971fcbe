"""``etl-assets backends check`` without a server: the embedded default, and backends that do not answer."""

import socket
import threading
from pathlib import Path

import pytest

from etl_assets.cli.probed_roles import Role
from etl_assets.cli.probing import Outcome, run_probes
from etl_assets.protocols.probes import Finding, number_of, too_old
from etl_assets_tests.cli.conftest import Command


def test_every_embedded_role_is_told_and_passes(etl: Command, home: Path) -> None:
    outcome = etl("backends", "check", "--json", home=home)
    assert outcome.code == 0, outcome.out
    by_role = {one["role"]: one for one in outcome.records}
    files = {"objects", "originals", "lake", "ledger", "Dagster storage", "vectors", "keywords", "graph", "cache"}
    others = {"embedder static", "reranker", "secrets", "queue", "events", "encryption key"}
    assert set(by_role) == files | others
    assert not any(one["hosted"] or one["problems"] for one in by_role.values())
    assert by_role["lake"]["rights"] == {"list": True, "write": True, "delete": True}
    assert by_role["ledger"]["version"].startswith("SQLite 3") and by_role["ledger"]["latency_ms"] > 0
    assert by_role["embedder static"]["limits"] == {"dimension": "256"}
    assert not list(home.rglob(".etl-assets-probe*")), "a probe removes what it wrote"
    shown = etl("backends", "check", home=home)
    assert shown.code == 0 and "15 roles: 0 cannot be used" in shown.out


def test_one_that_fails_stops_no_other(etl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("ETL_REDIS_URL", f"redis://:canary-5e1@127.0.0.1:{port}/0")
    monkeypatch.setenv("JINA_API_KEY", "canary-7ab")
    monkeypatch.setenv("ETL_JINA_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("ETL_JINA_RERANKER", "jina-reranker-v2-base-multilingual")
    monkeypatch.setenv("SUPABASE_DB_URL", f"postgresql://me:canary-9cd@127.0.0.1:{port}/ledger")
    monkeypatch.setenv("ETL_ENCRYPTION_KEY", f"file:{tmp_path / 'none.key'}")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "collections.yaml").write_text("defaults:\n  embedder: {kind: nonsense}\n")
    outcome = etl("backends", "check", "--json", home=tmp_path / "home")
    assert outcome.code == 1
    failed = {one["role"]: one for one in outcome.records if not one["passed"]}
    assert set(failed) == {"ledger", "embedder", "reranker", "cache", "encryption key"}
    assert all(one["problems"] for one in failed.values())
    assert failed["cache"]["variables"] == ["ETL_REDIS_URL"]
    assert failed["ledger"]["variables"] == ["SUPABASE_DB_URL"]
    assert failed["cache"]["backend"] == f"Redis at 127.0.0.1:{port}"
    shown = etl("backends", "check", home=tmp_path / "home")
    for text in (outcome.out, outcome.err, shown.out, shown.err):
        assert "canary" not in text


def test_a_probe_that_does_not_come_back_is_left_behind_with_what_it_found() -> None:
    held = threading.Event()

    def stuck(found: Finding) -> None:
        found.version = "7"
        held.wait()

    def broken(found: Finding) -> None:
        raise ValueError("a client's own error")

    roles = [Role("one", "x", stuck), Role("two", "y", broken), Role("three", "z", None)]
    outcomes = [Outcome(role, ()) for role in roles]
    run_probes([(one.role, one) for one in outcomes], 0.05)
    held.set()
    assert [one.passed for one in outcomes] == [False, False, True]
    assert outcomes[0].found.version == "7" and "no answer within 0.05 s" in outcomes[0].found.problems[0]
    assert outcomes[1].found.problems == ["ValueError: a client's own error"]


def test_versions_that_are_too_old_are_named() -> None:
    assert number_of("7.0.15-1") == (7, 0, 15) and number_of("beta") == ()
    assert too_old("Redis", "5.0.3", (6,)) == "Redis is 5.0.3: 6 or newer is needed; update the server"
    assert not too_old("Redis", "6.0", (6,)) and not too_old("Redis", "unknown", (6,))


def test_a_ledger_of_a_newer_program_is_named(etl: Command, home: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(home / "ledger" / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = '9999' WHERE key = 'schema'")
    outcome = etl("backends", "check", "--json", home=home)
    ledger = next(one for one in outcome.records if one["role"] == "ledger")
    assert outcome.code == 1 and "schema 9999" in ledger["problems"][0]

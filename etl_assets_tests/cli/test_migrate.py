"""``etl-assets migrate`` on the embedded default."""

import sqlite3
from contextlib import closing
from pathlib import Path

from etl_assets.ledger.schema import SCHEMA_VERSION
from etl_assets_tests.cli.conftest import Command


def test_a_ledger_is_made_once_and_then_left(etl: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert etl("migrate", home=home).out == f"ledger: made, schema {SCHEMA_VERSION}\n"
    assert etl("migrate", home=home).out == f"ledger: schema {SCHEMA_VERSION} was there already\n"


def test_a_newer_ledger_is_refused_as_a_setting_is(etl: Command, tmp_path: Path) -> None:
    etl("migrate", home=tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = '9999' WHERE key = 'schema'")
    outcome = etl("migrate", home=tmp_path)
    assert outcome.code == 2 and "9999" in outcome.err and "newer etl-assets" in outcome.err

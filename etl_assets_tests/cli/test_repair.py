"""``etl-assets repair`` as a person runs it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import Command

pytestmark = pytest.mark.usefixtures("without_dagster")

KEYWORDS = "acme.reports.1.lance"


def test_a_dropped_index_is_named_and_repaired_and_then_all_is_equal(etl: Command, home: Path) -> None:
    assert etl("repair", "--collection", "mail", home=home).code == 0
    shutil.rmtree(home / "indexes" / "vectors")
    strange = home / "indexes" / "keywords" / "nobody.knows.1.lance"
    shutil.copytree(home / "indexes" / "keywords" / KEYWORDS, strange)
    dry = etl("repair", "--dry-run", home=home)
    assert dry.code == 1 and strange.exists()
    assert "  would vector: publish anew one.txt" in dry.out
    assert "would drop keyword index nobody.knows.1, which is of no collection" in dry.out
    reports, mail, dropped = etl("repair", "--json", home=home).records
    assert reports["republished"] == 4 and mail["republished"] == 1 and reports["embedded"] == 0
    assert reports["left"] == mail["left"] == [] and dropped == {
        "index": "keyword index nobody.knows.1",
        "dropped": True,
    }
    again = etl("repair", home=home)
    assert again.code == 0 and again.out == "2 of 2 partitions equal the ledger\n"
    assert etl("check", "--sample", "0", home=home).code == 0


def test_what_cannot_be_repaired_fails_the_command_and_is_named(etl: Command, home: Path) -> None:
    shutil.rmtree(home / "originals" / "zeta")
    (home / "objects" / "zeta" / "mail" / "one.txt").write_text("Something else.")
    outcome = etl("repair", home=home)
    assert outcome.code == 1 and "still differs: originals: one.txt: its original" in outcome.out
    assert outcome.out.endswith("1 of 2 partitions equal the ledger\n")


def test_an_index_is_measured_and_built_anew(etl: Command, home: Path) -> None:
    before = {(one["collection"], one["store"]): one for one in etl("index", "stats", "--json", home=home).records}
    assert before["reports", "vector"]["rows"] == before["reports", "keyword"]["rows"] >= 4
    assert before["mail", "keyword"]["state"] == "live" and before["mail", "vector"]["size_bytes"] > 0
    rebuilt = etl("index", "rebuild", "keyword", "--collection", "reports", home=home)
    assert rebuilt.code == 0 and rebuilt.out == "acme.reports.00-of-01: 4 documents published anew\n"
    after = {(one["collection"], one["store"]): one for one in etl("index", "stats", "--json", home=home).records}
    assert {name: one["rows"] for name, one in after.items()} == {name: one["rows"] for name, one in before.items()}
    assert after["reports", "keyword"]["unindexed_rows"] == 0
    assert "acme/reports" in etl("index", "stats", home=home).out
    assert etl("check", "--sample", "0", home=home).code == 0


def test_a_store_that_is_set_elsewhere_is_told_of_until_a_sync_has_published_there(etl: Command, home: Path) -> None:
    with closing(sqlite3.connect(home / "ledger" / "ledger.sqlite")) as db, db:
        db.execute("UPDATE store_places SET place = 'Pinecone, indexes old-*' WHERE store = 'vector'")
    told = "2 partitions were published to Pinecone, indexes old-*: run etl-assets sync"
    assert told in etl("status", home=home).err and told in etl("backends", "check", home=home).err
    synced = etl("sync", home=home)
    assert synced.code == 0 and told in synced.err
    assert "2 of 2 partitions are up to date" in synced.out
    assert "published to" not in etl("status", home=home).err

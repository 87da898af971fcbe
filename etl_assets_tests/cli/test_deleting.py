"""Deleting, going back and pruning by command: what is asked for, and nothing else; certificates can be checked."""

import json
from pathlib import Path

import pytest

from etl_assets_tests.byte_search import found_in
from etl_assets_tests.cli.conftest import Command

pytestmark = pytest.mark.usefixtures("without_dagster")


def test_a_document_is_purged_and_its_certificate_verified(etl: Command, home: Path) -> None:
    assert found_in(home, ["panda.md", "trickbot"])
    name = "acme/reports/apt/panda.md"
    refused = etl("document", "delete", name, "--purge", home=home)
    assert refused.code == 2 and "add --yes" in refused.err
    done = etl("document", "delete", name, "acme/reports/no-such", "--purge", "--yes", "--json", home=home)
    assert done.code == 1 and "no-such" in done.err and done.records[0]["documents"] == 1
    assert found_in(home, ["panda.md", "trickbot"]) == []
    assert etl("sync", home=home).code == 0 and found_in(home, ["panda.md", "trickbot"]) == []
    path = done.records[0]["certificate"]
    key = home / "certificates" / "public-key.pem"
    assert "valid: 1 documents purged" in etl("certificate", "verify", path, "--public-key", str(key), home=home).out
    assert etl("certificate", "public-key", home=home).out.strip() == key.read_text().strip()
    (listed,) = etl("certificate", "list", "--json", home=home).records
    assert (listed["kind"], listed["of"], listed["purged"]) == ("document", "acme/reports", True)
    Path(path).write_bytes(Path(path).read_bytes().replace(b"true", b"false"))
    forged = etl("certificate", "verify", path, "--public-key", str(key), home=home)
    assert forged.code == 1 and "altered" in forged.err


def test_a_collection_and_a_tenant_are_deleted_whole(etl: Command, home: Path) -> None:
    assert etl("collection", "delete", "acme/nothing", "--yes", home=home).code == 2
    assert etl("collection", "delete", "acme/reports", "--purge", "--yes", home=home).code == 0
    listed = etl("document", "list", "--json", home=home).records
    assert {row["collection"] for row in listed if row["tenant"]} == {"mail"}
    assert etl("tenant", "delete", "zeta", "--purge", "--yes", home=home).code == 0
    assert found_in(home, ["apt28", "one.txt", "garden"]) == []
    assert "nothing was interrupted" in etl("document", "delete", "--resume", home=home).out


def test_an_earlier_version_is_compared_and_published_again(etl: Command, home: Path) -> None:
    name = "acme/reports/apt/bear.txt"
    (home / "objects" / name).write_text("The bear group used TRICKBOT against a bank.")
    assert etl("sync", home=home).code == 0
    told = etl("document", "diff", name, "1", "2", home=home).out
    assert "+The bear group used TRICKBOT against a bank." in told and "entity added: TrickBot" in told
    assert etl("document", "diff", name, "1", "2", "--json", home=home).records[0]["chunks_added"] == 1
    assert etl("document", "republish", name, home=home).code == 2
    assert etl("document", "republish", name, "--version", "1", home=home).code == 0
    listed = {one["path"]: one for one in etl("document", "list", "--json", home=home).records}
    events = [one["event"] for one in etl("document", "history", name, "--json", home=home).records]
    assert "pinned" in events and listed["apt/bear.txt"]["state"] == "current" and listed["apt/bear.txt"]["is_pinned"]
    assert "pinned" in etl("document", "list", home=home).out and not listed["apt/panda.md"]["is_pinned"]
    assert etl("document", "republish", name, "--unpin", home=home).code == 0
    versions = [one["version"] for one in etl("document", "show", name, "--json", home=home).records[0]["versions"]]
    assert versions[-1] == versions[-3] and "pinned" not in etl("document", "history", name, home=home).out


def test_pruning_says_what_would_go(etl: Command, home: Path) -> None:
    (done,) = etl("history", "prune", "--dry-run", "--json", home=home).records
    assert (done["expired"], done["originals"], done["certificates"]) == (0, 0, [])
    assert "0 documents past their age" in etl("history", "prune", home=home).out


def test_a_purge_names_the_backups_that_hold_the_document_or_forgets_them(
    etl: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_BACKUP_TARGETS", str(tmp_path / "backups"))
    assert etl("backup", home=home).code == 0
    assert etl("document", "delete", "acme/reports/apt/bear.txt", "--forget-backups", home=home).code == 2
    facts = []
    for name, more in (("bear.txt", ()), ("panda.md", ("--forget-backups",))):
        done = etl("document", "delete", f"acme/reports/apt/{name}", "--purge", "--yes", "--json", *more, home=home)
        facts.append(json.loads(Path(done.records[0]["certificate"]).read_bytes())["collections"]["reports"]["backups"])
    assert len(facts[0]["still_holding"]) == 1 and facts[1]["forgotten"] == facts[0]["still_holding"]
    assert not any(path.is_file() for path in (tmp_path / "backups").rglob("*"))


def test_a_restore_from_before_brings_no_purged_document_back(
    etl: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_BACKUP_TARGETS", str(tmp_path / "backups"))
    assert etl("backup", home=home).code == 0
    name = "acme/reports/apt/bear.txt"
    (home / "objects" / name).write_text("The bear group sleeps.")
    assert etl("sync", home=home).code == 0 and etl("backup", home=home).code == 0
    first, last = (one["backup"] for one in etl("backup", "list", "--json", home=home).records)
    assert etl("document", "delete", name, "--purge", "--yes", home=home).code == 0
    for backup in (first, last):
        done = etl("restore", "--from", str(tmp_path / "backups"), "--backup", backup, "--replace", home=home)
        assert done.code == 0, done.err
        states = {one["path"]: one["state"] for one in etl("document", "list", "--json", home=home).records}
        assert states.get("apt/bear.txt", "removed") == "removed" and states["apt/panda.md"] == "current"

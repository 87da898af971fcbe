"""``etl-assets backup``, ``restore`` and ``verify-backup``: what people type, read and pipe into programs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import Command

pytestmark = pytest.mark.usefixtures("without_dagster")


def test_a_backup_is_made_listed_verified_restored_and_pruned(etl: Command, home: Path, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    made = etl("backup", "--to", kept, "--json", home=home)
    assert made.code == 0 and made.records[0]["files"] > 5 and made.records[0]["bytes_written"] > 0
    between = datetime.now(UTC).isoformat()
    assert "0 files" not in etl("backup", "--to", kept, home=home).out
    first, second = etl("backup", "list", kept, "--json", home=home).records
    assert first["taken_at"] <= second["taken_at"] and made.records[0]["backup"] in (first["backup"], second["backup"])
    assert etl("verify-backup", kept, home=home).code == 0
    restored = etl(
        "restore", "--from", kept, "--into", str(tmp_path / "new"), "--at", between, "--json", home=home
    )  # fmt: skip
    assert restored.code == 0, restored.err
    assert (restored.records[0]["documents"], restored.records[0]["put_back"]) == (5, 6)  # one is in quarantine
    asked = [etl("search", "EMOTET", "--json", home=at).records[0]["hits"] for at in (home, tmp_path / "new")]
    differing = {name for a, b in zip(*asked, strict=True) for name in a if a[name] != b[name]}
    assert asked[0] and differing == {"publication"}
    (gone,) = etl("backup", "prune", kept, "--keep-days", "0", "--json", home=home).records
    assert gone["pruned"] == [first["backup"]]
    assert len(etl("backup", "list", kept, "--json", home=home).records) == 1


def test_damage_exits_1_and_is_named(etl: Command, home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    etl("backup", "--to", str(kept), home=home)
    lost = next(path for path in sorted((kept / "pieces").rglob("*")) if path.is_file())
    lost.unlink()
    found = etl("verify-backup", str(kept), "--json", home=home)
    assert found.code == 1 and lost.name in found.records[0]["problems"][0]
    assert lost.name in etl("verify-backup", str(kept), home=home).out
    assert etl("restore", "--from", str(kept), "--into", str(tmp_path / "new"), home=home).code == 1


def test_one_target_that_fails_is_told_and_the_other_is_good(etl: Command, home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file in the folder's place")
    told = etl("backup", "--to", str(tmp_path / "file"), "--to", str(tmp_path / "kept"), home=home)
    assert told.code == 1 and f"no backup was made to {tmp_path / 'file'}" in told.err
    assert etl("verify-backup", str(tmp_path / "kept"), home=home).code == 0


def test_what_cannot_be_meant_is_told(etl: Command, home: Path, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    etl("backup", "--to", kept, home=home)
    for words, message in (
        (("backup",), "ETL_BACKUP_TARGETS"),
        (("backup", "list", str(tmp_path / "nowhere")), "there is no such folder"),
        (("backup", "--to", str(home / "inside")), "lies inside the home"),
        (("restore", "--from", kept), "--replace"),
        (("restore", "--from", kept, "--at", "yesterday"), "write a time such as"),
        (("restore", "--from", kept, "--at", "2000-01-01", "--into", str(tmp_path / "n")), "a point between them"),
        (("restore", "--from", kept, "--at", "2000-01-01", "--sequence", "1"), "give one of"),
    ):  # fmt: skip
        outcome = etl(*words, home=home)
        assert outcome.code in (1, 2) and message in outcome.err, (words, outcome)

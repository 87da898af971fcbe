"""Backups and restores of whole homes: exactness, increments, damage, points between backups, what stays deleted."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from etl_assets.documents.backups.restore import Point
from etl_assets.errors import ConfigError, TransientError
from etl_assets.ledger import restoring, schema
from etl_assets.ledger.database import sequence
from etl_assets.ledger.files import AHEAD
from etl_assets_tests.backups import another, answers, back_up, bring_back, damages, differences, opened, shown
from etl_assets_tests.small_homes import TEXTS, SmallHome


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.ran(tmp_path / "home")


def now(home: SmallHome) -> int:
    with home.platform.ledger.reading() as connection:
        return sequence(connection)


def test_a_restored_home_answers_the_very_same_and_computes_nothing(home: SmallHome, tmp_path: Path) -> None:
    back_up(home.settings, tmp_path / "kept")
    settings = another(home.settings, tmp_path / "new")
    report = bring_back(settings, tmp_path / "kept")
    assert (report.documents, report.put_back, report.recomputed) == (3, 3, 0)
    with opened(settings) as new:
        assert shown(new.platform) == shown(home.platform)
        assert answers(new.platform) == answers(home.platform) and any(answers(home.platform))
        assert differences(new.platform) == []
        made = new.computed()
        rerun = new.run("after")
        assert new.computed() == made and rerun["raw_documents"]["removed"] == 0
        with new.platform.ledger.reading() as connection:
            p = schema.publications
            least = connection.scalar(select(func.min(p.c.publication)).where(p.c.end_seq.is_(None)))
        assert least is not None and least > AHEAD


def test_a_second_backup_copies_only_what_is_new(home: SmallHome, tmp_path: Path) -> None:
    first = back_up(home.settings, tmp_path / "kept")
    again = back_up(home.settings, tmp_path / "kept")
    assert again.bytes_written < first.bytes_written / 10
    home.write("new.txt", "A new text.")
    home.run("second")
    later = back_up(home.settings, tmp_path / "kept")
    assert later.files == first.files + 4  # its original and three segments: it mentions nothing
    assert damages(home.settings, tmp_path / "kept", tmp_path / "tried") == []


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_damage_is_named_and_nothing_damaged_is_restored(home: SmallHome, tmp_path: Path, harm: str) -> None:
    back_up(home.settings, tmp_path / "kept")
    pieces = sorted(path for path in (tmp_path / "kept" / "pieces").rglob("*") if path.is_file())
    for number, path in enumerate(pieces[("flipped", "cut", "gone").index(harm) :: 3]):
        content = path.read_bytes()
        path.chmod(0o600)
        if harm == "flipped":
            at = len(content) // 2
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        elif harm == "cut":
            path.write_bytes(content[: len(content) // 2])
        else:
            path.unlink()
        found = damages(home.settings, tmp_path / "kept", tmp_path / f"tried-{number}")
        assert any(path.name.removesuffix(".zst") in line for line in found), (harm, path.name)
        path.write_bytes(content)
    pieces[0].unlink()
    with pytest.raises(Exception, match="is gone|no backup holds"):
        bring_back(another(home.settings, tmp_path / "new"), tmp_path / "kept")


def test_an_altered_manifest_is_named(home: SmallHome, tmp_path: Path) -> None:
    back_up(home.settings, tmp_path / "kept")
    (manifest,) = (tmp_path / "kept" / "backups").iterdir()
    manifest.chmod(0o600)
    manifest.write_text(manifest.read_text().replace('"rows": 3', '"rows": 4'))
    (problem,) = damages(home.settings, tmp_path / "kept", tmp_path / "tried")
    assert "manifest" in problem and "altered" in problem


def test_any_number_between_two_backups_can_be_restored(home: SmallHome, tmp_path: Path) -> None:
    before = shown(home.platform)
    back_up(home.settings, tmp_path / "kept")
    first = now(home)
    home.write("between.txt", "Between two backups a leopard used EMOTET.")
    home.run("second")
    middle, then = now(home), shown(home.platform)
    home.remove("between.txt")
    home.write("bear.txt", "The bear went away.")
    home.run("third")
    back_up(home.settings, tmp_path / "kept")
    for number, (point, expected) in enumerate([(middle, then), (first, before), (now(home), shown(home.platform))]):
        settings = another(home.settings, tmp_path / f"new-{number}")
        assert bring_back(settings, tmp_path / "kept", Point(sequence=point)).sequence == point
        with opened(settings) as new:
            assert shown(new.platform) == expected
            assert differences(new.platform) == []
    with pytest.raises(ConfigError, match="choose a point between them"):
        bring_back(another(home.settings, tmp_path / "no"), tmp_path / "kept", Point(sequence=now(home) + 1))


def test_the_last_good_version_of_a_document_in_quarantine_answers_after_a_restore(
    home: SmallHome, tmp_path: Path
) -> None:
    home.write("bear.txt", b"\x00\x01\x02 no text \xff\xfe\x00")
    home.run("second")
    assert "bear.txt" in home.held()
    back_up(home.settings, tmp_path / "kept")
    settings = another(home.settings, tmp_path / "new")
    bring_back(settings, tmp_path / "kept")
    with opened(settings) as new:
        assert shown(new.platform) == shown(home.platform) and new.held() == home.held()
        assert set(new.published()) == set(TEXTS)


def test_a_home_with_documents_is_only_replaced_on_purpose(home: SmallHome, tmp_path: Path) -> None:
    before = shown(home.platform)
    back_up(home.settings, tmp_path / "kept")
    saved = [path for part in ("lake", "originals") for path in (home.settings.home.root / part).rglob("*")]
    twins = [path.with_name(f"{path.name}.enc") for path in saved if path.is_file()]
    home.write("later.txt", "This came after the backup.")
    home.run("second")
    with pytest.raises(ConfigError, match="--replace"):
        bring_back(home.settings, tmp_path / "kept")
    home.platform.close()
    for twin in twins:  # as if the home had been encrypted since, under keys that the backup does not have
        twin.write_bytes(b"another key's")
    bring_back(home.settings, tmp_path / "kept", replace_it=True)
    assert twins and not any(twin.exists() for twin in twins)
    with opened(home.settings) as same:
        assert shown(same.platform) == before and differences(same.platform) == []
        same.run("after")  # what arrived since is still under its key
        assert set(same.published()) == {*TEXTS, "later.txt"}


def test_while_a_home_is_being_restored_nothing_answers_and_nobody_else_works(home: SmallHome) -> None:
    with home.platform.ledger.writing() as connection:
        restoring.mark(connection, {"backup": "one", "target": "/mnt/kept"})
    with pytest.raises(TransientError, match="being restored from backup one"):
        answers(home.platform)
    with pytest.raises(TransientError, match="run the same `etl-assets restore` again"):
        home.run("second")

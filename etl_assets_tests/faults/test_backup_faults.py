"""Backups and restores that are interrupted at every step, made beside an ingest, or of stores from another day."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from etl_assets.backup_bindings import open_target
from etl_assets.documents.backups import restore as restoring_home
from etl_assets.documents.backups import restored_home
from etl_assets.documents.backups.target import Shelf, Target
from etl_assets.errors import PermanentError, TransientError
from etl_assets.hosted_settings import EncryptionPlace
from etl_assets.ledger import restoring, schema, tombstones
from etl_assets.ledger.tombstones import Tombstone
from etl_assets_tests.backups import another, answers, back_up, bring_back, damages, differences, opened, shown
from etl_assets_tests.small_homes import TEXTS, SmallHome


class Killed(BaseException):
    """What no code of ours catches."""


def dies(before: bool, function: Callable[..., Any]) -> Callable[..., Any]:
    def killed(*arguments: Any, **named: Any) -> Any:
        if not before:
            function(*arguments, **named)
        raise Killed

    return killed


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.ran(tmp_path / "home")


RESTORE_STEPS = [
    (restoring_home, "_bring_files"), (restoring_home, "_bring_settings"), (restoring_home, "_load"),
    (restored_home, "_empty_stores"), (restored_home, "republish"), (restoring, "unmark"),
]  # fmt: skip


def test_a_restore_killed_before_or_after_any_step_says_so_and_can_be_begun_again(
    home: SmallHome, tmp_path: Path
) -> None:
    back_up(home.settings, tmp_path / "kept")
    settings = another(home.settings, tmp_path / "new")
    for module, name in RESTORE_STEPS:
        for before in (True, False) if name in ("_load", "republish") else (False,):
            if name == "unmark":
                before = True
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, name, dies(before, getattr(module, name)))
                with pytest.raises(Killed):
                    bring_back(settings, tmp_path / "kept")
            with opened(settings) as new, pytest.raises(TransientError, match="being restored"):
                answers(new.platform)
    bring_back(settings, tmp_path / "kept")
    with opened(settings) as new:
        assert shown(new.platform) == shown(home.platform) and differences(new.platform) == []
        assert answers(new.platform) == answers(home.platform)


def test_a_backup_killed_at_any_step_is_none_and_the_next_one_tidies_up(home: SmallHome, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for name, owner, before in (("flush", Shelf, False), ("flush", Shelf, True), ("finish", Target, True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, dies(before, getattr(owner, name)))
            with pytest.raises(Killed):
                back_up(home.settings, kept)
        with open_target(home.settings, str(kept)) as target:
            assert target.names() == []
    home.remove("bear.txt")
    home.run("second")
    back_up(home.settings, kept)
    with open_target(home.settings, str(kept)) as target:
        (manifest,) = target.manifests()
        named = {piece.key for piece in manifest.lists()} | {one.piece.key for one in target.files(manifest)}
        assert {key for key, _, _ in target.blobs.keys("pieces/")} == named
    assert damages(home.settings, kept, tmp_path / "tried") == []


def test_indexes_of_yesterday_and_a_ledger_of_today_end_as_a_clean_build(home: SmallHome, tmp_path: Path) -> None:
    yesterday = tmp_path / "yesterday"
    shutil.copytree(home.settings.home.indexes, yesterday)
    home.remove("panda.md")
    home.write("leopard.txt", "A leopard used EMOTET in the garden.")
    home.run("second")
    expected = shown(home.platform)
    back_up(home.settings, tmp_path / "kept")
    home.platform.close()
    shutil.rmtree(home.settings.home.indexes)
    shutil.copytree(yesterday, home.settings.home.indexes)
    bring_back(home.settings, tmp_path / "kept", replace_it=True)
    with opened(home.settings) as same:
        assert shown(same.platform) == expected and differences(same.platform) == []


def test_a_document_deleted_after_the_backup_does_not_come_back(home: SmallHome, tmp_path: Path) -> None:
    back_up(home.settings, tmp_path / "kept")
    document = home.document_id("bear.txt")
    stone = Tombstone(document, home.published()["bear.txt"], "acme", "reports", "")
    home.remove("bear.txt")
    with home.platform.ledger.writing() as connection:
        tombstones.enter(connection, [stone])
    home.platform.close()
    bring_back(home.settings, tmp_path / "kept", replace_it=True)
    with opened(home.settings) as same:
        assert set(same.published()) == {*TEXTS} - {"bear.txt"} and differences(same.platform) == []
        assert not (same.settings.home.objects / "acme/reports/bear.txt").exists()


def test_a_lost_segment_is_told_and_no_backup_without_it_is_made(home: SmallHome, tmp_path: Path) -> None:
    with home.platform.ledger.reading() as connection:
        key = connection.scalar(select(schema.segments.c.key).limit(1))
    (home.settings.home.lake / str(key)).unlink()
    with pytest.raises(PermanentError, match=r"is gone, although the ledger names it; `etl-assets check`"):
        back_up(home.settings, tmp_path / "kept")


def test_an_encrypted_home_is_kept_encrypted_and_needs_its_key(home: SmallHome, tmp_path: Path) -> None:
    from dataclasses import replace

    from etl_assets.backends.key_files import create_key_file

    create_key_file(tmp_path / "master.key")
    place = EncryptionPlace(f"file:{tmp_path / 'master.key'}")
    settings = replace(another(home.settings, tmp_path / "sealed"), encryption=place)
    settings.home.create().collections_file.write_text(home.settings.home.collections_file.read_text())
    with opened(settings) as sealed:
        sealed.write("secret.txt", "The leopard's cave is below EMOTET hill.")
        sealed.run()
        expected = shown(sealed.platform)
    back_up(settings, tmp_path / "kept")
    assert damages(settings, tmp_path / "kept", tmp_path / "tried") == []
    held = b"".join(path.read_bytes() for path in (tmp_path / "kept" / "pieces").rglob("*") if path.is_file())
    assert b"leopard" not in held
    new = another(settings, tmp_path / "new")
    with pytest.raises(Exception, match="set ETL_ENCRYPTION_KEY"):
        bring_back(replace(new, encryption=None), tmp_path / "kept")
    bring_back(new, tmp_path / "kept")
    with opened(new) as again:
        assert shown(again.platform) == expected and differences(again.platform) == []


INGEST = """
import sys
from pathlib import Path
from etl_assets_tests.backups import opened
from etl_assets.settings import Settings
settings = Settings(home_folder=sys.argv[1], search_time_limit_s=0.1, parser_processes=1)
with opened(settings) as home:
    for number in range(int(sys.argv[2])):
        home.write(f"more-{number}.txt", f"Report {number}: the bear used EMOTET again.")
        if number % 2:
            home.remove(f"more-{number - 1}.txt")
        home.run(f"run-{number}")
        print(number, flush=True)
"""


def test_backups_made_while_another_process_ingests_are_each_one_moment(home: SmallHome, tmp_path: Path) -> None:
    check_backups_beside_an_ingest(home, tmp_path, runs=2)


def check_backups_beside_an_ingest(home: SmallHome, tmp_path: Path, *, runs: int) -> None:
    """A backup after each run that another process says it has done, while it goes on with the next one."""
    home.platform.close()
    words = [sys.executable, "-c", INGEST, str(home.settings.home.root), str(runs)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as ingest:
        assert ingest.stdout is not None
        made = [back_up(home.settings, tmp_path / "kept") for _ in ingest.stdout]
    assert ingest.returncode == 0 and len(made) == runs
    assert damages(home.settings, tmp_path / "kept", tmp_path / "tried") == []
    settings = another(home.settings, tmp_path / "new")
    bring_back(settings, tmp_path / "kept", restoring_home.Point(sequence=made[-2].sequence))
    with opened(settings) as new:
        assert set(TEXTS) <= set(new.published()) and differences(new.platform) == []

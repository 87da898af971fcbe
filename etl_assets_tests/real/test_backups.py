"""Backups between databases and stores: from SQLite and folders to a bucket, to every hosted backend, and back."""

from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.backup_bindings import ENDINGS, open_places, open_target
from etl_assets.documents.backups.backup import make_backup
from etl_assets.documents.backups.check import Verifier
from etl_assets.documents.backups.target import Damaged
from etl_assets.settings import Settings
from etl_assets_tests.backups import another, back_up, bring_back, differences, opened, shown
from etl_assets_tests.real.hosted_homes import hosted_environment
from etl_assets_tests.small_homes import SmallHome


def test_a_home_moves_by_backups_to_hosted_backends_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = SmallHome.ran(tmp_path / "home")
    expected = shown(home.platform)
    (tmp_path / "hosted").mkdir()
    with hosted_environment(tmp_path / "hosted") as env:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, env[name])
        hosted = replace(Settings.from_environment(env), search_time_limit_s=0.5)
        assert hosted.s3 is not None
        bucket = f"s3://{hosted.s3.bucket}/kept"
        with open_places(home.settings) as places, open_target(hosted, bucket) as target:
            first = make_backup(places, target)
            assert make_backup(places, target).files == first.files > 3, "originals and segments"
        bring_back(hosted, bucket)
        with opened(hosted) as there:
            assert shown(there.platform) == expected and differences(there.platform) == []
            with open_target(hosted, bucket) as target:
                assert Verifier(target, tmp_path, endings=ENDINGS).check(target.names()[-1]).problems == []
                (piece, *_) = target.manifests()[-1].lists()
                target.blobs.delete(piece.key)
                with pytest.raises(Damaged, match=piece.sha256):
                    target.content(piece)
        back_up(hosted, tmp_path / "folder")
    settings = another(home.settings, tmp_path / "again")
    bring_back(settings, tmp_path / "folder")
    with opened(settings) as again:
        assert shown(again.platform) == expected and differences(again.platform) == []
        again.run("after")
        assert shown(again.platform) == expected

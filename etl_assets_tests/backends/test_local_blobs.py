"""What is true of blobs in a folder only: modes, links, kills, a full disk, other volumes."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from etl_assets.backends import local_blobs
from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.backends.local_files import sync_volume
from etl_assets.errors import PermanentError
from etl_assets_tests.backends.disks import folder_for_everybody, small_volume, without_rights


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    with blobs.scratch() as scratch:
        (scratch / "file").write_text("text")
        (scratch / "file").chmod(0o666)
        blobs.put("a/b", scratch / "file")
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "blobs/a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "blobs/a/b").stat().st_mode) == 0o600


def test_scratch_of_a_killed_process_is_removed_and_of_a_living_one_kept(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from etl_assets.backends.local_blobs import LocalBlobs\n"
        "with LocalBlobs(Path(sys.argv[1])).scratch() as s:\n"
        "    (s / 'half').write_text('x'); print(s, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with LocalBlobs(tmp_path).scratch() as mine:
            assert theirs.exists()
            process.send_signal(signal.SIGKILL)
            process.wait()
            with LocalBlobs(tmp_path).scratch():
                assert not theirs.exists()
                assert mine.exists()
    assert [*(tmp_path / ".scratch").iterdir()] == []


def test_scratch_leaves_alone_what_others_keep_beside_it(tmp_path: Path) -> None:
    (tmp_path / ".scratch/theirs").mkdir(parents=True)
    (tmp_path / ".scratch/scratch-1-0123456789abcdef").mkdir()
    (tmp_path / ".scratch/scratch-2-0123456789abcdef").write_text("a file")
    with LocalBlobs(tmp_path).scratch():
        pass
    names = sorted(path.name for path in (tmp_path / ".scratch").iterdir())
    assert names == ["scratch-2-0123456789abcdef", "theirs"]


def test_a_full_disk_is_said_and_leaves_nothing_under_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    with small_volume(tmp_path / "small", 1_000_000) as small:
        blobs = LocalBlobs(small / "blobs")
        with pytest.raises(PermanentError, match="storing a/b: no space left"):
            blobs.put("a/b", tmp_path / "file")
        assert [*blobs.keys("")] == []
        assert not blobs.exists("a/b")
        assert [*(small / "blobs/.scratch").iterdir()] == []
        assert (tmp_path / "file").stat().st_size == 3_000_000


def test_a_source_on_another_volume_is_moved(tmp_path: Path) -> None:
    with small_volume(tmp_path / "small", 1_000_000) as small:
        (small / "file").write_text("text")
        blobs = LocalBlobs(tmp_path / "blobs")
        assert blobs.put("a/b", small / "file") == 4
        assert not (small / "file").exists()
        with blobs.local("a/b") as path:
            assert path.read_text() == "text"


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_a_disk_that_fails_leaves_nothing_under_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    (tmp_path / "file").write_text("text")

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(PermanentError, match="storing a/b: Input/output error"):
            blobs.put("a/b", tmp_path / "file")
    assert not blobs.exists("a/b")


def test_a_name_that_did_not_become_durable_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    (tmp_path / "file").write_text("text")

    def fail(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local_blobs, "sync_folder", fail)
    with pytest.raises(PermanentError, match="no space left"):
        blobs.put("a", tmp_path / "file")
    assert not blobs.exists("a")


def test_a_volume_is_made_durable_by_one_call_and_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    sync_volume(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_volume(tmp_path / "gone")


def test_a_link_is_no_blob(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "secret").write_text("text")
    (tmp_path / "blobs/link").symlink_to(tmp_path / "secret")
    blobs = LocalBlobs(tmp_path / "blobs")
    assert not blobs.exists("link")
    with pytest.raises(FileNotFoundError), blobs.local("link"):
        pass


def test_a_key_below_another_key_is_refused(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    for name in ("one", "two"):
        (tmp_path / name).write_text("text")
    blobs.put("a", tmp_path / "one")
    with pytest.raises(PermanentError, match="storing a/b"):
        blobs.put("a/b", tmp_path / "two")


def test_without_rights_every_call_says_so() -> None:
    with folder_for_everybody() as home, without_rights():
        blobs = LocalBlobs(home / "blobs")
        (home / "file").write_text("text")
        (home / "other").write_text("text")
        blobs.put("a/b/c", home / "file")
        os.chmod(home / "blobs/a/b", 0o500)
        with pytest.raises(PermanentError, match="removing a/b/c: permission denied"):
            blobs.delete("a/b/c")
        with pytest.raises(PermanentError, match="storing a/b/d: permission denied"):
            blobs.put("a/b/d", home / "other")
        os.chmod(home / "blobs/a/b", 0)
        with pytest.raises(PermanentError, match="Permission denied"):
            [*blobs.keys("a/")]
        with pytest.raises(PermanentError, match="looking for a/b/c: permission denied"):
            blobs.exists("a/b/c")
        os.chmod(home / "blobs", 0o500)
        with pytest.raises(PermanentError, match="scratch folder"), blobs.scratch():
            pass
        os.chmod(home / "blobs", 0o700)
        os.chmod(home / "blobs/a/b", 0o700)

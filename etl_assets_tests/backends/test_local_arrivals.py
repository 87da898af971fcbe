"""What is true of a folder of arrivals only: links, pipes, permissions, racing writers, a full disk."""

import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.documents import model
from etl_assets.errors import DataError, PermanentError, TransientError
from etl_assets.protocols.objects import NAME, ObjectAttributes, ObjectInfo, UnusableKey
from etl_assets_tests.backends.disks import folder_for_everybody, small_volume, without_rights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "objects/acme/reports").mkdir(parents=True)
    return tmp_path / "objects/acme/reports"


@pytest.fixture
def arrivals(folder: Path, tmp_path: Path) -> LocalArrivals:
    return LocalArrivals(tmp_path / "objects", scratch=tmp_path / "tmp")


def keys(arrivals: LocalArrivals) -> list[str]:
    return sorted(f.key for f in arrivals.list("acme", "reports") if isinstance(f, ObjectInfo))


def unusable(arrivals: LocalArrivals) -> dict[str, str]:
    return {f.shown: f.problem for f in arrivals.list("acme", "reports") if isinstance(f, UnusableKey)}


def test_the_rule_for_names_is_the_one_of_documents() -> None:
    assert model.NAME.pattern == NAME.pattern


def test_names_that_start_with_a_dot_are_ignored_at_every_level(arrivals: LocalArrivals, folder: Path) -> None:
    for name in (".hidden.txt", ".git/config", "deep/.sync/part", "deep/~kept"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")
    (folder.parent / ".trash").mkdir()
    (folder.parents[1] / ".DS_Store").write_text("text")
    assert keys(arrivals) == ["acme/reports/deep/~kept"]
    assert arrivals.collections() == [("acme", "reports")]
    assert [*arrivals.strays()] == []


def test_links_pipes_and_sockets_are_named_and_not_followed(
    arrivals: LocalArrivals, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("text")
    (tmp_path / "secrets").mkdir()
    (folder / "file link").symlink_to(tmp_path / "secret")
    (folder / "folder link").symlink_to(tmp_path / "secrets")
    (folder / "broken link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(folder)  # the path of a socket has at most 107 bytes
        listener.bind("socket")
    (folder / "good").write_text("text")
    problems = unusable(arrivals)
    assert keys(arrivals) == ["acme/reports/good"]
    assert {name.rpartition("/")[2] for name in problems} == {
        "file link", "folder link", "broken link", "pipe", "socket",
    }  # fmt: skip
    assert "symbolic link" in problems["acme/reports/folder link"]
    assert "regular file" in problems["acme/reports/pipe"]
    for name in ("file link", "pipe", "socket"):
        with pytest.raises(DataError) as refused:
            arrivals.fetch(f"acme/reports/{name}", tmp_path / "target")
        assert refused.value.reason == "unreadable"
    with pytest.raises(FileNotFoundError):
        arrivals.fetch("acme/reports/folder link/x", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_name_that_is_not_utf8_is_unusable_and_printable(arrivals: LocalArrivals, folder: Path) -> None:
    with open(os.fsencode(folder) + b"/caf\xe9\n.txt", "wb"):
        pass
    ((name, problem),) = unusable(arrivals).items()
    assert name == "acme/reports/caf\\xe9\\n.txt"
    assert name.isprintable()
    assert "UTF-8" in problem


def test_what_lies_outside_every_collection_is_a_stray(arrivals: LocalArrivals, folder: Path, tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    for name in ("root.txt", "acme/direct.txt", "Acme Inc/reports/a.txt", "acme/re.ports/deep/b.txt"):
        (objects / name).parent.mkdir(parents=True, exist_ok=True)
        (objects / name).write_text("text")
    (objects / "acme/linked").symlink_to(folder)
    strays = {found.shown: found.problem for found in arrivals.strays()}
    assert sorted(strays) == [
        "Acme Inc/reports/a.txt", "acme/direct.txt", "acme/linked", "acme/re.ports/deep/b.txt", "root.txt",
    ]  # fmt: skip
    assert "tenant" in strays["Acme Inc/reports/a.txt"]
    assert "collection" in strays["acme/re.ports/deep/b.txt"]
    assert "symbolic link" in strays["acme/linked"]
    assert arrivals.collections() == [("acme", "reports")]
    assert [*arrivals.list("acme", "re.ports")] == []


def test_a_collection_that_became_a_link_does_not_look_emptied(arrivals: LocalArrivals, folder: Path) -> None:
    (folder / "a").write_text("text")
    folder.rename(folder.parent / "moved")
    folder.symlink_to(folder.parent / "moved")
    with pytest.raises(PermanentError, match="symbolic link"):
        arrivals.list("acme", "reports")


def test_a_missing_store_is_never_an_empty_one(tmp_path: Path) -> None:
    arrivals = LocalArrivals(tmp_path / "unmounted", scratch=tmp_path / "tmp")
    (tmp_path / "source").write_text("text")
    for act in (
        arrivals.collections,
        lambda: [*arrivals.strays()],
        lambda: arrivals.list("acme", "reports"),
        lambda: arrivals.fetch("acme/reports/a", tmp_path / "target"),
        lambda: arrivals.put("acme/reports/a", tmp_path / "source"),
        lambda: arrivals.delete("acme/reports/a"),
    ):
        with pytest.raises(PermanentError, match="unmounted"):
            act()


def test_a_folder_without_permission_is_an_error_that_names_it() -> None:
    with folder_for_everybody() as home:
        arrivals = LocalArrivals(home / "objects", scratch=home / "tmp")
        with without_rights():
            closed = home / "objects/acme/reports/closed"
            closed.mkdir(parents=True)
            (closed / "a").write_text("text")
            (closed.parent / "b").write_text("text")
            for mode in (0o600, 0o300, 0o000):
                closed.chmod(mode)
                with pytest.raises(PermanentError, match="closed.*permission"):
                    [*arrivals.list("acme", "reports")]
            with pytest.raises(PermanentError, match="permission"):
                arrivals.delete("acme/reports/closed/a")
            with pytest.raises(DataError, match="closed"):
                arrivals.fetch("acme/reports/closed/a", home / "target")
            (home / "objects/acme").chmod(0o000)
            with pytest.raises(PermanentError, match="acme"):
                arrivals.collections()


def test_a_file_without_permission_is_that_documents_problem_alone() -> None:
    with folder_for_everybody() as home:
        arrivals = LocalArrivals(home / "objects", scratch=home / "tmp")
        with without_rights():
            (home / "objects/acme/reports").mkdir(parents=True)
            (home / "objects/acme/reports/a").write_text("text")
            (home / "objects/acme/reports/a").chmod(0)
            assert keys(arrivals) == ["acme/reports/a"]
            with pytest.raises(DataError, match="Permission denied") as refused:
                arrivals.fetch("acme/reports/a", home / "target")
            assert refused.value.reason == "unreadable"
            (home / "objects/acme/reports").chmod(0o500)
            (home / "source").write_text("text")
            with pytest.raises(PermanentError, match="permission denied"):
                arrivals.put("acme/reports/b", home / "source")


def _while_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do ``act`` once, after the first block of a file was read."""
    read = os.read
    pending = [act]

    def reading(descriptor: int, size: int) -> bytes:
        block = read(descriptor, size)
        if pending:
            pending.pop()()
        return block

    monkeypatch.setattr(os, "read", reading)


def test_a_file_that_changes_while_it_is_read_is_tried_again_later(
    arrivals: LocalArrivals, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_bytes(b"first")
    changes: list[Callable[[], object]] = [
        lambda: (folder / "a").write_bytes(b"other"),
        lambda: os.utime(folder / "a", ns=(1, 1)),
        lambda: os.replace(tmp_path / "new", folder / "a"),
        lambda: os.setxattr(folder / "a", "user.mime_type", b"text/x"),
    ]
    for change in changes:
        (tmp_path / "new").write_bytes(b"third")
        with monkeypatch.context() as patch:
            _while_reading(patch, change)
            with pytest.raises(TransientError, match="changed while being read"):
                arrivals.fetch("acme/reports/a", tmp_path / "target")
        assert not (tmp_path / "target").exists()


def test_a_file_that_vanishes_while_it_is_read_is_gone(
    arrivals: LocalArrivals, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_bytes(b"text")
    _while_reading(monkeypatch, (folder / "a").unlink)
    with pytest.raises(FileNotFoundError):
        arrivals.fetch("acme/reports/a", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_fetch_ends_at_the_bytes_of_its_fingerprint_whatever_a_writer_does(
    arrivals: LocalArrivals, folder: Path, tmp_path: Path
) -> None:
    path, stop = folder / "a", threading.Event()
    path.write_bytes(b"0" * 100)

    def rewrite() -> None:
        n = 0
        while not stop.wait(0.03):
            n += 1
            path.write_bytes(str(n % 10).encode() * 100)

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen: dict[str, str] = {}
    try:
        for n in range(25):
            try:
                fetched = arrivals.fetch("acme/reports/a", tmp_path / f"target{n}")
            except TransientError:
                continue
            data = (tmp_path / f"target{n}").read_bytes()
            assert hashlib.sha256(data).hexdigest() == fetched.sha256
            assert seen.setdefault(fetched.fingerprint, fetched.sha256) == fetched.sha256
    finally:
        stop.set()
        writer.join()
    assert seen


def test_files_and_folders_that_vanish_during_a_listing_are_simply_gone(arrivals: LocalArrivals, folder: Path) -> None:
    for n in range(3):
        (folder / f"{n}").mkdir()
        (folder / f"{n}/a").write_text("text")
    found = arrivals.list("acme", "reports")
    first = next(found)
    assert isinstance(first, ObjectInfo)
    for n in range(3):
        (folder / f"{n}/a").unlink()
        (folder / f"{n}").rmdir()
    assert [*found] == []
    assert [*arrivals.list("acme", "reports")] == []


def test_a_collection_stays_when_its_last_file_goes_and_its_folders_do_not(
    arrivals: LocalArrivals, folder: Path
) -> None:
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/a").write_text("text")
    arrivals.delete("acme/reports/deep/er/a")
    assert [*folder.iterdir()] == []
    assert arrivals.collections() == [("acme", "reports")]
    (folder / "sub").mkdir()
    arrivals.delete("acme/reports/sub")
    assert (folder / "sub").is_dir()


def test_a_file_in_the_place_of_a_folder_is_named(arrivals: LocalArrivals, folder: Path, tmp_path: Path) -> None:
    (folder / "a").write_text("text")
    (folder / "b").mkdir()
    (tmp_path / "source").write_text("new")
    with pytest.raises(PermanentError, match="acme/reports/a/b.*directory"):
        arrivals.put("acme/reports/a/b", tmp_path / "source")
    with pytest.raises(PermanentError, match="acme/reports/b.*directory"):
        arrivals.put("acme/reports/b", tmp_path / "source")
    with pytest.raises(PermanentError, match="name too long"):
        arrivals.put("acme/reports/" + "n" * 256, tmp_path / "source")
    with pytest.raises(FileNotFoundError):
        arrivals.fetch("acme/reports/a/b", tmp_path / "target")
    arrivals.delete("acme/reports/a/b")
    assert (tmp_path / "source").read_text() == "new"
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_puts_and_deletes_in_one_folder_do_not_lose_each_other(arrivals: LocalArrivals, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("text")

    def come_and_go(name: str) -> None:
        for _ in range(40):
            arrivals.put(f"acme/reports/sub/er/{name}", tmp_path / "source")
            assert f"acme/reports/sub/er/{name}" in keys(arrivals)
            arrivals.delete(f"acme/reports/sub/er/{name}")  # and with it the folders, when the others are gone too

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(come_and_go, name) for name in "abc"]:
            done.result()
    assert keys(arrivals) == []


def test_a_full_disk_is_said_and_leaves_no_part_of_a_copy(
    arrivals: LocalArrivals, folder: Path, tmp_path: Path
) -> None:
    (folder / "a").write_bytes(b"x" * 3_000_000)
    with small_volume(tmp_path / "small", 1_000_000) as small:
        with pytest.raises(PermanentError, match="acme/reports/a: no space left"):
            arrivals.fetch("acme/reports/a", small / "target")
        assert [*small.iterdir()] == []


def test_a_put_on_a_full_disk_leaves_the_old_object_whole(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 3_000_000)
    with small_volume(tmp_path / "small", 1_000_000) as small:
        (small / "objects/acme/reports").mkdir(parents=True)
        (small / "objects/acme/reports/a").write_text("old")
        arrivals = LocalArrivals(small / "objects", scratch=small / "tmp")
        with pytest.raises(PermanentError, match="no space left"):
            arrivals.put("acme/reports/a", tmp_path / "source")
        assert (small / "objects/acme/reports/a").read_text() == "old"
        assert [*(small / "tmp").iterdir()] == []


def test_a_write_that_the_disk_cuts_short_is_finished_or_refused(
    arrivals: LocalArrivals, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_bytes(bytes(range(256)) * 1000)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:1000]))
    arrivals.fetch("acme/reports/a", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == (folder / "a").read_bytes()


def test_a_file_system_without_attributes_reads_as_none_and_refuses_to_lose_them(
    arrivals: LocalArrivals, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    (folder / "a").write_text("text")
    monkeypatch.setattr(os, "listxattr", unsupported)
    monkeypatch.setattr(os, "setxattr", unsupported)
    assert arrivals.fetch("acme/reports/a", tmp_path / "target").attributes == ObjectAttributes()
    with pytest.raises(PermanentError, match="user.mime_type"):
        arrivals.put("acme/reports/b", folder / "a", attributes=ObjectAttributes("text/plain"))
    assert keys(arrivals) == ["acme/reports/a"]


def test_a_store_that_looks_unmounted_seems_lost_and_one_that_was_emptied_does_not(tmp_path: Path) -> None:
    objects, target = tmp_path / "objects", tmp_path / "copy"
    arrivals = LocalArrivals(objects, scratch=tmp_path / "scratch")
    (objects / "acme" / "reports").mkdir(parents=True)
    (objects / "acme" / "reports" / "a.md").write_text("a")
    arrivals.fetch("acme/reports/a.md", target)
    shutil.rmtree(objects / "acme")
    assert arrivals.seems_lost() == ""

    objects.rename(tmp_path / "unmounted")
    objects.mkdir()
    assert "unmounted or removed; put it back" in arrivals.seems_lost()
    (objects / "acme").mkdir()
    assert arrivals.seems_lost() == ""

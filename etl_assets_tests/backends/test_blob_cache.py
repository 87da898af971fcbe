"""A cache of blobs is bounded, shared by processes, and never hands out bytes that were not brought."""

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_assets.backends.blob_cache import BlobCache
from etl_assets.errors import ConfigError, PermanentError
from etl_assets_tests.backends.cache_reader import BYTES_EACH, LIMIT_BYTES, NAMES
from etl_assets_tests.backends.processes import ROOT, finished


def bringing(data: bytes, asked: list[bytes] | None = None) -> Callable[[Path], str]:
    def bring(target: Path) -> str:
        if asked is not None:
            asked.append(data)
        target.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    return bring


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_was_brought_once_is_there_for_every_process(tmp_path: Path) -> None:
    asked: list[bytes] = []
    for cache in (BlobCache(tmp_path, limit_bytes=1000), BlobCache(tmp_path, limit_bytes=1000)):
        for _ in range(2):
            with cache.opened("a/b", bringing(b"text", asked)) as path:
                assert path.read_bytes() == b"text"
                assert path.stat().st_mode & 0o777 == 0o400
    assert asked == [b"text"]


def test_a_damaged_copy_is_brought_anew(tmp_path: Path) -> None:
    with BlobCache(tmp_path, limit_bytes=1000).opened("a", bringing(b"text")) as path:
        kept = path
    kept.chmod(0o600)
    kept.write_bytes(b"tExt")
    asked: list[bytes] = []
    with BlobCache(tmp_path, limit_bytes=1000).opened("a", bringing(b"text", asked)) as path:
        assert path.read_bytes() == b"text"
    assert asked == [b"text"]


def test_a_copy_that_is_given_needs_not_be_brought(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=1000)
    for _ in range(2):
        (tmp_path / "source").write_bytes(b"text")
        cache.keep("a", tmp_path / "source", hashlib.sha256(b"text").hexdigest())
        assert not (tmp_path / "source").exists()
    with cache.opened("a", lambda _: pytest.fail("brought")) as path:
        assert path.read_bytes() == b"text"


def test_a_copy_that_cannot_be_kept_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    cache = BlobCache(tmp_path / "cache", limit_bytes=1000)
    (tmp_path / "source").write_bytes(b"text")
    monkeypatch.setattr(os, "link", full)
    cache.keep("a", tmp_path / "source", hashlib.sha256(b"text").hexdigest())
    assert not (tmp_path / "source").exists()
    with pytest.raises(PermanentError, match="no space left"), cache.opened("b", bringing(b"text")):
        pass


def test_the_least_recently_used_goes_first_and_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=10_000)
    for n in range(6):
        with cache.opened(str(n), bringing(bytes(100))):
            pass
    with cache.opened("1", bringing(b"")), cache.opened("0", bringing(b"")):
        pass
    with cache.opened("2", bringing(b"")):
        assert cache.evict(300) == 300
    for n, is_there in enumerate([True, True, True, False, False, False]):
        asked: list[bytes] = []
        with cache.opened(str(n), bringing(bytes(100), asked)):
            assert (not asked) == is_there, n


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 400)), max_size=40))
def test_it_never_holds_more_than_its_limit(tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=2000)
    for name, size in sizes:
        with cache.opened(f"{name}-{size}", bringing(bytes(size))) as path:
            assert path.stat().st_size == size
        assert size_of(tmp_path / "cache") <= 2000


def test_a_full_disk_is_met_by_giving_up_the_other_copies(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=10_000)
    with cache.opened("old", bringing(bytes(100))):
        pass

    def bring(target: Path) -> str:
        if size_of(tmp_path) >= 100:
            raise PermanentError("no space left") from OSError(errno.ENOSPC, "full")
        return bringing(b"text")(target)

    with cache.opened("new", bring) as path:
        assert path.read_bytes() == b"text"


def test_an_error_that_room_would_not_mend_is_raised(tmp_path: Path) -> None:
    def bring(_: Path) -> str:
        raise PermanentError("no right")

    with pytest.raises(PermanentError, match="no right"), BlobCache(tmp_path, limit_bytes=9).opened("a", bring):
        pass


def test_a_forgotten_blob_is_brought_anew(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=1000)
    for data in (b"one", b"two"):
        with cache.opened("a", bringing(data)) as path:
            assert path.read_bytes() == data
        cache.forget("a")
    cache.forget("never there")


def test_a_limit_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        BlobCache(tmp_path, limit_bytes=-1)


def test_processes_and_threads_that_evict_each_others_copies_always_read_the_right_bytes(tmp_path: Path) -> None:
    module = "etl_assets_tests.backends.cache_reader"
    finished(
        [
            subprocess.Popen(
                [sys.executable, "-m", module, str(tmp_path), str(seed)], cwd=ROOT, stderr=subprocess.PIPE, text=True
            )
            for seed in range(2)
        ]
    )
    assert size_of(tmp_path) <= LIMIT_BYTES + 2 * LIMIT_BYTES // 16 + NAMES * BYTES_EACH

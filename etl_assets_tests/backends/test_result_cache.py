"""Caches of results: bounded, shared, and never wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.backends.redis_cache import RedisCache
from etl_assets.backends.redis_client import RedisServer
from etl_assets.backends.result_cache import DiskCache, LayeredCache, MemoryCache, packed, unpacked
from etl_assets.errors import ConfigError, TransientError
from etl_assets.protocols.cache import CacheKey, ResultCache


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def key(digest: object, scope: str = "acme") -> CacheKey:
    return CacheKey("embedding", scope, "model", str(digest))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".sweep"]


CACHES: dict[str, Callable[[Path], ResultCache]] = {
    "memory": lambda folder: MemoryCache(),
    "disk": DiskCache,
    "layered": lambda folder: LayeredCache([MemoryCache(), DiskCache(folder)]),
}


@pytest.mark.parametrize("name", list(CACHES))
def test_what_was_put_comes_back_and_nothing_else(name: str, tmp_path: Path) -> None:
    cache = CACHES[name](tmp_path / "cache")
    assert cache.get([key(1)]) == {}
    cache.put({key(1): b"one", key(2): b""})
    assert cache.get([key(1), key(2), key(3)]) == {key(1): b"one", key(2): b""}
    cache.put({key(1): b"other"})
    assert cache.get([key(1)]) == {key(1): b"other"}
    assert cache.get([key(1, scope="rival")]) == {}, "no tenant sees another's results"


@given(st.lists(st.text(max_size=4), min_size=4, max_size=4), st.lists(st.text(max_size=4), min_size=4, max_size=4))
def test_every_other_key_has_another_address(one: list[str], other: list[str]) -> None:
    assert (CacheKey(*one).address == CacheKey(*other).address) == (one == other)


@given(st.binary(max_size=40), st.data())
def test_a_damaged_result_is_none(result: bytes, data: st.DataObject) -> None:
    whole = packed(key(1), result)
    assert unpacked(key(1), whole) == result
    assert unpacked(key(2), whole) is None
    assert unpacked(key(1), whole[: data.draw(st.integers(0, len(whole) - 1))]) is None
    at = data.draw(st.integers(0, len(whole) - 1))
    assert unpacked(key(1), whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]) is None


def test_memory_lets_go_of_the_old_and_of_the_longest_unused() -> None:
    clock = Clock()
    cache = MemoryCache(entries=2, ttl_s=300, clock=clock)
    cache.put({key(1): b"1", key(2): b"2"})
    cache.get([key(1)])
    cache.put({key(3): b"3"})
    assert cache.get([key(1), key(2), key(3)]).keys() == {key(1), key(3)}
    clock.now += 300
    assert cache.get([key(1), key(3)]) == {}


def test_a_file_that_something_damaged_is_a_miss_and_goes(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put({key(1): b"x" * 100})
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:50])
    assert cache.get([key(1)]) == {}
    assert files(tmp_path) == []


def test_results_of_a_lost_folder_are_misses(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.put({key(1): b"x"})
    os.rename(tmp_path / "cache", tmp_path / "gone")
    assert cache.get([key(1)]) == {} and cache.size() == 0
    (tmp_path / "cache").write_text("a file where the folder was")
    cache.put({key(1): b"x"})
    assert cache.get([key(1)]) == {}


def test_the_disk_keeps_to_its_bound_and_what_was_used_last(tmp_path: Path) -> None:
    clock = Clock()
    cache = DiskCache(tmp_path, size_bytes=20_000, clock=clock)
    for number in range(100):
        clock.now += 1
        cache.put({key(number): b"x" * 1000})
        cache.get([key(0)])
        assert cache.size() <= 20_000 * 1.1 + 1100
    assert cache.get([key(0), key(98), key(99), key(1)]).keys() == {key(0), key(98), key(99)}


def test_old_and_abandoned_files_are_swept(tmp_path: Path) -> None:
    clock = Clock()
    cache = DiskCache(tmp_path, size_bytes=10_000, ttl_s=60, clock=clock)
    cache.put({key(1): b"x"})
    half = files(tmp_path)[0].parent / ".new-killed"
    half.write_bytes(b"half")
    os.utime(half, (clock.now - 4000, clock.now - 4000))
    clock.now += 61
    assert cache.get([key(1)]) == {}
    DiskCache(tmp_path, size_bytes=10_000, ttl_s=60, clock=clock).put({key(2): b"y"})
    assert len(files(tmp_path)) == 1


def test_a_read_from_a_farther_layer_is_kept_nearer() -> None:
    near, far = MemoryCache(), MemoryCache()
    far.put({key(1): b"1"})
    assert LayeredCache([near, far]).get([key(1)]) == {key(1): b"1"}
    assert near.get([key(1)]) == {key(1): b"1"}


WRITER = """
import sys
from pathlib import Path
from etl_assets.backends.result_cache import DiskCache
from etl_assets.protocols.cache import CacheKey
cache = DiskCache(Path(sys.argv[1]), size_bytes=30_000)
for number in range(300):
    key = CacheKey("embedding", "acme", "model", str(number % 40))
    found = cache.get([key])
    assert found in ({}, {key: str(number % 40).encode() * 500}), "a torn result"
    cache.put({key: str(number % 40).encode() * 500})
"""


def test_processes_share_a_folder_without_a_torn_result(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(3)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]


def test_a_redis_that_is_away_is_a_miss_and_is_left_alone_for_a_while() -> None:
    clock = Clock()
    server = RedisServer("redis://:hidden-password@127.0.0.1:9/0", timeout_s=0.2, clock=clock)
    cache = RedisCache(server)
    cache.put({key(1): b"1"})
    assert cache.get([key(1)]) == {}
    with pytest.raises(TransientError, match="not asked for now"):
        server.run(lambda client: client.ping())
    clock.now += 5
    with pytest.raises(TransientError, match="Redis: ") as caught:
        server.run(lambda client: client.ping())
    assert "hidden-password" not in f"{caught.value} {server!r}"
    server.close()


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    for wrong in (lambda: MemoryCache(entries=0), lambda: DiskCache(tmp_path, size_bytes=0)):
        with pytest.raises(ConfigError):
            wrong()
    with pytest.raises(ConfigError, match="REDIS_URL"):
        RedisServer("http://host").run(lambda client: client.ping())

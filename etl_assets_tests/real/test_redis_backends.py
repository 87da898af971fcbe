"""The cache and the rate budget in a real Redis."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from uuid import uuid4

import pytest

from etl_assets.backends.rate_budget import MARGIN, Limits
from etl_assets.backends.redis_budget import RedisBudget
from etl_assets.backends.redis_cache import RedisCache
from etl_assets.backends.redis_client import RedisServer
from etl_assets.errors import TransientError
from etl_assets.protocols.cache import CacheKey
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.model import Server


@pytest.fixture
def opened(redis: Variables) -> Iterator[RedisServer]:
    server = RedisServer(redis["ETL_TEST_REDIS_URL"], timeout_s=5)
    yield server
    server.close()


@pytest.fixture
def prefix() -> str:
    """Names of the test alone: the server is shared."""
    return f"test-{uuid4().hex}"


def key(digest: object, scope: str = "acme", kind: str = "embedding") -> CacheKey:
    return CacheKey(kind, scope, "model", str(digest))


def test_results_come_back_for_their_time(opened: RedisServer, prefix: str) -> None:
    cache = RedisCache(opened, prefix=prefix, batch=2)
    results = {key(number): b"x" * number for number in range(5)}
    cache.put({**results, key(1, kind="reranking"): b"scores"})
    assert cache.get([*results, key(9)]) == results
    assert cache.get([key(1, scope="rival")]) == {}
    seconds = {
        kind: opened.run(lambda c, kind=kind: c.ttl(prefix + key(1, kind=kind).address))
        for kind in ("embedding", "reranking")
    }  # type: ignore[misc]
    assert 23 * 3600 < seconds["embedding"] <= 24 * 3600 and 0 < seconds["reranking"] <= 3600


def test_a_damaged_or_swapped_value_is_a_miss(opened: RedisServer, prefix: str) -> None:
    cache = RedisCache(opened, prefix=prefix)
    cache.put({key(1): b"one", key(2): b"two"})
    opened.run(lambda client: client.set(prefix + key(1).address, b"EAR1 damaged"))
    opened.run(lambda client: client.copy(prefix + key(2).address, prefix + key(3).address))
    assert cache.get([key(1), key(2), key(3)]) == {key(2): b"two"}


def test_a_server_that_dies_is_a_miss_and_is_used_again_when_it_is_back(
    own_server: Callable[[str, Mapping[str, str]], Server],
) -> None:
    own = own_server("redis", {})
    server = RedisServer(own.variables["ETL_TEST_REDIS_URL"], timeout_s=2, pause_s=0)
    cache = RedisCache(server)
    cache.put({key(1): b"one"})
    own.kill()
    assert cache.get([key(1)]) == {}
    own.restart()
    cache.put({key(1): b"two"})
    assert cache.get([key(1)]) == {key(1): b"two"}
    server.close()


def test_the_limits_hold_and_turns_come_in_order(opened: RedisServer, prefix: str) -> None:
    budget = RedisBudget(opened, Limits(requests=2, tokens=100, window_s=3600), name=prefix)
    waits = [budget.reserve(10, patience_s=1e9).wait_s for _ in range(5)]
    window = 3600 * MARGIN
    assert waits == pytest.approx([0, 0, window, window, 2 * window], abs=5)
    with pytest.raises(TransientError, match=f"{prefix}: 2 requests and 100 tokens"):
        budget.reserve(1, patience_s=10)


def test_tokens_are_settled_and_pauses_hold(opened: RedisServer, prefix: str) -> None:
    budget = RedisBudget(opened, Limits(tokens=100, window_s=3600), name=prefix)
    budget.settle(budget.reserve(90, patience_s=0), 20)
    assert budget.reserve(80, patience_s=0).wait_s == 0
    with pytest.raises(TransientError):
        budget.reserve(1, patience_s=0)
    other = RedisBudget(opened, Limits(), name=prefix + "pause")
    other.pause(1000)
    other.pause(10)
    assert other.reserve(1, patience_s=1e9).wait_s == pytest.approx(1000, abs=5)


def test_turns_that_have_passed_leave_the_window(opened: RedisServer, prefix: str) -> None:
    budget = RedisBudget(opened, Limits(requests=1, window_s=0.001), name=prefix)
    for _ in range(50):
        threading.Event().wait(budget.reserve(1, patience_s=1).wait_s)
    kept = opened.run(lambda client: client.llen(f"etl-assets:budget:{{{prefix}}}:starts"))
    assert isinstance(kept, int) and kept <= 5


WORKER = """
import sys
from etl_assets.backends.rate_budget import Limits
from etl_assets.backends.redis_budget import RedisBudget
from etl_assets.backends.redis_client import RedisServer
budget = RedisBudget(RedisServer(sys.argv[1], timeout_s=5), Limits(40, None, 3600), name=sys.argv[2])
taken = 0
try:
    while True:
        budget.reserve(1, patience_s=0)
        taken += 1
except Exception:
    print(taken)
"""


def test_processes_share_one_budget(redis: Variables, prefix: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", WORKER, redis["ETL_TEST_REDIS_URL"], prefix]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 40

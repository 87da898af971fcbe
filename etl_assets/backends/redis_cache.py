"""Results in Redis, shared by machines, each kind for a while."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from etl_assets.backends.redis_client import RedisServer
from etl_assets.backends.result_cache import packed, unpacked
from etl_assets.errors import TransientError
from etl_assets.protocols.cache import CacheKey

HOUR_S = 3600
TTL_S: Mapping[str, int] = MappingProxyType({"embedding": 24 * HOUR_S})
"""How long results are kept, in seconds by kind; every other kind for an hour."""


class RedisCache:
    """ResultCache of ``prefix`` in one Redis. When it does not answer, everything is a miss and nothing is kept."""

    def __init__(self, server: RedisServer, *, prefix: str = "etl-assets:result:", batch: int = 500) -> None:
        self._server = server
        self._prefix = prefix
        self._batch = batch

    def get(self, keys: Sequence[CacheKey]) -> dict[CacheKey, bytes]:
        """The results at hand, whole."""
        found: dict[CacheKey, bytes] = {}
        with suppress(TransientError):
            for start in range(0, len(keys), self._batch):
                part = keys[start : start + self._batch]
                names = [self._prefix + key.address for key in part]
                values = self._server.run(lambda client, names=names: client.mget(names))  # type: ignore[misc]
                for key, value in zip(part, values, strict=True):
                    result = unpacked(key, value) if value is not None else None
                    if result is not None:
                        found[key] = result
        return found

    def put(self, results: Mapping[CacheKey, bytes]) -> None:
        """Keep these results for their time."""
        items = list(results.items())
        with suppress(TransientError):
            for start in range(0, len(items), self._batch):
                self._keep(items[start : start + self._batch])

    def _keep(self, items: Sequence[tuple[CacheKey, bytes]]) -> None:
        def command(client: object) -> None:
            pipeline = client.pipeline(transaction=False)  # type: ignore[attr-defined]
            for key, result in items:
                pipeline.set(self._prefix + key.address, packed(key, result), ex=TTL_S.get(key.kind, HOUR_S))
            pipeline.execute()

        self._server.run(command)
